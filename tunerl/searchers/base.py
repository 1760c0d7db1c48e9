"""What a searcher is: a function of the seed, the trial's number and the history.

It has no state to save: rebuilt on the same history it suggests the same configuration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunerl.trial import Config, Reason, Status

if TYPE_CHECKING:
    from tunerl.space import Space


@dataclass
class Observation:
    """A trial as a searcher sees it. `values`: (iteration, objective) of each result so far.

    The objective is the aggregate over replicas; it may be NaN. `version` grows with each change,
    so that a searcher can tell cheaply what is new.
    """

    number: int
    config: Config
    status: Status = Status.PENDING
    reason: Reason | None = None
    values: list[tuple[int, float]] = field(default_factory=list)
    version: int = 0


History = Sequence[Observation]  # in order of `number`, without gaps


class Wait:
    """`suggest` says: ask again when a result has come in."""


WAIT = Wait()


class Searcher(ABC):
    """Suggests configurations. `name` is its word in JSON."""

    name: str

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        """Called once before the first suggestion. Raises `InvalidSpace`, `InvalidSpec`."""
        self.space, self.metric, self.mode = space, metric, mode
        self.num_samples, self.seed = num_samples, seed

    @property
    def total(self) -> int | None:
        """How many trials there will be, or None for no end (``num_samples=-1``)."""
        return None if self.num_samples < 0 else self.num_samples

    @property
    def max_concurrent(self) -> int | None:
        """How many unfinished trials this searcher can sensibly be asked for; None: any number."""
        return None

    @abstractmethod
    def suggest(self, number: int, history: History) -> Config | Wait | None:
        """The configuration of trial `number`; `WAIT` for later; None when there are no more."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """``{"type": name, ...options}``, from which `searchers.create` makes an equal one."""
