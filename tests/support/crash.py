"""Run as a program: one seeded sweep, killed at every commit point and taken up again.

``python -m tests.support.crash SCENARIO`` prints JSON: the undisturbed outcome, and for each kill
point the outcome after the restarts. Each run is a forked child; a kill is a real SIGKILL.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.runs import Herd, HerdPack
from tunerl import registry
from tunerl import spec as specs
from tunerl.author.face import Trainable
from tunerl.control.controller import Controller
from tunerl.errors import Conflict
from tunerl.runtime.local import LocalRuntime
from tunerl.searchers.foreign import ForeignSearcher
from tunerl.store import Store
from tunerl.store.records import Lease, Tick
from tunerl.trainable import Failure, Pack, State, TrainableSpec
from tunerl.trial import Config, Metrics, ReplicaId

LEASE_S = 0.02
CLOCKS = ("time_this_iter_s", "time_total_s")

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
    "pbt-synch": (
        {"num_samples": 3, "num_seeds": 2, "stop": {"training_iteration": 5}}
        | {"scheduler": {**PBT, "synch": True}},
        4,
    ),
}


class Walk(Trainable):
    """A random walk from the replica's seed, drifting by the configuration; resumes exactly."""

    def setup(self, config: dict[str, Any]) -> None:
        self.state, self.total = self.seed, 0.0

    def step(self) -> Mapping[str, Any]:
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
    """Eight walks in one pack."""

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        super().join(id, config, seed, state)
        self.seeds = {**getattr(self, "seeds", {}), id: seed}

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        for id, (lr, total, iteration) in self.members.items():
            chance = (self.seeds[id] * (iteration + 1)) % 1009 / 1009
            self.members[id] = (lr, total + chance, iteration)
        return super().step()


class Flock(Herd):
    name = "Flock"

    def open(self, config: Config) -> Pack:
        return FlockPack()


def trainable_of(scenario: str) -> TrainableSpec:
    return Flock() if scenario == "pbt-pack" else registry.trainable(Walk)


class MortalStore(Store):
    """Dies just before (even `at`) or just after (odd `at`) a commit."""

    at: int | None = None
    count = 0

    def commit(self, lease: Lease, tick: Tick) -> None:
        self._step()
        super().commit(lease, tick)
        self._step()

    def _step(self) -> None:
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def spec_of(scenario: str) -> tuple[specs.ExperimentSpec, int]:
    extra, slots = SCENARIOS[scenario]
    common = {
        "trainable": trainable_of(scenario).name,
        "param_space": SPACE,
        "metric": "score",
        "mode": "max",
        "seed": 7,
        "stop": {"training_iteration": 3},
    }
    return specs.check({**common, **extra}, trainable_of(scenario), custom_of(scenario)), slots


def drive(url: str, scenario: str, root: str, at: int | None) -> int:
    """One controller process in a fork; its exit status as `os.waitpid` gives it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        store = MortalStore(url)
        store.at = at
        (found,), _ = store.list_experiments()
        spec, slots = spec_of(scenario)
        lease = acquire(store, found.id)
        Controller(
            store=store,
            lease=lease,
            spec=spec,
            trainable=trainable_of(scenario),
            runtime=LocalRuntime(slots),
            root=f"{root}/{found.id}",
            parts=specs.build(spec, custom_of(scenario), trainable_of(scenario)),
            lease_seconds=LEASE_S,
        ).run()
        code = 0
    finally:
        os._exit(code)


def acquire(store: Store, id: str) -> Lease:
    """The lease, once that of the killed process has run out."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return store.acquire(id, f"process {os.getpid()}", LEASE_S)
        except Conflict:
            if time.monotonic() > deadline:
                raise


def outcome(url: str) -> dict[str, Any]:
    """All that must not depend on when a controller died."""
    with Store(url) as store:
        (found,), _ = store.list_experiments()
        results, events = store.results(found.id), store.events(found.id, limit=10_000)
        return {
            "status": found.status,
            "trials": [
                [t.number, t.config, t.seeds, t.status, t.reason, t.iteration, t.objective]
                for t in store.trials(found.id)
            ],
            "results": sorted(
                [r.trial, r.iteration, r.objective, *map(timeless, [r.metrics, *r.replicas])]
                for r in results
            ),
            "exploits": [[e.trial, e.data] for e in events if e.kind == "trial.exploit"],
            "checkpoints": [[c.trial, c.iteration] for c in store.checkpoints(found.id)],
            "pins": [c.uri for c in store.checkpoints(found.id) if c.pins],
        }


def timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in CLOCKS}


def main(scenario: str) -> None:
    import tunerl.searchers.optuna  # once, before the forks

    assert tunerl.searchers.optuna
    home = Path(tempfile.mkdtemp())
    template = home / "template.db"
    with Store(f"sqlite:///{template}") as store:
        store.create_experiment(spec_of(scenario)[0].to_json(), "crash", claimable=False)
    runs = {}
    at: int | None = None
    while True:
        database = home / "run.db"
        for stale in home.glob("run.db*"):
            stale.unlink()
        shutil.copy(template, database)
        url, root = f"sqlite:///{database}", str(home / f"checkpoints-{at}")
        first = drive(url, scenario, root, at)
        if at is not None and os.WIFSIGNALED(first):
            drive(url, scenario, root, at // 2 + 1)  # once more, elsewhere
            assert drive(url, scenario, root, None) == 0
        else:
            assert first == 0, f"exit status {first}"
        runs["undisturbed" if at is None else str(at)] = outcome(url)
        if at is not None and not os.WIFSIGNALED(first):
            break  # it ended before this point
        at = 0 if at is None else at + 1
    shutil.rmtree(home)
    print(json.dumps(runs))


if __name__ == "__main__":
    main(sys.argv[1])
