"""The two faces of training code: `Trainable` for its author, `Pack` for the controller.

A hyperparameter is one dataclass field made by `vector` or `fixed`; everything known about it
(range, doc, whether members of a pack may differ in it) lives on that line.
Invariant of every pack: a replica's numbers do not depend on its neighbours.
"""

from __future__ import annotations

import dataclasses
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tunerl.errors import Problem
from tunerl.metrics import clipped
from tunerl.trial import Config, Metrics, ReplicaId


@dataclass(frozen=True)
class Hyperparameter:
    """What is known of one field; lives in ``dataclasses.Field.metadata["hyperparameter"]``.

    `vector`: may differ between members of a pack. `low`/`high`: the valid range, inclusive unless
    `exclusive_low`. `choices`: the valid values. `search`: the default search range as a space
    in JSON (`tunerl.space`), or None when the field is rarely tuned. `optional`: None is valid.
    """

    doc: str
    vector: bool
    low: float | None = None
    high: float | None = None
    exclusive_low: bool = False
    choices: tuple[Any, ...] | None = None
    search: Mapping[str, Any] | None = None
    optional: bool = False
    schedule: bool = False  # also takes [[step, value], ...], piecewise linear


def _field(default: Any, info: Hyperparameter) -> Any:
    metadata = {"hyperparameter": info}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def vector(default: Any, doc: str, **info: Any) -> Any:
    """A hyperparameter in which the members of a pack may differ."""
    return _field(default, Hyperparameter(doc=doc, vector=True, **info))


def fixed(default: Any, doc: str, **info: Any) -> Any:
    """A structural hyperparameter (sizes, shapes, counts): part of the pack key."""
    return _field(default, Hyperparameter(doc=doc, vector=False, **info))


def hyperparameters(cls: type) -> dict[str, Hyperparameter]:
    """The hyperparameters of a dataclass by field name, in order of declaration."""
    return {
        entry.name: entry.metadata["hyperparameter"]
        for entry in dataclasses.fields(cls)
        if "hyperparameter" in entry.metadata
    }


@dataclass
class State:
    """One member's full state: arrays by name and JSON values; enough to go on bit for bit."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


LINE_CHARS, TRACEBACK_CHARS = 2_000, 50_000


@dataclass(frozen=True)
class Failure:
    """One member failed; the others did not notice. Of a text beyond measure the middle is left
    out, so that it fills neither memory nor the store."""

    error: str  # one line: type and message
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        return cls(
            error=clipped(f"{type(error).__name__}: {error}", LINE_CHARS),
            traceback=clipped("".join(traceback.format_exception(error)), TRACEBACK_CHARS),
        )


class Pack(ABC):
    """A worker's face: trains many replicas at once. Slot numbers never leave it.

    A call that fails for one member raises (join, read, write, copy, configure) or is a `Failure`
    in the result (step); after a `Failure` the member has left.
    """

    capacity: int = 1

    @abstractmethod
    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        """A replica takes a slot, fresh from its seed, or from a state. Raises `InvalidConfig`."""

    @abstractmethod
    def leave(self, id: ReplicaId) -> None:
        """Free the slot; the neighbours do not notice. Raises `KeyError` for a stranger."""

    @abstractmethod
    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        """One training iteration of every member. Metrics may carry ``done=True``."""

    @abstractmethod
    def read(self, id: ReplicaId) -> State:
        """The full state of one member."""

    @abstractmethod
    def write(self, id: ReplicaId, state: State) -> None:
        """Replace the state of one member."""

    def copy(self, source: ReplicaId, target: ReplicaId) -> None:
        """The target takes over the source's state (a PBT exploit), not its seed and config."""
        self.write(target, self.read(source))

    @abstractmethod
    def configure(self, id: ReplicaId, config: Config) -> None:
        """New values of vector fields. Raises `InvalidConfig` for a changed fixed field."""

    def close(self) -> None:  # noqa: B027
        """Release environments, files, threads."""


class TrainableSpec(ABC):
    """What the tuner must know of a kind of training code to run it. Registered by name.

    `objective` is the default (metric, mode), or None. `stateful`: members can be saved at any
    iteration, so trials are by default at their end.
    """

    name: str
    objective: tuple[str, str] | None = None
    stateful: bool = True

    @abstractmethod
    def resolve(self, config: Config) -> Config:
        """The configuration with defaults filled in. Raises `InvalidConfig` naming all problems."""

    def objections(self, config: Config) -> list[Problem]:
        """What of a resolved configuration would be without effect in an experiment."""
        return []

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        """Decide execution-only settings that were left open, from the size of the experiment.

        `config` is resolved; `replicas` the number of agents in the experiment that are probably of
        its kind, `stop` the experiment's rules. A function of its arguments alone, so that a
        resumed experiment runs as it began.
        """
        return config

    def warm(self, config: Config, *, replicas: int) -> None:  # noqa: B027
        """Begin, in the background, what the first pack will wait for (compiling, say).

        `config` is planned; `replicas` as for `plan`. Returns at once. It is only about time.
        """

    @abstractmethod
    def pack_key(self, config: Config) -> str:
        """Trials whose resolved configurations have equal keys may share a pack."""

    def capacity(self, config: Config) -> int:
        """How many replicas one pack of this kind should hold at most."""
        return 1

    def resources(self, config: Config) -> Mapping[str, float]:
        """What one pack occupies, in Ray's words, e.g. ``{"CPU": 1}``."""
        return {"CPU": 1.0}

    @abstractmethod
    def open(self, config: Config) -> Pack:
        """An empty pack for configurations with the key of `config`. Runs in the worker."""

    def schema(self) -> dict[str, Any]:
        """JSON schema of the configuration; ``x-vector``, ``x-search`` extend its properties."""
        return {"type": "object", "additionalProperties": True}

    def objective_of(self, param_space: Mapping[str, Any]) -> tuple[str, str] | None:
        """The default objective of an experiment over these settings, some of them search spaces.

        None: there is nothing by which a trial would be better than another.
        """
        return self.objective

    def metrics(self, config: Config) -> Sequence[str] | None:
        """Names of all that this trainable reports, or None when only a first result will tell.

        A name with a star, as in ``learners/*``, stands for any that it matches.
        """
        return None
