"""PBT's decisions and new configurations, on lists of events; its options."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunerl
from tunerl import schedulers
from tunerl.errors import InvalidSpec
from tunerl.schedulers import Exploit, Pause, PopulationBasedTraining, Resume
from tunerl.schedulers.explore import Perturbed, Step, explore, moved
from tunerl.schedulers.pbt_replay import PopulationBasedTrainingReplay
from tunerl.space import Space, choice, loguniform, quniform, randint, randn, uniform, when

LR = {"lr": uniform(0.0, 10.0)}


def make(trials: int = 5, seed: int = 0, space: Any = LR, **options: Any) -> Any:
    """A population of `trials`, set up as an experiment does."""
    given = {"time_attr": "t", "metric": "m", "mode": "max", "perturbation_interval": 10}
    scheduler = PopulationBasedTraining(**{**given, **options})
    scheduler.setup(None, None, seed)
    scheduler.introduce(scheduler.complete(Space(space)), trials, lambda _: set())
    for trial in range(trials):
        assert scheduler.on_add(trial, {"lr": 1.0 + trial, "const": trial}) == []
    return scheduler


def tell(scheduler: Any, trial: int, time: float, value: Any) -> Any:
    return scheduler.on_result(trial, {"t": time, "m": value})


def ranked(**options: Any) -> Any:
    """Ray Tune's vector: five trials that score 0, 50, 100, 150, 200, told before the interval."""
    scheduler = make(**options)
    for trial in range(5):
        assert tell(scheduler, trial, 9, 50 * trial) == []
    return scheduler


def test_of_five_the_two_worst_take_over_one_of_the_two_best() -> None:
    scheduler = ranked()
    assert scheduler.quantiles() == ([0, 1], [3, 4])
    (first,) = tell(scheduler, 0, 20, -100)
    assert isinstance(first, Exploit)
    assert (first.target, first.source in (3, 4)) == (0, True)
    (second,) = tell(scheduler, 2, 20, 40)
    assert second.target == 2
    assert second.source in (3, 4)


def test_nothing_happens_before_the_interval_or_to_whoever_is_not_among_the_worst() -> None:
    scheduler = ranked()
    assert tell(scheduler, 0, 9.5, -100) == []
    assert tell(scheduler, 0, 20, 200) == []
    assert tell(scheduler, 1, 20, 201) == []
    assert tell(scheduler, 4, 20, 199) == []


def test_nobody_is_touched_in_the_burn_in_period() -> None:
    scheduler = ranked(burn_in_period=30)
    assert tell(scheduler, 0, 20, -100) == []
    (exploit,) = tell(scheduler, 0, 30, -100)
    assert exploit.target == 0


def test_whoever_took_over_counts_again_only_with_its_next_result() -> None:
    scheduler = ranked()
    tell(scheduler, 0, 20, -100)
    assert scheduler.quantiles() == ([1], [4])
    tell(scheduler, 0, 21, 300)
    assert scheduler.quantiles() == ([1, 2], [4, 0])


def test_equals_and_those_without_a_number_are_no_donors_and_nan_is_rescued() -> None:
    scheduler = make(4)
    for trial in range(4):
        assert tell(scheduler, trial, 10, 1.0) == []
    scheduler = make(4)
    assert [tell(scheduler, trial, 10, math.nan) for trial in range(4)] == [[]] * 4
    scheduler = make(2)
    tell(scheduler, 1, 9, 1.0)
    (exploit,) = tell(scheduler, 0, 10, None)
    assert (exploit.target, exploit.source) == (0, 1)


def test_who_ended_or_failed_is_no_donor() -> None:
    scheduler = ranked()
    scheduler.on_complete(4, None)
    scheduler.on_error(3)
    (exploit,) = tell(scheduler, 0, 20, -100)
    assert exploit.source == 2


def test_decisions_follow_from_the_seed_alone() -> None:
    def log(seed: int) -> list[Any]:
        scheduler, rng, found = make(8, seed), np.random.default_rng(1), []
        for time in range(1, 60):
            for trial in range(8):
                random.seed(time)
                found += tell(scheduler, trial, time, float(rng.normal() + trial))
        return found

    first = log(0)
    assert len(first) > 5
    assert log(0) == first
    assert log(1) != first


def test_members_of_one_interval_wait_for_the_slowest_and_a_dead_one_is_not_waited_for() -> None:
    scheduler = make(5, synch=True)
    for trial in range(3):
        assert tell(scheduler, trial, 10, 50 * trial) == [Pause(trial)]
    assert scheduler.on_error(3) == []
    decisions = tell(scheduler, 4, 10, 200)
    assert [d.target for d in decisions if isinstance(d, Exploit)] == [0]
    assert [d for d in decisions if isinstance(d, Resume)] == [Resume(0), Resume(1), Resume(2)]
    assert tell(scheduler, 0, 20, 1.0) == [Pause(0)]


@pytest.mark.parametrize("how", ["on_error", "on_complete"])
def test_the_one_they_wait_for_dies_and_they_go_on(how: str) -> None:
    scheduler = make(3, synch=True)
    tell(scheduler, 0, 10, 0.0)
    tell(scheduler, 1, 10, 9.0)
    gone = scheduler.on_error(2) if how == "on_error" else scheduler.on_complete(2, None)
    assert [type(d) for d in gone] == [Exploit, Resume, Resume]


def test_a_population_that_stays_incomplete_goes_on_when_nothing_else_happens() -> None:
    scheduler = make(2, synch=True)
    scheduler.trials = 4
    assert [tell(scheduler, n, 10, n) for n in range(2)] == [[Pause(0)], [Pause(1)]]
    assert scheduler.on_idle()[1:] == [Resume(0), Resume(1)]


def test_a_population_larger_than_its_places_trains_in_turns() -> None:
    scheduler = make(3)
    assert tell(scheduler, 0, 19, 1.0) == []
    assert tell(scheduler, 0, 20, 1.0) == [Pause(0)]
    tell(scheduler, 1, 9, 2.0)
    assert tell(scheduler, 2, 9, 2.0) == []
    assert tell(scheduler, 1, 10, 2.0) == []
    assert Resume(0) in tell(scheduler, 2, 10, 2.0)


def mutated(space: Any, config: Any, paths: list[str], resample: float = 0.0) -> list[Any]:
    tree = Space(space).tree
    step = Step((1.2, 0.8), resample)
    draws = [Perturbed(config, paths, np.random.default_rng(n), step) for n in range(40)]
    return [explore(tree, draw) for draw in draws]


def values(space: Any, old: Any, resample: float = 0.0) -> set[Any]:
    return {found["x"] for found in mutated({"x": space}, {"x": old}, ["x"], resample)}


@pytest.mark.parametrize(
    ("domain", "old", "new"),
    [
        (uniform(0.0, 10.0), 5.0, [6.0, 4.0]),
        (uniform(0.0, 10.0), 9.0, [10.0, 7.2]),
        (uniform(0.0, 10.0), 10.0, [8.0]),
        (uniform(-1.0, 1.0), 0.0, [0.4, -0.4]),
        (uniform(0.0, 1.0), 0.0, [0.2]),
        (loguniform(1e-4, 1e-1), 1e-4, [1.2e-4]),
        (quniform(0.0, 1.0, 0.25), 0.5, [0.75, 0.25]),
        (randint(1, 4), 1, [2]),
        (randint(1, 100), 10, [12, 8]),
        (randint(3, 4), 3, [3]),
        (randn(0.0, 1.0), 5.0, [6.0, 4.0]),
        (choice(["a", "b", "c"]), "b", ["a", "c"]),
        (choice(["a", "b", "c"]), "a", ["b"]),
        (choice(["a"]), "a", ["a"]),
    ],
    ids=str,
)
def test_a_value_moves_within_its_domain(domain: Any, old: Any, new: list[Any]) -> None:
    found = values(domain, old)
    assert sorted(found) == (sorted(new) if isinstance(old, str) else pytest.approx(sorted(new)))
    assert all(type(value) is type(old) for value in found)


def test_resampling_draws_from_the_whole_domain() -> None:
    found = values(uniform(0.0, 1.0), 0.5, resample=1.0)
    assert len(found) == 40
    assert min(found) < 0.2
    assert max(found) > 0.8


def test_a_number_that_nothing_moves_stays() -> None:
    assert moved(uniform(2.0, 2.0), 2.0, 1.2, (1.2, 0.8)) == 2.0


def test_nested_names_move_and_everything_else_stays() -> None:
    space = {"model": {"lr": loguniform(1e-5, 1.0), "size": choice([8, 16])}, "x": uniform(0, 1)}
    old = {"model": {"lr": 0.1, "size": 8}, "x": 0.5, "mine": 3}
    for new in mutated(space, old, ["model/lr"]):
        assert new["model"]["lr"] in (pytest.approx(0.12), pytest.approx(0.08))
        assert (new["model"]["size"], new["x"], new["mine"]) == (8, 0.5, 3)


def test_a_choice_that_goes_another_way_brings_its_own_parameters() -> None:
    space = {
        "how": choice(["sgd", "adam"]),
        "momentum": when("how", "sgd", uniform(0.0, 1.0)),
        "beta": when("how", "adam", uniform(0.9, 1.0)),
    }
    for new in mutated(space, {"how": "sgd", "momentum": 0.5}, ["how"]):
        assert Space(space).contains(new)
        assert new["how"] == "adam"


def test_ray_tunes_forms_of_mutations_are_read() -> None:
    scheduler = make(
        space={"lr": 1.0, "const": 3},
        hyperparam_mutations={
            "lr": lambda: 5.0,
            "gamma": [0.9, 0.99],
            "model/x": uniform(0, 1),
            "deep": {"er": {"uniform": [0, 1]}},
        },
        resample_probability=1.0,
    )
    completed = scheduler.complete(Space({"lr": 1.0, "const": 3}))
    assert sorted(completed.domains) == ["deep/er", "gamma", "model/x"]
    for trial in range(5):
        tell(scheduler, trial, 9, trial)
    (exploit,) = tell(scheduler, 0, 20, -1.0)
    assert exploit.config["lr"] == 5.0
    assert exploit.config["gamma"] in (0.9, 0.99)
    assert exploit.config["const"] == exploit.source


def test_a_custom_function_has_the_last_word_and_must_return_a_configuration() -> None:
    scheduler = ranked(custom_explore_fn=lambda config: {**config, "lr": 99})
    assert tell(scheduler, 0, 20, -100)[0].config["lr"] == 99
    scheduler = ranked(custom_explore_fn=lambda config: None)
    with pytest.raises(InvalidSpec, match="must return a configuration"):
        tell(scheduler, 0, 20, -100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation_interval": 0}, "above 0"),
        ({"perturbation_interval": "1"}, "must be a number"),
        ({"quantile_fraction": 0.6}, r"quantile_fraction: 0.6 given.*\[0.0, 0.5\]"),
        ({"resample_probability": 2}, "resample_probability"),
        ({"perturbation_factors": [2, 3]}, "one must be above 1"),
        ({"perturbation_factors": 2}, "two numbers"),
        ({"synch": 1}, "synch: 1 given; it must be a bool"),
        ({"hyperparam_mutations": {"a": {"b": 3}}}, r"hyperparam_mutations.a.b: 3 given; a domain"),
        ({"hyperparam_mutations": {"a": {"uniform": [2, 1]}}}, r"hyperparam_mutations.a: .*swap"),
        ({"hyperparam_mutations": {}}, "is empty"),
        ({"hyperparam_mutations": 3}, "a dict of domains"),
        ({"custom_explore_fn": "f"}, "must be a function"),
        ({"perturbation_intervall": 3}, "did you mean 'perturbation_interval'"),
    ],
    ids=str,
)
def test_impossible_options_say_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        schedulers.create({"type": "pbt", **options})


def test_nothing_to_change_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="searches nothing that a trial can change"):
        make(space={"lr": 1.0})


def test_a_structural_parameter_is_refused_by_name_and_left_out_by_default() -> None:
    space = Space({"lr": uniform(0, 1), "size": choice([1, 2])})
    scheduler = PopulationBasedTraining(hyperparam_mutations={"size": [1, 2]})
    with pytest.raises(InvalidSpec, match=r"hyperparam_mutations.size: is structural"):
        scheduler.introduce(space, 2, lambda _: {"size"})
    scheduler = PopulationBasedTraining()
    scheduler.introduce(space, 2, lambda _: {"size"})
    assert scheduler._mutated == ["lr"]


def test_a_replay_takes_each_configuration_in_its_time() -> None:
    policy = [[0, {"lr": 1, "model": {"x": 1}}], [4, {"lr": 2}], [6, {"model": {"x": 3}}]]
    replay = schedulers.create({"type": "pbt_replay", "policy_file": policy})
    replay.setup(None, None, 0)
    given = {"lr": 9, "const": 5, "model": {"x": 0, "y": 7}}
    first = {"lr": 1, "const": 5, "model": {"x": 1, "y": 7}}
    assert replay.on_add(0, given) == [Exploit(0, 0, first)]
    assert replay.on_result(0, {"training_iteration": 3}) == []
    assert replay.on_result(0, {"training_iteration": 4}) == [Exploit(0, 0, {**first, "lr": 2})]
    assert replay.on_result(0, {"training_iteration": 4}) == []
    last = {"lr": 2, "const": 5, "model": {"x": 3, "y": 7}}
    assert replay.on_result(0, {"training_iteration": 9}) == [Exploit(0, 0, last)]


def test_a_replay_reads_files_of_ours_and_of_rays_but_json_names_no_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps([[0, {"lr": 1}], [4, {"lr": 2}]]))
    assert PopulationBasedTrainingReplay(path).policy == [(0, {"lr": 1}), (4, {"lr": 2})]
    lines = [["x", "c", 1, 9, {"lr": 0}, {"lr": 9}], ["a", "b", 5, 4, {"lr": 1}, {"lr": 2}]]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert PopulationBasedTrainingReplay(str(path)).policy[-1] == (4, {"lr": 2})
    with pytest.raises(InvalidSpec, match="must be a list"):
        schedulers.create({"type": "pbt_replay", "policy_file": str(path)})
    with pytest.raises(InvalidSpec, match="cannot be read"):
        PopulationBasedTrainingReplay(tmp_path / "none.json")
    for wrong in ([[1, {}], [1, {}]], [[-1, {}]], [["a"]], []):
        with pytest.raises(InvalidSpec, match="policy_file"):
            PopulationBasedTrainingReplay(wrong)


def test_the_family_is_exported_under_rays_names() -> None:
    for name in ("PopulationBasedTraining", "PopulationBasedTrainingReplay", "PB2"):
        assert getattr(tunerl, name) is schedulers.get(name)
