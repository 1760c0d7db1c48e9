"""What the controller asks of a place to run packs.

One `advance` a pack is in flight at a time; `wait` returns what came of them. A runtime knows no
trial, no metric, no store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tunerl.trainable import Failure, TrainableSpec
from tunerl.trial import Config, Metrics, ReplicaId

RELAY_S: Final = 1.0  # how long a relay may take until nobody else has a turn in it


@dataclass(frozen=True)
class Join:
    """Take a slot; go on from the checkpoint at `checkpoint` (URI of one replica's) if given.

    `counters`: where the checkpoint is another trial's, how far this replica's own counters
    (`tunerl.metrics.counters`) have come: what it reports goes on from there.
    """

    id: ReplicaId
    config: Config
    seed: int
    checkpoint: str | None = None
    counters: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Leave:
    id: ReplicaId


@dataclass(frozen=True)
class Save:
    """Write the member's state to the URI, atomically. `meta` goes into the checkpoint's JSON."""

    id: ReplicaId
    uri: str
    meta: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Copy:
    """The target takes over the source's state; `counters` as for `Join` (None: the source's)."""

    source: ReplicaId
    target: ReplicaId
    counters: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Configure:
    id: ReplicaId
    config: Config


@dataclass(frozen=True)
class Step:
    """One training iteration of every member."""


@dataclass(frozen=True)
class Relay:
    """One after the other, in a pack of one: whoever has reported ``done``, or failed, makes room
    for the next of `joins`, which steps, and so on until `seconds` are over. Whoever goes on, or
    asks to be saved, keeps its place, and the rest have no turn."""

    joins: tuple[Join, ...]
    seconds: float


Order = Join | Leave | Save | Copy | Configure | Step | Relay


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written: its size in bytes and the SHA-256 of its manifest."""

    id: ReplicaId
    uri: str
    size: int
    sha256: str


@dataclass
class Report:
    """What came of one `advance`. A member named in `failures` has left its pack.

    `storage_full`: a Save found no space; nothing half-written remains, the members stay.
    `fell_back`: replicas whose checkpoint was corrupt and that started from an older one (its URI),
    or from scratch (None). `left`: who made room in a `Relay`; `waiting`: who had no turn in it,
    and never joined.
    """

    pack: str
    results: dict[ReplicaId, Metrics] = field(default_factory=dict)
    failures: dict[ReplicaId, Failure] = field(default_factory=dict)
    saved: list[Saved] = field(default_factory=list)
    fell_back: dict[ReplicaId, str | None] = field(default_factory=dict)
    storage_full: str | None = None
    left: list[ReplicaId] = field(default_factory=list)
    waiting: list[ReplicaId] = field(default_factory=list)


@dataclass
class Lost:
    """The pack's worker is gone, with all that was not saved; `reason` is for a person.

    `cause`: "node": its machine went, or never came; "memory": it was killed for its memory;
    "hang": it was ended since it had not reported for too long; "exit": anything else.
    """

    pack: str
    reason: str
    cause: Literal["node", "memory", "hang", "exit"] = "exit"


class Runtime(ABC):
    """Opens packs, advances them, reports.

    `ordered`: reports come in the order of the advances, so that a sweep can be repeated exactly.
    `killable`: `close` ends a pack that is under way, so a pack that hangs can be ended.
    `patience_s`: for how long nodes may still come that a pack needs; 0: what is there is all.
    `relays`: a `Relay` is understood, and `so_far` tells of those that take long.
    `memory_limit`: bytes that a worker may hold (to be set before packs are opened; only where it
    is `killable`): who holds more is a `Lost` of the cause "memory". None: no limit.
    """

    ordered = False
    killable = False
    relays = False
    patience_s = 0.0
    memory_limit: float | None = None

    @abstractmethod
    def slots(self, resources: dict[str, float]) -> int:
        """How many packs with these resources can run at once here (0: never; see `why`)."""

    def why(self, resources: dict[str, float]) -> str:
        """Why `slots` is 0, for a person."""
        return f"no node offers {resources}"

    def working(self, pack: str) -> bool:
        """Whether an open pack has got its place on a machine."""
        return True

    def so_far(self, pack: str) -> Report | None:
        """What came of the `Relay` that an open pack is still at, since somebody takes more than
        `RELAY_S`: who has ended, and who will have no turn. None: not known yet."""
        return None

    def ask_for(self, resources: Mapping[str, float]) -> None:  # noqa: B027
        """Ask a cluster that grows by itself for a node that has `resources`."""

    @abstractmethod
    def open(
        self,
        pack: str,
        spec: TrainableSpec,
        config: Config,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        """An empty pack for the key of `config`; `resources` where it occupies others than
        `spec` says. Returns at once; a warm worker is reused."""

    @abstractmethod
    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        """Carry out `orders` in their order. Returns at once; a report follows from `wait`."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        """What has come in; blocks until there is something or `timeout` seconds passed."""

    @abstractmethod
    def close(self, pack: str) -> None:
        """Close the pack; its worker stays warm for the next one."""

    @abstractmethod
    def shutdown(self) -> None:
        """Close everything this runtime started."""
