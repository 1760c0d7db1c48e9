"""How full packs will be, and what is begun before the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.packs import Walk
from tunerl import choice, uniform
from tunerl.assembly import assemble
from tunerl.kinds import SAMPLES, Kinds
from tunerl.registry import AuthorSpec
from tunerl.spec import ExperimentSpec, Parts, build
from tunerl.trial import Config
from tunerl.tuner import RunConfig, TuneConfig
from tunerl.warming import warm


@dataclass
class Notes:
    planned: list[int] = field(default_factory=list)
    warmed: list[tuple[Config, int]] = field(default_factory=list)


class Noting(AuthorSpec):
    """A walk that is planned and warmed."""

    def __init__(self) -> None:
        super().__init__(Walk, "noting")
        self.notes = Notes()

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        self.notes.planned.append(replicas)
        return config

    def warm(self, config: Config, *, replicas: int) -> None:
        self.notes.warmed.append((config, replicas))

    def pack_key(self, config: Config) -> str:
        return str(config["start"])


def experiment(
    space: dict[str, Any], trials: int = 10, seeds: int = 2
) -> tuple[Noting, ExperimentSpec, Parts]:
    trainable = Noting()
    config = TuneConfig(metric="size", mode="max", num_samples=trials, num_seeds=seeds)
    run = RunConfig(stop={"training_iteration": 1}, runtime="local")
    spec, custom = assemble(trainable, space, config, run)
    return trainable, spec, build(spec, custom)


def test_trials_of_one_kind_will_sit_together() -> None:
    kinds = Kinds(*experiment({"size": uniform(0, 1), "start": 1}))
    assert sum(kinds.counts.values()) == SAMPLES
    assert kinds.replicas({"size": 0.5, "start": 1}) == 20


def test_trials_that_differ_in_structure_will_sit_apart() -> None:
    kinds = Kinds(*experiment({"size": 1.0, "start": choice([0, 1])}))
    first, second = (kinds.replicas({"start": start}) for start in (0, 1))
    assert first + second == pytest.approx(20, abs=2)
    assert kinds.replicas({"start": 4}) == 2  # a trial's own seeds at least


def test_an_experiment_is_planned_the_same_every_time() -> None:
    made = [Kinds(*experiment({"start": choice([0, 1, 2])})).counts for _ in range(2)]
    assert made[0] == made[1]


def test_what_all_packs_need_is_begun_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    trainable, spec, parts = experiment({"size": uniform(0, 1), "start": 1})
    warm(trainable, spec, parts)
    assert [(config["start"], replicas) for config, replicas in trainable.notes.warmed] == [(1, 20)]
    assert trainable.notes.planned == [20]


def test_nothing_is_begun_where_packs_differ_or_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    trainable, spec, parts = experiment({"start": choice([0, 1])})
    warm(trainable, spec, parts)
    assert trainable.notes.warmed == []
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    trainable, spec, parts = experiment({"size": uniform(0, 1), "start": 1})
    warm(trainable, spec, parts)
    assert trainable.notes.warmed == []
