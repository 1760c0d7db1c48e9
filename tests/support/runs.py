"""Small trainables and a controller on a store of its own, for the tests of the tuner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunerl import registry
from tunerl import spec as specs
from tunerl.author.face import Trainable
from tunerl.control.controller import Controller
from tunerl.runtime.base import Lost, Order, Report, Runtime
from tunerl.runtime.local import LocalRuntime
from tunerl.store import Store
from tunerl.store.records import TrialRecord
from tunerl.trainable import Failure, Pack, State, TrainableSpec
from tunerl.trial import Config, ExperimentStatus, Metrics, ReplicaId


class Climb(Trainable):
    """Gains ``config["lr"]`` an iteration; the seed shows in the metrics."""

    def setup(self, config: dict[str, Any]) -> None:
        self.total = 0.0

    def step(self) -> Mapping[str, Any]:
        self.total += self.config["lr"]
        return {"score": self.total, "seed": self.seed, "nested": {"score": -self.total}}

    def save_checkpoint(self, checkpoint_dir: str) -> Mapping[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = checkpoint["total"]


class HerdPack(Pack):
    """Eight replicas that each gain their ``lr``; one with a negative ``lr`` fails."""

    capacity = 8

    def __init__(self) -> None:
        self.members: dict[ReplicaId, tuple[float, float, int]] = {}  # lr, total, iteration

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        assert len(self.members) < self.capacity
        total, iteration = state.values["at"] if state else (0.0, 0)
        self.members[id] = (config["lr"], total, iteration)

    def leave(self, id: ReplicaId) -> None:
        del self.members[id]

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        outcome: dict[ReplicaId, Metrics | Failure] = {}
        for id, (lr, total, iteration) in list(self.members.items()):
            if lr < 0:
                outcome[id] = Failure("ValueError: negative")
                del self.members[id]
                continue
            self.members[id] = (lr, total + lr, iteration + 1)
            outcome[id] = {"score": total + lr, "training_iteration": iteration + 1}
        return outcome

    def read(self, id: ReplicaId) -> State:
        return State({}, {"at": self.members[id][1:]})

    def write(self, id: ReplicaId, state: State) -> None:
        self.members[id] = (self.members[id][0], *state.values["at"])

    def configure(self, id: ReplicaId, config: Config) -> None:
        self.members[id] = (config["lr"], *self.members[id][1:])


class Herd(TrainableSpec):
    """A trainable whose packs hold eight."""

    name = "Herd"

    def resolve(self, config: Config) -> Config:
        return dict(config)

    def pack_key(self, config: Config) -> str:
        return "herd"

    def capacity(self, config: Config) -> int:
        return HerdPack.capacity

    def open(self, config: Config) -> Pack:
        return HerdPack()


class Experiment:
    """One experiment on a fresh store (or that at `url`); `run` drives it, as often as wanted."""

    def __init__(self, home: Path, target: Any = Climb, url: str = "", **fields: Any) -> None:
        self.trainable: TrainableSpec = registry.trainable(target)
        given = {
            "trainable": self.trainable.name,
            "param_space": {"lr": {"grid_search": [1.0, 2.0, 3.0]}},
            "metric": "score",
            "mode": "max",
            "stop": {"training_iteration": 3},
            **fields,
        }
        stop, own = given.pop("custom_stop", None), given.pop("custom_scheduler", None)
        self.custom = specs.Custom(stop=stop, scheduler=own)
        self.spec = specs.check(given, self.trainable, self.custom)
        self.home = home
        self.store = Store(url or f"sqlite:///{home / 'tunerl.db'}")
        self.id = self.store.create_experiment(self.spec.to_json(), "test", claimable=False).id

    def controller(self, runtime: Runtime | None = None, **more: Any) -> Controller:
        lease = more.pop("lease", None) or self.store.acquire(self.id, "test", 30)
        return Controller(
            store=self.store,
            lease=lease,
            spec=self.spec,
            trainable=self.trainable,
            runtime=runtime or LocalRuntime(2),
            root=more.pop("root", f"{self.home}/{self.id}"),
            parts=specs.build(self.spec, self.custom, self.trainable),
            **more,
        )

    def run(self, runtime: Runtime | None = None, **more: Any) -> ExperimentStatus:
        controller = self.controller(runtime, **more)
        try:
            return controller.run()
        finally:
            self.store.release(controller.lease)

    @property
    def trials(self) -> list[TrialRecord]:
        return self.store.trials(self.id)

    @property
    def events(self) -> list[str]:
        return [event.kind for event in self.store.events(self.id)]


@contextmanager
def laboratory(home: Path) -> Iterator[Callable[..., Experiment]]:
    """Makes experiments, each in a directory of its own; closes their stores in the end."""
    made: list[Experiment] = []

    def make(target: Any = Climb, **fields: Any) -> Experiment:
        place = home / str(len(made))
        place.mkdir()
        made.append(Experiment(place, target, **fields))
        return made[-1]

    yield make
    for experiment in made:
        experiment.store.close()


class Watched(LocalRuntime):
    """A local runtime that notes the orders of each advance, and loses packs when told to: then
    its reports come one by one, and count without the lost ones, as a cluster's."""

    def __init__(self, slots: int = 2, lose: Sequence[int] = ()) -> None:
        super().__init__(slots)
        self.sent: list[list[Order]] = []
        self._lose = set(lose)
        if self._lose:
            self.ordered = False

    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        self.sent.append(list(orders))
        super().advance(pack, orders)

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        reports = super().wait(timeout)
        self.waited = getattr(self, "waited", -1) + 1
        if reports and self.waited in self._lose:
            super().close(reports[0].pack)
            return [Lost(reports[0].pack, "the machine is on fire")]
        return reports
