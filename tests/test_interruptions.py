"""What ends or pauses an experiment from outside: full disks, signals, requests, clocks, leases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Experiment, Watched, laboratory
from tunerl import checkpoints
from tunerl.errors import Fenced, StorageFull
from tunerl.runtime.base import Join
from tunerl.trial import ExperimentStatus, Reason, Status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Makes experiments; closes their stores afterwards."""
    with laboratory(tmp_path) as make:
        yield make


def test_a_full_disk_pauses_and_a_second_run_goes_on(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = run(checkpoint={"frequency": 2}, stop={"training_iteration": 4})
    whole = checkpoints.save

    def full(*args: Any) -> Any:
        raise StorageFull("no space left for the checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", full)
        assert experiment.run() is ExperimentStatus.PAUSED
    found = experiment.store.get_experiment(experiment.id)
    assert "no space left" in found.reason
    assert experiment.store.checkpoints(experiment.id) == []
    assert {t.status for t in experiment.trials} == {Status.PENDING}
    assert checkpoints.save is whole
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [4.0, 8.0, 12.0]
    results = experiment.store.results(experiment.id)
    assert sorted((r.trial, r.iteration) for r in results) == [
        (trial, iteration) for trial in range(3) for iteration in range(1, 5)
    ]


def stop_at(experiment: Experiment, iteration: int, action: Any) -> None:
    """Call `action` at the first result of that iteration."""
    called: list[bool] = []

    def stop(trial: str, result: dict[str, Any]) -> bool:
        if result["training_iteration"] == iteration and not called:
            called.append(True)
            action()
        return False

    experiment.custom = type(experiment.custom)(stop=stop)


def test_an_interrupt_saves_and_a_second_run_goes_on_from_there(run: Any) -> None:
    experiment = run()
    stop_at(experiment, 2, lambda: controller.interrupt("interrupted"))
    controller = experiment.controller()
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    assert {t.status for t in experiment.trials} <= {Status.PENDING, Status.TERMINATED}
    saved = {c.trial: c.iteration for c in experiment.store.checkpoints(experiment.id)}
    assert saved
    assert all(saved[t.number] == t.iteration for t in experiment.trials if t.iteration)
    experiment.custom = type(experiment.custom)()
    runtime = Watched()
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]
    joins = [order for sent in runtime.sent for order in sent if isinstance(order, Join)]
    assert {j.id.trial for j in joins if j.checkpoint is not None} == set(saved)


def test_a_worker_that_shuts_down_puts_the_experiment_back_in_the_queue(run: Any) -> None:
    experiment = run()
    stop_at(experiment, 2, lambda: controller.interrupt("shut down", requeue=True))
    controller = experiment.controller()
    assert controller.run() is ExperimentStatus.PENDING
    experiment.store.release(controller.lease)


@pytest.mark.parametrize(
    ("request_", "status", "trial"),
    [
        ("cancel", ExperimentStatus.CANCELED, Status.CANCELED),
        ("pause", ExperimentStatus.PAUSED, Status.PENDING),
    ],
)
def test_requests_of_the_user_are_heard(
    run: Any, monkeypatch: pytest.MonkeyPatch, request_: str, status: Any, trial: Any
) -> None:
    monkeypatch.setattr("tunerl.control.heartbeat.BEAT_S", 0.01)
    experiment = run(stop={"training_iteration": 10**9})
    ask = experiment.store.set_request
    stop_at(experiment, 3, lambda: ask(experiment.id, request_))
    assert experiment.run() is status
    assert {t.status for t in experiment.trials} == {trial}
    assert experiment.store.get_experiment(experiment.id).request is None


def test_a_controller_whose_lease_has_passed_on_stops_at_once(run: Any) -> None:
    experiment = run(stop={"training_iteration": 10**9})

    def steal() -> None:
        experiment.store.release(controller.lease)
        experiment.store.acquire(experiment.id, "another", 30)

    stop_at(experiment, 3, steal)
    controller = experiment.controller()
    with pytest.raises(Fenced):
        controller.run()
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.RUNNING


def test_the_time_budget_ends_all_trials(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = run(stop={}, time_budget_s=1000.0, num_samples=4)
    late = iter([0.0] * 12)
    monkeypatch.setattr("tunerl.control.controller.time_used", lambda *_: 0.0)
    monkeypatch.setattr("tunerl.control.budget.TimeBudget.left", lambda _: 1 - next(late, 1.0))
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert {t.reason for t in experiment.trials} == {Reason.BUDGET}
    assert "time budget" in experiment.store.get_experiment(experiment.id).reason
    ran = [t for t in experiment.trials if t.iteration]
    saved = {c.trial: c.iteration for c in experiment.store.checkpoints(experiment.id)}
    assert saved == {t.number: t.iteration for t in ran}


def test_a_stopper_ends_the_whole_experiment(run: Any) -> None:
    class Enough:
        seen = 0

        def __call__(self, trial: str, result: dict[str, Any]) -> bool:
            self.seen += 1
            return False

        def stop_all(self) -> bool:
            return self.seen >= 4

    experiment = run(stop={}, custom_stop=Enough())
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert {t.reason for t in experiment.trials} == {Reason.STOP_RULE}
