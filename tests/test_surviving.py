"""Workers, checkpoints and requests that go wrong under a sweep; see docs/surviving.md."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.runs import Climb, Experiment, Herd, Watched, laboratory
from tests.test_interruptions import stop_at
from tunerl import checkpoints
from tunerl.control import controller as controllers
from tunerl.runtime.base import Join, Lost, Report
from tunerl.runtime.local import LocalRuntime
from tunerl.trainable import State
from tunerl.trial import ExperimentStatus, Status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


class Counting(Climb):
    """Counts environment steps as an algorithm does."""

    def step(self) -> Mapping[str, Any]:
        metrics = super().step()
        return {**metrics, "num_env_steps_sampled_lifetime": 7 * (self.iteration + 1)}


def rows(experiment: Experiment) -> list[Any]:
    found = experiment.store.results(experiment.id)
    return sorted((r.trial, r.iteration, r.objective) for r in found)


def joins(runtime: Watched) -> list[Join]:
    return [order for sent in runtime.sent for order in sent if isinstance(order, Join)]


@pytest.mark.parametrize("lost", [2, 4, 6])
def test_a_trial_of_a_lost_worker_goes_on_from_its_checkpoint_and_its_counters_go_on(
    run: Any, lost: int
) -> None:
    given = {"param_space": {"lr": 1.0}, "stop": {"training_iteration": 8}}
    experiment, runtime = run(Counting, checkpoint={"frequency": 2}, **given), Watched(1, [lost])
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert rows(experiment) == [(0, i, float(i)) for i in range(1, 9)]
    metrics = [r.metrics for r in experiment.store.results(experiment.id)]
    assert [m["num_env_steps_sampled_lifetime"] for m in metrics] == [7 * i for i in range(1, 9)]
    times = [m["time_total_s"] for m in metrics]
    assert lost == 2 or times[lost] > times[lost - 3]  # of its checkpoint
    assert [join.checkpoint is None for join in joins(runtime)] == [True, lost == 2]
    assert experiment.trials[0].failures == 0


def test_all_trials_of_a_lost_node_are_queued_again_and_none_is_charged(run: Any) -> None:
    space = {"lr": {"grid_search": [float(n) for n in range(1, 9)]}}
    experiment = run(Herd(), param_space=space, failure={"max_failures": 0})
    assert experiment.run(Watched(1, [1])) is ExperimentStatus.COMPLETED
    assert rows(experiment) == [(t, i, (t + 1.0) * i) for t in range(8) for i in (1, 2, 3)]
    assert {(t.failures, t.attempt) for t in experiment.trials} == {(0, 2)}


class Unkind(Watched):
    """Knows nothing any more of a pack whose worker is gone."""

    ordered = False

    def working(self, pack: str) -> bool:
        return bool(self._hosts[pack])


def test_a_worker_that_is_lost_before_its_first_report_is_replaced(run: Any) -> None:
    experiment = run()
    assert experiment.run(Unkind(2, [0])) is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]


class Filed(Climb):
    """Its checkpoint is a file; where it was written on the worker is gone afterwards."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        Path(checkpoint_dir, "total").write_text(repr(self.total))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = float(Path(checkpoint, "total").read_text())


def test_what_a_lost_node_had_saved_is_in_the_storage_and_nowhere_else(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "the disk of the worker"
    disk.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    experiment, runtime = run(Filed, checkpoint={"frequency": 1}), Watched(1, [3])
    root = f"memory://storage-{experiment.id}/{experiment.id}"
    assert experiment.run(runtime, root=root) is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]
    (taken,) = [join.checkpoint for join in joins(runtime) if join.checkpoint is not None]
    assert taken.startswith(root)
    assert list(disk.iterdir()) == []


def kill_in_a_save(at: int, uri: str) -> bool:
    """Save in a process that is killed before its `at`-th touch of a file; whether it was."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = [at]

    def touch(event: str, args: Any) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(touch)
        checkpoints.save(State({"w": np.ones(5)}, {"new": True}), uri, {})
    finally:
        os._exit(0)


def test_a_save_that_is_killed_anywhere_leaves_the_checkpoint_before_and_no_half(
    tmp_path: Path,
) -> None:
    trial = f"{tmp_path}/00000"
    first, second = (f"{trial}/checkpoint_{i:06d}/0" for i in (1, 2))
    checkpoints.save(State({"w": np.zeros(5)}, {"new": False}), first, {})
    at = 0
    while kill_in_a_save(at, second):
        at += 1
        found = checkpoints.latest_good(trial, 0, 2)
        assert found in (first, second)
        assert checkpoints.load(found)[0].values == {"new": found == second}
        checkpoints.delete(f"{trial}/checkpoint_000002")
    assert at > 5
    assert checkpoints.latest_good(trial, 0, 2) == second


def test_a_corrupt_checkpoint_is_passed_over_said_and_nothing_else_changes(run: Any) -> None:
    given = {"param_space": {"lr": 1.0}, "stop": {"training_iteration": 5}}
    experiment = run(checkpoint={"frequency": 1}, **given)
    stop_at(experiment, 3, lambda: controller.interrupt("interrupted"))
    controller = experiment.controller(LocalRuntime(1))
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    newest = experiment.store.checkpoints(experiment.id)[-1]
    Path(newest.uri, "0", "state.json").write_text("{}")
    experiment.custom = type(experiment.custom)()
    assert experiment.run(LocalRuntime(1)) is ExperimentStatus.COMPLETED
    assert rows(experiment) == [(0, i, float(i)) for i in range(1, 6)]
    events = experiment.store.events(experiment.id, limit=1000)
    (event,) = [event for event in events if event.kind == "checkpoint.fell_back"]
    assert f"checkpoint_{newest.iteration - 1:06d}" in event.message


@pytest.mark.parametrize("when", ["save", "start"])
@pytest.mark.parametrize("asked", ["cancel", "pause"])
def test_a_request_that_comes_while_a_trial_is_saved_or_starts_is_carried_out(
    run: Any, monkeypatch: pytest.MonkeyPatch, when: str, asked: str
) -> None:
    experiment = run(checkpoint={"frequency": 2}, stop={"training_iteration": 4})
    controller = experiment.controller()
    request = controllers.Heartbeat.request
    made: list[bool] = []

    def ask(*_: Any) -> None:
        if not made:
            made.append(True)
            experiment.store.set_request(experiment.id, asked)
            heart = experiment.store.renew(controller.lease, 30)
            monkeypatch.setattr(controllers.Heartbeat, "request", lambda self: heart)

    if when == "save":
        save = checkpoints.save
        monkeypatch.setattr(checkpoints, "save", lambda *args: (ask(), save(*args))[1])
    else:
        setup = Climb.setup
        monkeypatch.setattr(Climb, "setup", lambda *args: (ask(), setup(*args))[1])
    expected = {"cancel": ExperimentStatus.CANCELED, "pause": ExperimentStatus.PAUSED}[asked]
    assert controller.run() is expected
    experiment.store.release(controller.lease)
    for record in experiment.store.checkpoints(experiment.id):
        assert checkpoints.load(f"{record.uri}/0")[1]["training_iteration"] == record.iteration
    if asked == "cancel":
        assert {t.status for t in experiment.trials} == {Status.CANCELED}
        return
    monkeypatch.setattr(controllers.Heartbeat, "request", request)
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert rows(experiment) == [(t, i, (t + 1.0) * i) for t in range(3) for i in range(1, 5)]


class Deaf(Watched):
    """Its packs never report again after the first `after` times; closed, they are ended."""

    ordered, killable = False, True

    def __init__(self, after: int) -> None:
        super().__init__(2)
        self._after, self.ended = after, 0

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        self._after -= 1
        return super().wait(timeout) if self._after >= 0 else []

    def close(self, pack: str) -> None:
        self.ended += any(queued == pack for queued, _ in self._queue)
        super().close(pack)


def test_who_does_not_stop_when_asked_is_ended_after_a_grace(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.control.suspension.SUSPEND_S", 0.05)
    experiment, runtime = run(), Deaf(2)
    controller = experiment.controller(runtime)
    stop_at(experiment, 1, lambda: controller.interrupt("interrupted"))
    controller = experiment.controller(runtime, lease=controller.lease)
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    assert runtime.ended == 2
    experiment.custom = type(experiment.custom)()
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert rows(experiment) == [(t, i, (t + 1.0) * i) for t in range(3) for i in (1, 2, 3)]
