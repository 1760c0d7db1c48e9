"""At most so many unfinished trials at a time, around any searcher."""

from __future__ import annotations

from collections.abc import Mapping

from tunerl.errors import InvalidSpec, Problem
from tunerl.searchers.base import WAIT, History, Searcher, Wait
from tunerl.searchers.given import check_limit
from tunerl.space import Space
from tunerl.trial import Config, Status

BUSY = (Status.PENDING, Status.RUNNING)


class ConcurrencyLimiter(Searcher):
    """Asks `searcher` for no more than `max_concurrent` unfinished trials at a time.

    A paused trial does not count. `batch`: suggest that many, wait until all of them have ended,
    suggest the next.
    """

    name = "limiter"

    def __init__(self, searcher: Searcher, max_concurrent: int, batch: bool = False) -> None:
        if not isinstance(searcher, Searcher):
            raise InvalidSpec(Problem("searcher.searcher", f"{searcher!r} is not a searcher"))
        if check_limit(max_concurrent) == 0:
            raise InvalidSpec(Problem("searcher.max_concurrent", "0 given; it must be 1 or more"))
        self.searcher, self.limit, self.batch = searcher, max_concurrent, bool(batch)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        self.searcher.setup(space, metric, mode, num_samples, seed)

    def pursue(self, objectives: Mapping[str, str]) -> None:
        self.searcher.pursue(objectives)

    def learn(self, earlier: History) -> None:
        self.searcher.learn(earlier)

    @property
    def total(self) -> int | None:
        return self.searcher.total

    @property
    def max_concurrent(self) -> int | None:
        return self.limit

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        busy = sum(trial.status in BUSY for trial in history)
        if busy >= self.limit or (self.batch and busy and number % self.limit == 0):
            return WAIT
        return self.searcher.suggest(number, history)

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "searcher": self.searcher.to_json(),
            "max_concurrent": self.limit,
            "batch": self.batch,
        }
