"""Places come and go, workers die, trials move and are kept apart: each sweep still comes to its
end, and no result is lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Herd, Watched, laboratory
from tunerl.control import balance
from tunerl.runtime.base import Lost, Report
from tunerl.trial import ExperimentStatus, Status

LOSSES = 14
MUTATIONS = {"lr": {"uniform": [0.5, 4.0]}}
PBT = {"type": "pbt", "time_attr": "training_iteration", "perturbation_interval": 3}
CASES: list[tuple[dict[str, Any], int]] = [
    ({"type": "asha", "max_t": 20, "grace_period": 4}, 6),
    ({"type": "hyperband", "max_t": 20}, 9),
    ({**PBT, "hyperparam_mutations": MUTATIONS}, 6),
    ({**PBT, "hyperparam_mutations": MUTATIONS, "synch": True}, 4),
]


class Shaky(Watched):
    """One to three places; now and then a worker dies, by itself or with its node."""

    ordered = False

    def __init__(self, seed: int) -> None:
        super().__init__(1)
        self._random, self.losses = random.Random(seed), 0

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        reports = super().wait(timeout)
        if self._random.random() < 0.3:
            self._slots = self._random.choice([1, 2, 3])
        if reports and self.losses < LOSSES and self._random.random() < 0.2:
            self.losses += 1
            self.close(reports[0].pack)
            return [Lost(reports[0].pack, "gone", self._random.choice(["exit", "hang", "node"]))]
        return reports


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


@pytest.mark.parametrize(("scheduler", "seed"), CASES)
def test_a_sweep_on_shaky_ground_ends_with_every_result_once(
    run: Any, monkeypatch: pytest.MonkeyPatch, scheduler: dict[str, Any], seed: int
) -> None:
    monkeypatch.setattr("tunerl.control.room.TTL_S", 0.0)
    monkeypatch.setattr(balance, "WORTH_S", 0.0)
    monkeypatch.setattr(balance, "REST_S", 0.0)
    experiment = run(
        Herd(),
        scheduler=scheduler,
        param_space={"lr": {"uniform": [1.0, 2.0]}},
        num_samples=9,
        stop={"training_iteration": 20},
        failure={"max_failures": -1},
        seed=seed,
    )
    assert experiment.run(Shaky(seed)) is ExperimentStatus.COMPLETED
    for trial in experiment.trials:
        assert trial.status in (Status.TERMINATED, Status.ERROR)
        results = experiment.store.results(experiment.id, trial=trial.number)
        assert [result.iteration for result in results] == list(range(1, trial.iteration + 1))
    assert "pack.lost" in experiment.events
