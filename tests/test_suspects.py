"""Whoever takes its worker down again and again is soon alone, and the others go on undisturbed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.runs import Herd, Watched, laboratory
from tunerl.control import suspects
from tunerl.control.ledger import Run
from tunerl.runtime.base import Join, Lost, Order, Report
from tunerl.trial import ExperimentStatus, Status

GUILTY = 5
SWEEP = {
    "param_space": {"lr": {"grid_search": [float(n) for n in range(1, 9)]}},
    "stop": {"training_iteration": 12},
}


class Mined(Watched):
    """Its workers die when the guilty trial has trained in one for `life` iterations. Reports come
    in no order that could be relied on."""

    ordered = False

    def __init__(self, life: int, cause: Literal["exit", "memory", "node"] = "exit") -> None:
        super().__init__(1)
        self._life, self._cause, self._age = life, cause, 0
        self.deaths: list[int] = []  # how many trials each took down
        self.at_death: Callable[[], None] = lambda: None

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        (pack, orders), *_ = self._queue or [("", [])]
        self._age = 0 if any(self._is_guilty(order) for order in orders) else self._age
        reports = super().wait(timeout)
        for report in reports:
            assert isinstance(report, Report)
            here = {id.trial for id in report.results}
            self._age += GUILTY in here
            if GUILTY in here and self._age >= self._life:
                self.deaths.append(len(here))
                self.at_death()
                self.close(pack)
                return [Lost(pack, "it fell over", self._cause)]
        return reports

    @staticmethod
    def _is_guilty(order: Order) -> bool:
        return isinstance(order, Join) and order.id.trial == GUILTY


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


def results(experiment: Any) -> list[Any]:
    found = experiment.store.results(experiment.id)
    return sorted((r.trial, r.iteration, r.objective) for r in found)


@pytest.mark.parametrize("frequency", [0, 1])
@pytest.mark.parametrize("life", [1, 4])
def test_only_the_trial_that_ends_its_process_fails(run: Any, life: int, frequency: int) -> None:
    calm = run(Herd(), **SWEEP)
    calm.run(Watched(1))
    experiment = run(Herd(), **SWEEP, checkpoint={"frequency": frequency})
    runtime = Mined(life)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    guilty = experiment.trials.pop(GUILTY)
    if life > 1 and frequency:  # it gets on from checkpoint to checkpoint
        assert guilty.status is Status.TERMINATED
    else:
        assert guilty.status is Status.ERROR
        assert "3 times in a row: it fell over" in guilty.error
    assert runtime.deaths[:4] == [8, 8, 4, 2]
    assert set(runtime.deaths[4:]) == {1}
    others = [t for t in experiment.trials if t.number != GUILTY]
    assert [(t.status, t.failures) for t in others] == [(Status.TERMINATED, 0)] * 7
    assert [r for r in results(experiment) if r[0] != GUILTY] == [
        r for r in results(calm) if r[0] != GUILTY
    ]


def test_they_train_together_again_once_it_is_clear(run: Any) -> None:
    experiment, runtime = run(Herd(), **SWEEP), Mined(1)
    experiment.run(runtime)
    sizes = [
        sum(isinstance(order, Join) for order in orders)
        for orders in runtime.sent
        if any(isinstance(order, Join) and order.checkpoint for order in orders)
    ]
    assert max(sizes) >= 4


def test_for_its_memory_only_the_guilty_one_is_charged(run: Any) -> None:
    failing = {"max_failures": 1}
    experiment, runtime = run(Herd(), **SWEEP, failure=failing), Mined(2, "memory")
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert [t.failures for t in experiment.trials] == [0, 0, 0, 0, 0, 2, 0, 0]
    assert experiment.trials[GUILTY].error == "it fell over"
    assert runtime.deaths == [8, 8, 4, 2, 1, 1]


def test_nobody_is_suspected_when_nodes_go(run: Any) -> None:
    class Flaky(Mined):
        def wait(self, timeout: float | None = None) -> list[Report | Lost]:
            self._life = 1 if len(self.deaths) < 5 else 1000
            return super().wait(timeout)

    experiment, runtime = run(Herd(), **SWEEP), Flaky(1, "node")
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.deaths == [8] * 5
    assert [(t.status, t.failures) for t in experiment.trials] == [(Status.TERMINATED, 0)] * 8
    assert "trial.apart" not in experiment.events


@pytest.mark.parametrize("frequency", [0, 1])
def test_who_is_suspected_is_known_to_the_controllers_that_come_after(
    run: Any, frequency: int
) -> None:
    experiment = run(Herd(), **SWEEP, checkpoint={"frequency": frequency})
    deaths: list[int] = []
    for _ in range(8):
        runtime = Mined(1)
        controller = experiment.controller(runtime)
        runtime.at_death = functools.partial(controller.interrupt, "enough")
        status = controller.run()
        experiment.store.release(controller.lease)
        deaths += runtime.deaths
        if status is ExperimentStatus.COMPLETED:
            break
    assert deaths == [8, 8, 4, 2, 1, 1, 1]
    guilty = experiment.trials.pop(GUILTY)
    assert "3 times in a row: it fell over" in guilty.error
    others = [t for t in experiment.trials if t.number != GUILTY]
    assert [(t.status, t.failures) for t in others] == [(Status.TERMINATED, 0)] * 7


def test_whom_its_results_clear_is_not_suspected_any_more_after_a_restart() -> None:
    case = {"trial": 3, "deaths": 2, "danger": 2, "ward": "3.1", "since": 4, "freed": False}
    case |= {"guilty": False, "losses": 1, "iteration": 6}
    told = []
    for iteration in (6, 7, 9):
        run = Run(3, {}, (1,), iteration=iteration)
        suspects.recall(run, case)
        told.append((run.suspicion.deaths, run.suspicion.ward, run.losses))
    assert told == [(2, "3.1", 1), (2, "3.1", 0), (0, "", 0)]
