"""What goes wrong in one trial, or was asked for and cannot be: defined, and nothing else is lost.

Elsewhere: metrics by each scheduler's own rules in test_scheduling.py; callbacks that raise in
test_tuner_callbacks.py; workers that die in test_suspects.py; PBT over what is structural in
test_pbt.py; spaces in test_spec.py, test_space.py, test_user.py.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Herd, Watched, laboratory
from tunerl import FailureConfig, RunConfig, TuneConfig, Tuner, uniform
from tunerl.control import shortage, watchdog
from tunerl.errors import InvalidInput, InvalidSpec, MetricError
from tunerl.metrics import LIST_VALUES, TEXT_CHARS, flatten
from tunerl.runtime.base import Lost, Order, Report
from tunerl.runtime.local import LocalRuntime
from tunerl.spec import check
from tunerl.trainable import LINE_CHARS, TRACEBACK_CHARS, Failure
from tunerl.trial import ExperimentStatus, Status

BAD = [math.nan, math.inf, -math.inf, None, "high", [1.0], "gone"]
SCHEDULERS: list[dict[str, Any]] = [
    {"type": "fifo"},
    {"type": "asha", "max_t": 4},
    {"type": "median", "grace_period": 1, "min_samples_required": 1},
    {"type": "pbt", "perturbation_interval": 2,
     "hyperparam_mutations": {"lr": {"uniform": [0.5, 4.0]}}},
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda given: str(given["type"]))
def test_a_metric_that_breaks_harms_only_its_trial_and_never_wins(
    run: Any, scheduler: dict[str, Any]
) -> None:
    class Odd(Climb):
        """The trial of ``lr`` 2 and more reports what is bad from its second iteration on."""

        def step(self) -> Mapping[str, Any]:
            metrics = dict(super().step())
            index = int(self.config["lr"]) - 2
            if 0 <= index < len(BAD) and self.total > self.config["lr"]:
                metrics["score"] = BAD[index]
                if BAD[index] == "gone":
                    del metrics["score"]
            return metrics

    count = len(BAD) + 2
    space = {"lr": {"grid_search": [float(n) for n in range(1, count + 1)]}}
    experiment = run(Odd, scheduler=scheduler, param_space=space, stop={"training_iteration": 4})
    assert experiment.run(LocalRuntime(count)) is ExperimentStatus.COMPLETED
    strict = scheduler["type"] != "fifo"
    for trial in experiment.trials:
        bad = BAD[trial.number - 1] if 0 < trial.number <= len(BAD) else 0.0
        text = strict and isinstance(bad, str | list)
        assert trial.status is (Status.ERROR if text else Status.TERMINATED), bad
        if text:
            assert "the scheduler's metric 'score' is" in trial.error
    assert experiment.trials[-1].objective == 4.0 * count
    assert experiment.store.best(experiment.id).number == count - 1


def test_what_is_too_long_for_a_result_is_cut_or_refused() -> None:
    text = flatten({"said": "x" * 10 * TEXT_CHARS})["said"]
    assert len(text) < TEXT_CHARS + 100
    assert "(100,000 characters)" in text
    assert len(flatten({"list": [0] * LIST_VALUES})["list"]) == LIST_VALUES
    with pytest.raises(MetricError, match="'list' is a list of 100,001 values; report a summary"):
        flatten({"list": [0] * (LIST_VALUES + 1)})


def test_an_error_of_megabytes_keeps_its_beginning_and_its_end() -> None:
    try:
        raise ValueError("a" * 5_000_000 + " the end")
    except ValueError as error:
        failure = Failure.of(error)
    assert failure.error.startswith("ValueError: aaa")
    assert failure.traceback.rstrip().endswith(" the end")
    assert len(failure.error) < LINE_CHARS + 100
    assert len(failure.traceback) < TRACEBACK_CHARS + 100


class Hanging(Watched):
    """Ends packs that are under way. While the guilty trial sits in one it does not report."""

    killable, ordered = True, False

    def __init__(self, guilty: int, slots: int = 1) -> None:
        super().__init__(slots)
        self.guilty, self.members, self.ended = guilty, {}, []  # type: ignore[var-annotated]

    def advance(self, pack: str, orders: Any) -> None:
        here = self.members.setdefault(pack, set())
        here |= {o.id.trial for o in orders if type(o).__name__ == "Join"}
        super().advance(pack, orders)

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        for index, (pack, _) in enumerate(self._queue):
            if self.guilty not in self.members[pack]:
                self._queue.rotate(-index)
                return super().wait(timeout)
        return []

    def close(self, pack: str) -> None:
        if any(queued == pack for queued, _ in self._queue):
            self.ended.append(len(self.members[pack]))
        super().close(pack)


def test_a_trial_that_hangs_is_ended_and_its_neighbours_go_on(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 10**6, 20))
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: float(next(now)))
    space = {"lr": {"grid_search": [1.0, 2.0, 3.0, 4.0]}}
    failure = {"hang_timeout_s": 60.0, "max_failures": 1}
    experiment, runtime = run(Herd(), param_space=space, failure=failure), Hanging(guilty=2)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.ended == [4, 4, 2, 1, 1]
    assert [t.status is Status.ERROR for t in experiment.trials] == [False, False, True, False]
    assert [t.failures for t in experiment.trials] == [0, 0, 2, 0]
    assert "not reported for 60 s (hang_timeout_s)" in experiment.trials[2].error
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, None, 12.0]


def test_without_a_limit_a_person_is_told_that_a_pack_is_silent(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 10**6, 20))
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: float(next(now)))
    space = {"lr": {"grid_search": [1.0, 2.0]}}
    experiment, runtime = run(Herd(), param_space=space), Hanging(guilty=1)
    controller = experiment.controller(runtime)
    look = controller._shortage.look

    def watched() -> None:
        look()
        if controller._shortage.reason is not None:
            controller.interrupt(controller._shortage.reason)

    monkeypatch.setattr(controller._shortage, "look", watched)
    monkeypatch.setattr("tunerl.control.suspension.SUSPEND_S", 0.0)
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    reason = experiment.store.get_experiment(experiment.id).reason
    assert reason.startswith("1 packs have not reported for more than 10 min")


def test_a_limit_that_cannot_be_kept_or_makes_no_sense_is_refused(run: Any) -> None:
    experiment = run(failure={"hang_timeout_s": 60.0})
    with pytest.raises(InvalidSpec, match="which cannot end what hangs"):
        experiment.run()
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.ERROR
    for limit in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidSpec, match="seconds, more than 0"):
            Tuner(
                Climb,
                param_space={"lr": 1.0},
                run_config=RunConfig(failure_config=FailureConfig(hang_timeout_s=limit)),
            )


class Halfway(LocalRuntime):
    """A cluster that nodes join after it was asked `after` times."""

    ordered, patience_s = False, 1000.0

    def __init__(self, after: int) -> None:
        super().__init__(2)
        self.after, self.wanted = after, []  # type: ignore[var-annotated]

    def slots(self, resources: dict[str, float]) -> int:
        self.after -= 1
        return 0 if self.after > 0 else 2

    def ask_for(self, resources: Mapping[str, float]) -> None:
        self.wanted.append(dict(resources))


def test_a_sweep_waits_for_nodes_and_says_why_until_they_come(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.control.room.TTL_S", 0.0)
    experiment, runtime = run(), Halfway(8)
    controller = experiment.controller(runtime)
    reasons = []
    take = controller._recorder.take

    def watched(reports: Any) -> None:
        reasons.append(experiment.store.get_experiment(experiment.id).reason)
        take(reports)

    controller._recorder.take = watched  # type: ignore[method-assign]
    assert controller.run() is ExperimentStatus.COMPLETED
    experiment.store.release(controller.lease)
    assert any("waits for nodes to join, for 1000 s at most: no node" in (r or "") for r in reasons)
    assert runtime.wanted == [{"CPU": 1.0}]
    assert {"experiment.waits", "experiment.goes_on"} <= set(experiment.events)
    assert experiment.store.get_experiment(experiment.id).reason is None


def test_when_no_node_comes_the_sweep_ends_with_what_was_asked(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 10**6, 300))
    monkeypatch.setattr(shortage.time, "monotonic", lambda: float(next(now)))
    experiment = run()
    with pytest.raises(InvalidSpec, match=r"resources: no node offers \{'CPU': 1.0\}"):
        experiment.run(Halfway(10**9))
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.ERROR


class Vanishing(Watched):
    """Two places, of which one goes before its pack has begun there."""

    killable, ordered = True, False

    def __init__(self) -> None:
        super().__init__(2)
        self.late: str | None = None

    def slots(self, resources: dict[str, float]) -> int:
        return 2 if self.late is None else 1

    def advance(self, pack: str, orders: list[Order]) -> None:
        super().advance(pack, orders)
        if len(self._hosts) == 2 and self.late is None:
            self.late = pack

    def working(self, pack: str) -> bool:
        return pack != self.late

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        if self._queue and self._queue[0][0] == self.late:
            self._queue.rotate(1)
            if self._queue[0][0] == self.late:
                return []
        return super().wait(timeout)


def test_who_waits_on_a_node_that_has_gone_is_placed_elsewhere(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.control.room.TTL_S", 0.0)
    space = {"lr": {"grid_search": [1.0, 2.0, 3.0, 4.0]}}
    experiment = run(Herd(), param_space=space)
    assert experiment.run(Vanishing()) is ExperimentStatus.COMPLETED
    assert [(t.objective, t.failures) for t in experiment.trials] == [
        (3.0, 0), (6.0, 0), (9.0, 0), (12.0, 0)
    ]  # fmt: skip
    lost = [e for e in experiment.store.events(experiment.id) if e.kind == "pack.lost"]
    assert ["no node has a place for it any more" in event.message for event in lost] == [True]


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"searcher": {"type": "bohb"}, "param_space": {"lr": {"grid_search": [1.0]}}},
         "param_space.lr", "cannot be combined with BOHB"),
        ({"param_space": {"lr": {"choice": []}}}, "param_space.lr", "nothing"),
        ({"param_space": {"lr": {"grid_search": {"uniform": [0, 1]}}}}, "param_space.lr", "list"),
        ({"param_space": {"lr": 1.0}, "num_samples": 9}, "param_space", "identical"),
        ({"searcher": {"type": "random", "points_to_evaluate": [{"lr": 5.0}]}},
         "searcher.points_to_evaluate[0].lr", "5.0 is not in uniform"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_under_its_path(
    fields: dict[str, Any], path: str, message: str
) -> None:
    given = {"trainable": "Climb", "metric": "score", "mode": "max", **fields}
    with pytest.raises(InvalidInput) as caught:
        check({"param_space": {"lr": {"uniform": [0.0, 1.0]}}, **given}, Herd())
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert any(each.startswith(path) and message in found[each] for each in found), found


def test_a_searchers_own_space_that_differs_from_param_space_is_refused() -> None:
    pytest.importorskip("optuna")
    from tunerl import OptunaSearch

    search = OptunaSearch(space={"lr": uniform(0, 1)}, metric="score", mode="max")
    with pytest.raises(InvalidInput, match="space"):
        Tuner(
            Climb,
            param_space={"lr": uniform(0, 2)},
            tune_config=TuneConfig(metric="score", mode="max", search_alg=search),
        )


def test_sys_exit_ends_one_trial_only(run: Any) -> None:
    def leave(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"score": 1.0}
        if config["lr"] == 2.0:
            sys.exit("enough")
        yield {"score": 2.0}

    experiment = run(leave, stop={})
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [str(t.status) for t in experiment.trials] == ["TERMINATED", "ERROR", "TERMINATED"]
    assert "SystemExit: enough" in experiment.trials[1].error
