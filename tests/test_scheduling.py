"""Schedulers and searchers that go together, driven by a controller on the local runtime."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Herd, laboratory
from tunerl import spec as specs
from tunerl.errors import InvalidSpec, MetricError
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus, Reason, Status

DRAWN = {"lr": {"uniform": [0.0, 1.0]}}
HYPERBAND = {"type": "hyperband", "max_t": 9}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Makes experiments; closes their stores afterwards."""
    with laboratory(tmp_path) as make:
        yield make


def lengths(experiment: Any) -> list[int]:
    return sorted(trial.iteration for trial in experiment.trials)


def test_hyperband_with_one_slot_trains_whole_brackets(run: Any) -> None:
    experiment = run(Climb, scheduler=HYPERBAND, stop={}, param_space=DRAWN, num_samples=17)
    assert experiment.run(LocalRuntime(1)) is ExperimentStatus.COMPLETED
    # 9 trials for 1, 3 of them for 3, one for 9; 5 for 3, 2 of them for 9; 3 for 9
    assert lengths(experiment) == [1] * 6 + [3] * 5 + [9] * 6
    first = sorted(experiment.trials[:9], key=lambda trial: trial.config["lr"])
    assert [trial.iteration for trial in first] == [1] * 6 + [3] * 2 + [9]


def test_what_hyperband_decides_does_not_depend_on_the_number_of_slots(run: Any) -> None:
    outcomes = []
    for target, slots in ((Climb, 1), (Climb, 3), (Herd(), 2)):
        experiment = run(target, scheduler=HYPERBAND, stop={}, param_space=DRAWN, num_samples=16)
        assert experiment.run(LocalRuntime(slots)) is ExperimentStatus.COMPLETED
        outcomes.append([(t.iteration, t.reason) for t in experiment.trials])
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_hyperband_goes_on_when_members_fail(run: Any) -> None:
    space = {"lr": {"uniform": [-0.5, 1.0]}}  # a negative one fails
    experiment = run(Herd(), scheduler=HYPERBAND, stop={}, param_space=space, num_samples=20)
    assert experiment.run() is ExperimentStatus.COMPLETED
    failed = [trial for trial in experiment.trials if trial.status is Status.ERROR]
    assert 2 < len(failed) < 18
    assert all(trial.config["lr"] < 0 for trial in failed)
    assert max(lengths(experiment)) == 9


def test_a_limited_searcher_fills_brackets_since_paused_trials_do_not_count(run: Any) -> None:
    limited = {"type": "limiter", "searcher": {"type": "bohb"}, "max_concurrent": 2}
    experiment = run(Climb, scheduler=HYPERBAND, searcher=limited, stop={}, param_space=DRAWN,
                     num_samples=9)  # fmt: skip
    assert experiment.run(LocalRuntime(2)) is ExperimentStatus.COMPLETED
    assert lengths(experiment) == [1] * 6 + [3] * 2 + [9]


def test_bohb_and_dehb_find_better_ones_as_they_go(run: Any) -> None:
    pairs = [
        (HYPERBAND, {"type": "bohb", "max_concurrent": 2, "random_fraction": 0.1}),
        ({"type": "dehb", "max_t": 9}, {"type": "dehb", "max_t": 9, "max_concurrent": 2}),
    ]
    for scheduler, searcher in pairs:
        experiment = run(Climb, scheduler=scheduler, searcher=searcher, stop={},
                         param_space=DRAWN, num_samples=36)  # fmt: skip
        assert experiment.run(LocalRuntime(2)) is ExperimentStatus.COMPLETED
        drawn = [trial.config["lr"] for trial in experiment.trials]
        assert sum(drawn[18:]) / 18 > sum(drawn[:9]) / 9
        assert max(lengths(experiment)) == 9


def test_dehb_without_its_partner_or_with_another_plan_is_refused() -> None:
    common = {"trainable": "Climb", "param_space": DRAWN, "metric": "score", "mode": "max"}
    for searcher, scheduler in (
        ({"type": "dehb"}, {"type": "fifo"}),
        ({"type": "random"}, {"type": "dehb"}),
        ({"type": "dehb", "max_t": 9}, {"type": "dehb", "max_t": 27}),
    ):
        with pytest.raises(InvalidSpec, match="the same max_t"):
            specs.check({**common, "searcher": searcher, "scheduler": scheduler}, Herd())
    same = {"type": "dehb", "max_t": 9}
    specs.check({**common, "searcher": same, "scheduler": same}, Herd())


@pytest.mark.parametrize("bad", ["high", [1], "gone"])
def test_a_trial_whose_metric_stops_being_a_number_fails_alone(run: Any, bad: Any) -> None:
    def report(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"score": config["lr"]}
        strange = {} if bad == "gone" else {"score": bad}
        yield strange if config["lr"] == 2.0 else {"score": config["lr"]}
        yield {"score": config["lr"]}

    asha = {"type": "asha", "grace_period": 3, "max_t": 3}
    experiment = run(report, scheduler=asha, stop={})
    assert experiment.run() is ExperimentStatus.COMPLETED
    statuses = [trial.status for trial in experiment.trials]
    assert statuses == [Status.TERMINATED, Status.ERROR, Status.TERMINATED]
    error = experiment.trials[1].error
    assert "not among the metrics" in error if bad == "gone" else "must be a number" in error


def test_a_metric_that_never_was_a_number_ends_the_experiment_with_a_message(run: Any) -> None:
    def report(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"score": "high"}

    experiment = run(report, scheduler={"type": "asha"}, stop={})
    with pytest.raises(MetricError, match="must be a number"):
        experiment.run()
    record = experiment.store.get_experiment(experiment.id)
    assert (record.status, "must be a number" in record.reason) == (ExperimentStatus.ERROR, True)


@pytest.mark.parametrize("bad", [math.nan, None, -math.inf])
def test_asha_stops_a_trial_without_numbers_once_another_has_them(run: Any, bad: Any) -> None:
    def report(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        for _ in range(5):
            yield {"score": config["lr"] if config["lr"] > 1 else bad}

    asha = {"type": "asha", "max_t": 5, "reduction_factor": 4}
    experiment = run(report, scheduler=asha, stop={}, max_concurrent_trials=1)
    assert experiment.run(LocalRuntime(1)) is ExperimentStatus.COMPLETED
    assert [t.iteration for t in experiment.trials[1:]] == [5, 5]
    again = run(report, scheduler=asha, stop={}, max_concurrent_trials=1,
                param_space={"lr": {"grid_search": [2.0, 1.0]}})  # fmt: skip
    again.run(LocalRuntime(1))
    assert [(t.iteration, t.reason) for t in again.trials] == [
        (5, Reason.STOP_RULE),
        (1, Reason.SCHEDULER),
    ]


def test_wilcoxon_sees_the_replicas_and_a_restart_decides_the_same(run: Any) -> None:
    options = {
        "scheduler": {"type": "optuna_pruner", "pruner": "wilcoxon"},
        "num_seeds": 5,
        "param_space": {"lr": {"grid_search": [3.0, 1.0, 2.0]}},
        "max_concurrent_trials": 1,
    }
    experiment = run(Herd(), **options)
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [(t.iteration, t.reason) for t in experiment.trials] == [
        (3, Reason.STOP_RULE),
        (1, Reason.SCHEDULER),
        (1, Reason.SCHEDULER),
    ]
    again = run(Herd(), **options)
    controller = again.controller()
    take, taken = controller._recorder.take, []

    def until_the_third(reports: Any) -> None:
        take(reports)
        taken.append(reports)
        if len(taken) == 3:
            controller.interrupt("enough for now")

    controller._recorder.take = until_the_third  # type: ignore[method-assign]
    assert controller.run() is ExperimentStatus.PAUSED
    again.store.release(controller.lease)
    assert again.run() is ExperimentStatus.COMPLETED
    assert [(t.iteration, t.reason) for t in again.trials] == [
        (t.iteration, t.reason) for t in experiment.trials
    ]
