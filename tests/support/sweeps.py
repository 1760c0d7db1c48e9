"""Small seeded sweeps of every kind, for the tests that kill controllers; and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.support.runs import Herd, HerdPack
from tunerl import registry
from tunerl import spec as specs
from tunerl.author.face import Trainable
from tunerl.searchers.foreign import ForeignSearcher
from tunerl.store import Store
from tunerl.store.records import TrialRecord
from tunerl.trainable import Failure, Pack, State, TrainableSpec
from tunerl.trial import Config, Metrics, ReplicaId

CLOCKS = ("time_this_iter_s", "time_total_s")
DECISIONS = (
    "trial.stopped",
    "trial.exploit",
    "trial.exploited",
    "trial.exploit_failed",
    "trial.widened",
)

SPACE = {"lr": {"uniform": [0.0, 1.0]}, "width": {"choice": [8, 16]}}
PBT = {
    "type": "pbt",
    "time_attr": "training_iteration",
    "perturbation_interval": 2,
    "quantile_fraction": 0.5,
    "hyperparam_mutations": {"lr": {"uniform": [0.0, 1.0]}},
}
SCENARIOS: dict[str, tuple[dict[str, Any], int]] = {  # spec, slots
    "random-fifo": ({"num_samples": 3, "num_seeds": 2, "checkpoint": {"frequency": 2}}, 4),
    "optuna-asha": (
        {
            "num_samples": 5,
            "max_concurrent_trials": 1,
            "searcher": {"type": "optuna", "sampler": "tpe"},
            "scheduler": {"type": "asha", "max_t": 3, "reduction_factor": 2},
        },
        1,
    ),
    "foreign-asha": (
        {
            "num_samples": 3,
            "max_concurrent_trials": 1,
            "scheduler": {"type": "asha", "max_t": 3, "reduction_factor": 2},
        },
        1,
    ),
    "random-hyperband": (
        {
            "num_samples": 4,
            "scheduler": {"type": "hyperband", "max_t": 3},
        },
        1,
    ),
    "random-median": (
        {
            "num_samples": 5,
            "max_concurrent_trials": 1,
            "scheduler": {
                "type": "median",
                "time_attr": "training_iteration",
                "grace_period": 1,
                "min_samples_required": 1,
            },
        },
        1,
    ),
    "random-seeds": (
        {
            "num_samples": 3,
            "max_concurrent_trials": 1,
            "scheduler": {"type": "seed_halving", "max_t": 3, "grace_period": 1, "max_seeds": 2},
        },
        2,
    ),
    "random-promotion": (
        {
            "num_samples": 4,
            "max_concurrent_trials": 1,
            "scheduler": {
                "type": "asha",
                "max_t": 3,
                "reduction_factor": 2,
                "variant": "promotion",
            },
        },
        1,
    ),
    "pbt-pack": ({"num_samples": 4, "stop": {"training_iteration": 7}, "scheduler": PBT}, 1),
    "pbt-solos": ({"num_samples": 3, "stop": {"training_iteration": 5}, "scheduler": PBT}, 3),
    "fragile-packs": (
        {
            "num_samples": 12,
            "stop": {"training_iteration": 8},
            "failure": {"max_failures": 1},
            "scheduler": {"type": "asha", "max_t": 8, "grace_period": 4, "reduction_factor": 2},
        },
        2,
    ),
    "fragile-solos": (
        {
            "num_samples": 8,
            "stop": {"training_iteration": 8},
            "failure": {"max_failures": 1},
            "checkpoint": {"frequency": 5},
            "scheduler": {"type": "asha", "max_t": 8, "grace_period": 4, "reduction_factor": 2},
        },
        3,
    ),
    "seeds-packs": (
        {
            "num_samples": 5,
            "stop": {"training_iteration": 6},
            "scheduler": {"type": "seed_halving", "max_t": 6, "grace_period": 3, "max_seeds": 2},
        },
        2,
    ),
    "asha-packs": (
        {
            "num_samples": 8,
            "num_seeds": 2,
            "stop": {"training_iteration": 4},
            "checkpoint": {"frequency": 2},
            "scheduler": {"type": "asha", "max_t": 4, "reduction_factor": 2},
        },
        2,
    ),
    "asha-solos": (
        {
            "num_samples": 7,
            "stop": {"training_iteration": 4},
            "checkpoint": {"frequency": 3},
            "scheduler": {"type": "asha", "max_t": 4, "reduction_factor": 2},
        },
        3,
    ),
    "pbt-packs": ({"num_samples": 4, "stop": {"training_iteration": 7}, "scheduler": PBT}, 2),
    "optuna-solos": (
        {
            "num_samples": 7,
            "max_concurrent_trials": 3,
            "searcher": {"type": "optuna", "sampler": "tpe"},
            "scheduler": {"type": "asha", "max_t": 4, "reduction_factor": 2},
            "checkpoint": {"frequency": 1, "num_to_keep": 2},
        },
        3,
    ),
    "pbt-synch": (
        {"num_samples": 3, "num_seeds": 2, "stop": {"training_iteration": 5}}
        | {"scheduler": {**PBT, "synch": True}},
        4,
    ),
}


# How many a pack holds; else one.
PACKED = {"pbt-pack": 8, "asha-packs": 4, "pbt-packs": 2, "fragile-packs": 3, "seeds-packs": 4}


def fails(seed: int, iteration: int) -> bool:
    """Whether a fragile replica fails at its next iteration; about one in two does."""
    return seed % 13 == iteration


class Walk(Trainable):
    """A random walk from the replica's seed, drifting by the configuration; resumes exactly."""

    def setup(self, config: dict[str, Any]) -> None:
        self.state, self.total = self.seed, 0.0

    def step(self) -> Mapping[str, Any]:
        if self.config.get("fragile") and fails(self.seed, self.iteration):
            raise ArithmeticError("as always here")
        self.state = (self.state * 1103515245 + 12345) % 2**31
        self.total += self.config["lr"] + self.state / 2**31 / self.config["width"]
        return {"score": self.total}

    def save_checkpoint(self, checkpoint_dir: str) -> Mapping[str, Any]:
        return {"state": self.state, "total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.state, self.total = checkpoint["state"], checkpoint["total"]


class Climber:
    """A searcher with Ray Tune's verbs and a memory: steps on from the best it has heard of."""

    def __init__(self) -> None:
        self.rng, self.asked = np.random.RandomState(), dict[str, float]()
        self.best = (0.0, 0.5)

    def set_search_properties(self, metric: str, mode: str, config: dict[str, Any]) -> bool:
        self.metric = metric
        return True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        lr = self.best[1] + 0.2 * (self.rng.rand() + np.random.rand() - 1)
        self.asked[trial_id] = min(max(lr, 0.0), 1.0)
        return {"lr": self.asked[trial_id], "width": int(self.rng.choice([8, 16]))}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.best = max(self.best, (result[self.metric], self.asked[trial_id]))

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.rng.rand()


def custom_of(scenario: str) -> specs.Custom:
    foreign = scenario.startswith("foreign")
    return specs.Custom(searcher=ForeignSearcher(Climber()) if foreign else None)


class FlockPack(HerdPack):
    """Walks in one pack, `capacity` at most."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        super().join(id, config, seed, state)
        self.fragile = config.get("fragile", False)
        self.seeds = {**getattr(self, "seeds", {}), id: seed}

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        for id, (lr, total, iteration) in self.members.items():
            chance = (self.seeds[id] * (iteration + 1)) % 1009 / 1009
            self.members[id] = (lr, total + chance, iteration)
        outcome = super().step()
        for id, (*_, iteration) in list(self.members.items()):
            if self.fragile and fails(self.seeds[id], iteration - 1):
                outcome[id] = Failure("ArithmeticError: as always here")
                self.leave(id)
        return outcome


class Flock(Herd):
    """A trainable whose packs hold `size`."""

    name = "Flock"

    def __init__(self, size: int = 8) -> None:
        self.size = size

    def capacity(self, config: Config) -> int:
        return self.size

    def open(self, config: Config) -> Pack:
        return FlockPack(self.size)


def trainable_of(scenario: str) -> TrainableSpec:
    return Flock(PACKED[scenario]) if scenario in PACKED else registry.trainable(Walk)


def spec_of(scenario: str) -> tuple[specs.ExperimentSpec, int]:
    extra, slots = SCENARIOS[scenario]
    common = {
        "trainable": trainable_of(scenario).name,
        "param_space": {**SPACE, "fragile": scenario.startswith("fragile")},
        "metric": "score",
        "mode": "max",
        "seed": 7,
        "stop": {"training_iteration": 3},
    }
    return specs.check({**common, **extra}, trainable_of(scenario), custom_of(scenario)), slots


def outcome(url: str) -> dict[str, Any]:
    """All of the newest experiment that must not depend on what died when, results and decisions
    in their order: everything but clocks, attempts and who drove it."""
    with Store(url) as store:
        found = store.list_experiments()[0][0]
        events = store.events(found.id, limit=10_000)
        return {
            "status": found.status,
            "trials": [
                [t.number, t.config, t.seeds, t.status, t.reason, t.failures, *standing(t)]
                for t in store.trials(found.id)
            ],
            "results": [
                [r.trial, r.iteration, r.objective, *map(timeless, [r.metrics, *r.replicas])]
                for r in store.results(found.id)
            ],
            "decisions": [
                [e.kind, e.trial, {**e.data, "uri": None}] for e in events if e.kind in DECISIONS
            ],
            "checkpoints": [[c.trial, c.iteration, c.pins] for c in store.checkpoints(found.id)],
        }


def timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in CLOCKS}


def standing(trial: TrialRecord) -> list[Any]:
    return [trial.iteration, trial.objective, trial.best_objective, trial.best_iteration]
