"""PB2: its process, its bounds, and what it gains where the best settings move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tunerl import schedulers
from tunerl.errors import InvalidSpec
from tunerl.schedulers import PB2, Exploit, PopulationBasedTraining
from tunerl.schedulers.gaussian import Kernel, Points, Process, fit
from tunerl.space import Space, choice, loguniform, randint, uniform

SEEDS = range(5)  # said in advance
MEMBERS, TIMES = 4, 30


def drive(scheduler: Any, space: Any, seed: int, gain: Any) -> tuple[float, list[Any]]:
    """A population whose members gain ``gain(config, time)`` a step: the best score, the exploits.

    Gains come with noise of their own.
    """
    rng, found = np.random.default_rng(1000 + seed), []
    scheduler.setup("m", "max", seed)
    scheduler.introduce(scheduler.complete(Space(space)), MEMBERS, lambda _: set())
    configs = [Space(space).sample(rng) for _ in range(MEMBERS)]
    scores = [0.0] * MEMBERS
    for trial in range(MEMBERS):
        scheduler.on_add(trial, configs[trial])
    for time in range(1, TIMES + 1):
        for trial in range(MEMBERS):
            scores[trial] += gain(configs[trial], time) + 0.02 * rng.normal()
        before = list(scores)
        for trial in range(MEMBERS):
            for decision in scheduler.on_result(trial, {"t": time, "m": before[trial]}):
                assert isinstance(decision, Exploit)
                scores[trial], configs[trial] = before[decision.source], decision.config
                found.append(decision)
    return max(scores), found


OPTIONS: dict[str, Any] = {"time_attr": "t", "perturbation_interval": 1}
MOVING = {"x": uniform(0.0, 1.0), "y": loguniform(1e-5, 1e-1)}


def moving(config: dict[str, Any], time: int) -> float:
    """The best place wanders through the square."""
    x = 0.5 + 0.4 * np.sin(time / 8)
    y = 0.5 + 0.4 * np.cos(time / 8)
    far = (config["x"] - x) ** 2 + ((np.log10(config["y"]) + 5) / 4 - y) ** 2
    return float(np.exp(-8 * far))


def test_it_beats_random_perturbation_where_the_best_settings_move() -> None:
    mine = [drive(PB2(**OPTIONS), MOVING, seed, moving)[0] for seed in SEEDS]
    theirs = [drive(PopulationBasedTraining(**OPTIONS), MOVING, seed, moving)[0] for seed in SEEDS]
    assert np.mean(mine) > np.mean(theirs)


MIXED = {
    "lr": loguniform(1e-5, 1e-1),
    "size": randint(2, 9),
    "deep": {"kind": choice(["a", "b", "c"])},
    "const": 4,
}


def test_suggestions_lie_in_mixed_bounds_and_follow_from_the_seed() -> None:
    def gain(config: dict[str, Any], time: int) -> float:
        return float(config["deep"]["kind"] == "b") + config["size"] / 9

    best, found = drive(PB2(**OPTIONS), MIXED, 0, gain)
    assert len(found) > 5
    assert all(Space(MIXED).contains(exploit.config) for exploit in found)
    assert drive(PB2(**OPTIONS), MIXED, 0, gain) == (best, found)
    late = [exploit.config["deep"]["kind"] for exploit in found[len(found) // 2 :]]
    assert late.count("b") > 0.6 * len(late)


def test_bounds_of_rays_form_take_the_scale_of_the_space() -> None:
    bounds = {"lr": [1e-3, 1e-2], "size": [3, 5], "deep": {"kind": ["a", "c"]}, "new": [0, 2]}
    pb2 = PB2(hyperparam_bounds=bounds, **OPTIONS)
    pb2.setup("m", "max", 0)
    pb2.introduce(pb2.complete(Space(MIXED)), 2, lambda _: set())
    domains = Space(pb2._tree).domains
    assert domains["lr"] == loguniform(1e-3, 1e-2)
    assert domains["size"] == randint(3, 6)
    assert domains["new"] == uniform(0, 2)
    written = pb2.to_json()
    assert written["hyperparam_bounds"]["lr"] == [1e-3, 1e-2]
    assert schedulers.create(written).to_json() == written


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"lr": [2.0, 1.0]}, r"hyperparam_bounds.lr: .*swap"),
        ({"lr": 3}, r"hyperparam_bounds.lr: 3 given"),
        ({"lr": lambda: 1.0}, "PB2 needs bounds"),
    ],
)
def test_impossible_bounds_are_refused(bounds: Any, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        PB2(hyperparam_bounds=bounds)


def points(numbers: Any, times: Any) -> Points:
    count = len(times)
    shaped = np.asarray(numbers, float).reshape(count, -1)
    return Points(np.asarray(times, float), shaped, np.zeros((count, 0), np.int64))


def test_the_process_passes_near_its_points_and_is_unsure_far_away() -> None:
    x = np.linspace(0, 1, 9)
    process = Process(points(x, np.zeros(9)), np.sin(6 * x), Kernel(0.3, 0.0, 1e-4))
    mean, deviation = process.at(points([0.5, 5.0], [0.0, 0.0]))
    assert mean[0] * process.spread + process.mean == pytest.approx(np.sin(3.0), abs=0.02)
    assert deviation[0] < 0.1
    assert deviation[1] == pytest.approx(1.0, abs=1e-3)


def test_what_was_learnt_fades_with_time_and_pending_points_are_known() -> None:
    known = points([0.2, 0.8], [0.0, 0.0])
    process = Process(known, np.array([0.0, 1.0]), Kernel(0.5, 0.5, 0.01))
    _, deviation = process.at(points([0.2, 0.2, 0.2], [0.0, 2.0, 20.0]))
    assert deviation[0] < deviation[1] < deviation[2]
    asked = points([0.5], [2.0])
    assert process.besides(asked).at(asked)[1][0] < process.at(asked)[1][0]


def test_the_fitted_kernel_is_at_least_as_likely_as_the_default() -> None:
    rng = np.random.default_rng(0)
    known = points(rng.random((20, 2)), np.arange(20))
    values = np.sin(9 * known.numbers[:, 0])
    assert fit(known, values, rng).likelihood >= Process(known, values, Kernel()).likelihood
