"""What a searcher is: a function of the seed, the trial's number and the history.

It has no state to save: rebuilt on the same history it suggests the same configuration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunerl.errors import InvalidSpec, Problem
from tunerl.keywords import Checked
from tunerl.trial import Config, Metrics, Reason, Status

if TYPE_CHECKING:
    from tunerl.space import Space


@dataclass(slots=True)
class Observation:
    """A trial as a searcher sees it. `values`: (iteration, objective) of each result so far.

    The objective is the aggregate over replicas; it may be NaN. `last`: all metrics of the last
    result. `version` grows with each change, so that a searcher can tell cheaply what is new.
    `arrivals`: how many trials there were when each value came in; `closed`: when it ended. With
    them a searcher that has a memory can be led through the past in its order.
    """

    number: int
    config: Config
    status: Status = Status.PENDING
    reason: Reason | None = None
    values: list[tuple[int, float]] = field(default_factory=list)
    version: int = 0
    last: Metrics = field(default_factory=dict)
    arrivals: list[int] = field(default_factory=list)
    closed: int | None = None


History = Sequence[Observation]  # in order of `number`, without gaps


class Wait:
    """`suggest` says: ask again when a result has come in."""


WAIT = Wait()


class Searcher(Checked, ABC):
    """Suggests configurations. `name` is its word in JSON.

    `blind`: it looks at no results, so it may be asked far ahead.
    """

    name: str
    blind: bool = False

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        """Called once before the first suggestion. Raises `InvalidSpace`, `InvalidSpec`."""
        self.space, self.metric, self.mode = space, metric, mode
        self.num_samples, self.seed = num_samples, seed

    def pursue(self, objectives: Mapping[str, str]) -> None:
        """Called before `setup` where there are several objectives: name to mode, in order.

        Raises `InvalidSpec` unless the searcher can trade them off, or looks at no results.
        """
        if not self.blind:
            names = ", ".join(objectives)
            message = f"{self.name} searches for one, not for {names}; use OptunaSearch"
            raise InvalidSpec(Problem("metric", message))

    def learn(self, earlier: History) -> None:
        """Called after `setup` with the finished trials of earlier experiments, if there are any.

        Raises `InvalidSpec` where the searcher cannot learn from them.
        """
        raise InvalidSpec(
            Problem(
                "warm_start",
                f"{self.name} does not learn from earlier experiments; use OptunaSearch, or leave "
                "warm_start out",
            )
        )

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
