"""Stoppers: Ray Tune's names and signatures, JSON both ways, the same after a crash."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, laboratory
from tunerl import (
    CombinedStopper,
    ExperimentPlateauStopper,
    FunctionStopper,
    MaximumIterationStopper,
    NoopStopper,
    RunConfig,
    Stopper,
    TimeoutStopper,
    TrialPlateauStopper,
    TuneConfig,
    Tuner,
    stoppers,
)
from tunerl.control.stopping import StopRules
from tunerl.errors import InvalidSpec, MetricError
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus, Reason, Status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


def shown(stopper: Stopper, values: list[Any], trial: str = "00000") -> list[bool]:
    return [stopper(trial, {"score": value}) for value in values]


def test_a_trial_ends_at_its_own_nth_result() -> None:
    stopper = MaximumIterationStopper(2)
    assert shown(stopper, [1]) == [False]
    assert shown(stopper, [1], "00001") == [False]
    assert shown(stopper, [1]) == [True]
    assert not stopper.stop_all()


def test_a_plateau_of_a_trial_counts_only_numbers_after_the_grace_period() -> None:
    flat = TrialPlateauStopper("score", std=0.1, num_results=3, grace_period=5)
    assert shown(flat, [1.0, 1.0, 1.0, 1.0, 1.0]) == [False] * 4 + [True]
    broken = TrialPlateauStopper("score", std=0.1, num_results=3, grace_period=0)
    values = [1.0, math.nan, 1.0, None, "x", 1.0, 1.0, 1.0]
    assert shown(broken, values) == [False] * 7 + [True]


def test_a_threshold_of_zero_is_a_threshold() -> None:
    stopper = TrialPlateauStopper("score", num_results=2, metric_threshold=0.0, mode="max")
    assert shown(stopper, [-1.0] * 6 + [0.0, 0.0]) == [False] * 7 + [True]


def test_the_experiment_ends_once_its_best_hardly_differ_for_long_enough() -> None:
    stopper = ExperimentPlateauStopper("score", std=0.01, top=3, mode="max", patience=2)
    assert shown(stopper, [5.0, 5.0, math.nan, 1.0, 5.0]) == [False] * 5  # 5, 5, 5: once
    assert not stopper.stop_all()
    assert shown(stopper, [9.0, 5.0]) == [False, False]  # 9, 5, 5
    assert shown(stopper, [9.0, 9.0, 1.0]) == [False, False, True]
    assert stopper.stop_all()


def test_every_part_of_a_combination_sees_every_result() -> None:
    counted = MaximumIterationStopper(3)
    both = CombinedStopper(FunctionStopper(lambda trial, result: True), counted)
    assert shown(both, [1, 1]) == [True, True]
    assert shown(counted, [1]) == [True]


def test_a_timeout_counts_what_was_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tunerl.stoppers.base.time.monotonic", lambda: now)
    stopper = TimeoutStopper(datetime.timedelta(seconds=10))
    combined = CombinedStopper(NoopStopper(), stopper)
    combined.resume(6.0)
    assert not combined.stop_all()
    now = 104.0
    assert combined.stop_all()


@pytest.mark.parametrize(
    "stopper",
    [
        NoopStopper(),
        MaximumIterationStopper(3),
        TimeoutStopper(5.0),
        ExperimentPlateauStopper("score", 0.1, 4, "max", 2),
        TrialPlateauStopper("score", 0.1, 3, 5, 0.0, "min"),
        CombinedStopper(MaximumIterationStopper(3), TrialPlateauStopper("score")),
    ],
    ids=lambda stopper: stopper.name,
)
def test_json_gives_an_equal_stopper(stopper: Stopper) -> None:
    described = stopper.to_json()
    assert described is not None
    assert stoppers.create(described).to_json() == described


def test_json_covers_all_names() -> None:
    assert stoppers.names() == [
        "combined",
        "experiment_plateau",
        "maximum_iteration",
        "noop",
        "timeout",
        "trial_plateau",
    ]


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: MaximumIterationStopper(0), "max_iter"),
        (lambda: TimeoutStopper(-1.0), "timeout"),
        (lambda: ExperimentPlateauStopper("score", top=1), "top"),
        (lambda: ExperimentPlateauStopper("score", mode="best"), "mode"),
        (lambda: TrialPlateauStopper("score", metric_threshold=0.0), "mode"),
        (lambda: CombinedStopper(lambda trial, result: True), "stoppers"),  # type: ignore[arg-type]
        (lambda: stoppers.create({"type": "trial_plateu"}), "type"),
        (lambda: stoppers.create({"type": "timeout", "timeot": 1}), "timeot"),
        (lambda: stoppers.create({"type": "timeout"}), "timeout"),
        (lambda: stoppers.create({"type": "combined", "stoppers": [3]}), "stoppers"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        make()
    assert caught.value.problems[0].path == f"stopper.{path}"


def test_a_stopper_of_a_tuner_is_data_where_it_can_be() -> None:
    def tuner(stop: Any) -> Any:
        best = TuneConfig(metric="score", mode="max")
        run = RunConfig(stop=stop, runtime=LocalRuntime(1), verbose=0)
        return Tuner(Climb, param_space={"lr": 1.0}, tune_config=best, run_config=run)

    plain = tuner(CombinedStopper(MaximumIterationStopper(2), NoopStopper()))
    assert plain._spec.python == ()
    (trial,) = plain.fit()
    assert (trial.metrics["training_iteration"], trial.reason) == (2, "stop_rule")
    python = tuner(CombinedStopper(FunctionStopper(lambda trial, result: result["score"] > 2)))
    assert python._spec.python == ("stop",)
    (trial,) = python.fit()
    assert trial.metrics["score"] == 3.0
    (trial,) = python.fit()  # again: its stopper begins afresh, and nothing is left to do
    assert trial.metrics["score"] == 3.0


def test_a_metric_that_a_stopper_needs_and_nobody_reports_is_an_error(run: Any) -> None:
    experiment = run(stop={}, stopper={"type": "trial_plateau", "metric": "scor"})
    with pytest.raises(MetricError, match="score"):
        experiment.run()


def test_after_an_interruption_a_stopper_knows_what_it_knew(run: Any) -> None:
    stopper = {"type": "combined", "stoppers": [{"type": "maximum_iteration", "max_iter": 5}]}
    experiment = run(stop={}, stopper=stopper, checkpoint={"frequency": 1})
    controller = experiment.controller()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            controller.interrupt("enough for now")
        type(controller)._turn(controller)

    controller._turn = turn
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    assert max(trial.iteration for trial in experiment.trials) in range(1, 5)
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [trial.iteration for trial in experiment.trials] == [5, 5, 5]
    assert {trial.reason for trial in experiment.trials} == {Reason.STOP_RULE}


def test_a_timeout_ends_an_experiment(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunerl.control.controller.time_used", lambda *_: 60.0)
    experiment = run(stop={}, stopper={"type": "timeout", "timeout": 59.0})
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert {trial.status for trial in experiment.trials} <= {Status.TERMINATED}


def test_an_object_that_remembers_is_copied_even_without_a_word_on_the_experiment() -> None:
    class Third:
        seen = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.seen += 1
            return self.seen == 3

    own = Third()
    for _ in range(2):
        rules = StopRules({}, own)
        assert [rules.reached(0, {}) for _ in range(3)] == [False, False, True]
