"""Halving over seeds: decisions, and a controller that gives trials more replicas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Herd, Watched, laboratory
from tunerl.control.ledger import replica_seeds
from tunerl.errors import InvalidSpec
from tunerl.runtime.base import Join, Step
from tunerl.runtime.local import LocalRuntime
from tunerl.schedulers import Pause, Resume, SeedHalvingScheduler, Stop, Widen
from tunerl.trial import ExperimentStatus, Status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Makes experiments; closes their stores afterwards."""
    with laboratory(tmp_path) as make:
        yield make


def halving(**options: Any) -> SeedHalvingScheduler:
    scheduler = SeedHalvingScheduler(metric="m", mode="max", **options)
    scheduler.setup(None, None, 0)
    return scheduler


def report(scheduler: SeedHalvingScheduler, trial: int, time: float, value: float) -> Any:
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


def test_rungs_have_more_and_more_seeds_and_are_spread_over_the_second_half() -> None:
    scheduler = halving(max_t=12, max_seeds=6)
    assert scheduler.ladder == [1, 2, 4, 6]
    assert [rung.milestone for rung in scheduler.rungs[0]] == [6, 8, 10, 12]


def test_the_best_half_goes_on_on_twice_the_seeds() -> None:
    scheduler = halving(max_t=3, grace_period=1, max_seeds=4)
    assert report(scheduler, 0, 1, 5) == [Pause(0)]
    assert report(scheduler, 1, 1, 7) == [Widen(1, 2)]
    assert report(scheduler, 2, 1, 6) == [Pause(2)]
    assert report(scheduler, 3, 1, 1) == [Pause(3), Widen(2, 2), Resume(2)]
    assert report(scheduler, 1, 2, 1) == [Pause(1)]
    assert report(scheduler, 2, 2, 2) == [Widen(2, 4)]
    assert report(scheduler, 2, 3, 2) == [Stop(2, complete=True)]
    assert scheduler.on_idle() == [Stop(0), Stop(1), Stop(3)]


OPTIONS = {"type": "seed_halving", "max_t": 3, "grace_period": 1, "max_seeds": 4}


def test_survivors_are_judged_on_more_seeds_from_their_rung_on(run: Any) -> None:
    experiment = run(Herd(), scheduler=OPTIONS, stop={}, param_space={"lr": {"uniform": [0, 1]}},
                     num_samples=8)  # fmt: skip
    assert experiment.run() is ExperimentStatus.COMPLETED
    trials = experiment.trials
    assert {len(trial.seeds) for trial in trials} == {1, 2, 4}
    best = max(trials, key=lambda trial: trial.config["lr"])
    assert (len(best.seeds), best.iteration) == (4, 3)
    assert best.seeds == replica_seeds(0, best.number, 4)
    results = experiment.store.results(experiment.id, trial=best.number)
    assert [len(result.replicas) or 1 for result in results] == [1, 2, 4]
    assert best.objective == pytest.approx(3 * best.config["lr"])
    assert "trial.widened" in experiment.events


def test_new_replicas_catch_up_alone_and_the_old_ones_wait_saved(run: Any) -> None:
    runtime = Watched(2)
    experiment = run(Climb, scheduler={**OPTIONS, "max_seeds": 2, "max_t": 4, "grace_period": 3},
                     stop={}, param_space={"lr": 1.0})  # fmt: skip
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    (trial,) = experiment.trials
    assert (trial.iteration, len(trial.seeds), trial.objective) == (4, 2, 4.0)
    joins = [o for orders in runtime.sent for o in orders if isinstance(o, Join)]
    assert [(join.id.index, join.checkpoint is not None) for join in joins] == [
        (0, False),
        (1, False),
        (0, True),
    ]
    steps = sum(isinstance(o, Step) for orders in runtime.sent for o in orders)
    assert steps == 3 + 3 + 2, "neither trained anything twice"
    record = experiment.store.get_experiment(experiment.id)
    assert experiment.store.steps(record.id) == 0


def test_a_worker_lost_while_new_replicas_catch_up_costs_nothing_but_time(run: Any) -> None:
    outcomes = []
    for lose in ([], [4], [5, 7]):
        experiment = run(Herd(), scheduler=OPTIONS, stop={}, num_samples=4,
                         param_space={"lr": {"uniform": [0, 1]}})  # fmt: skip
        assert experiment.run(Watched(1, lose)) is ExperimentStatus.COMPLETED
        outcomes.append([(t.config, t.seeds, t.iteration, t.objective) for t in experiment.trials])
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_more_seeds_than_there_is_room_for_are_refused_before_anything_runs(run: Any) -> None:
    experiment = run(Climb, scheduler=OPTIONS, stop={})
    with pytest.raises(InvalidSpec, match=r"scheduler\.max_seeds: 4 replicas"):
        experiment.run(LocalRuntime(2))
    assert all(trial.status is Status.CANCELED for trial in experiment.trials)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_seeds": 1}, "scheduler.max_seeds"),
        ({"reduction_factor": 1.5}, "scheduler.reduction_factor"),
        ({"grace_period": 0}, "scheduler.grace_period"),
        ({"max_t": 5, "grace_period": 6}, "scheduler.grace_period"),
    ],
)
def test_impossible_options_are_refused_under_their_path(options: Any, path: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        SeedHalvingScheduler(**options)
    assert [problem.path for problem in error.value.problems] == [path]
