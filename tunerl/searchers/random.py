"""Grid times random, with Ray Tune's meaning of `num_samples`.

A trial's number alone decides its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpec, Problem
from tunerl.searchers.base import History, Wait
from tunerl.searchers.given import (
    LimitedSearcher,
    check_limit,
    fix_points,
    generator,
    read_points,
    seed_of,
)
from tunerl.space import Space
from tunerl.trial import Config


class BasicVariantGenerator(LimitedSearcher):
    """Every combination of the grids, `num_samples` times, the rest drawn at random.

    Each of `points_to_evaluate` comes first, takes the place of one sample, and is completed by
    the grids and domains it leaves open. `constant_grid_search`: draw once for a whole round of
    the grid. `max_concurrent`: at most so many unfinished trials; 0 for no limit.
    `random_state`: a seed of its own instead of the experiment's.
    """

    name = "random"
    blind = True

    def __init__(
        self,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        max_concurrent: int = 0,
        constant_grid_search: bool = False,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> None:
        self.points = read_points(points_to_evaluate)
        self.limit = check_limit(max_concurrent)
        whole_rounds: Any = constant_grid_search
        if not isinstance(whole_rounds, bool | None):
            message = f"{whole_rounds!r} given; it must be true or false"
            raise InvalidSpec(Problem("searcher.constant_grid_search", message))
        self.constant_grid_search = bool(constant_grid_search)
        self.own_seed = seed_of(random_state)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        self._fixed = fix_points(space, self.points)
        open_ended = num_samples < 0
        space.check(-1 if open_ended else max(1, num_samples - len(self._fixed)))
        # The number of the first trial after each point's round of the grid.
        self._ends = list(accumulate(fixed.grid_size for fixed in self._fixed))

    @property
    def total(self) -> int | None:
        if self.num_samples < 0:
            return None
        rounds = max(0, self.num_samples - len(self._fixed))
        return (self._ends[-1] if self._ends else 0) + rounds * self.space.grid_size

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        space, sample, variant = self._place(number)
        key = sample if self.constant_grid_search else number
        return space.variant(variant, generator(self.seed, key))

    def _place(self, number: int) -> tuple[Space, int, int]:
        """The space, the sample (round of the grid) and the variant within it of a trial."""
        start = 0
        for sample, (fixed, end) in enumerate(zip(self._fixed, self._ends, strict=True)):
            if number < end:
                return fixed, sample, number - start
            start = end
        sample, variant = divmod(number - start, self.space.grid_size)
        return self.space, len(self._fixed) + sample, variant

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "points_to_evaluate": self.points,
            "max_concurrent": self.limit,
            "constant_grid_search": self.constant_grid_search,
            "random_state": self.own_seed,
        }
