"""Given configurations, one after the other, exactly as they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tunerl.errors import InvalidSpec, Problem
from tunerl.searchers.base import History, Searcher, Wait
from tunerl.trial import Config


class GivenPoints(Searcher):
    """Trial i is `configs[i]`; the search space is not asked. `num_samples` bounds their number."""

    name = "points"
    blind = True

    def __init__(self, configs: Sequence[Mapping[str, Any]]) -> None:
        if not configs or not all(isinstance(config, Mapping) for config in configs):
            message = f"{configs!r} given; a list of at least one configuration is needed"
            raise InvalidSpec(Problem("searcher.configs", message))
        self.configs = [dict(config) for config in configs]

    @property
    def total(self) -> int:
        known = len(self.configs)
        return known if self.num_samples < 0 else min(known, self.num_samples)

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        return copy.deepcopy(self.configs[number]) if number < self.total else None

    def to_json(self) -> dict[str, object]:
        return {"type": self.name, "configs": self.configs}
