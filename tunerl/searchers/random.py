"""Grid times random, with Ray Tune's meaning of `num_samples`.

A trial's number alone decides its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.searchers.base import History, Searcher, Wait
from tunerl.space import Space
from tunerl.space.tree import parse
from tunerl.trial import Config


def generator(seed: int, *key: int) -> np.random.Generator:
    """The generator that belongs to `key` (such as a trial's number) under `seed`."""
    return np.random.default_rng(np.random.SeedSequence([seed % 2**64, *key]))


def seed_of(random_state: Any) -> int | None:
    """A seed out of an int, or one drawn from a numpy generator; None stays None."""
    if random_state is None:
        return None
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint32))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise InvalidSpec(
            Problem("searcher.seed", f"{random_state!r} given; allowed: a whole number, or none")
        )
    return int(random_state)


def check_limit(limit: Any) -> int:
    """`max_concurrent` as given; raises `InvalidSpec` unless it is 0 (no limit) or more."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidSpec(
            Problem(
                "searcher.max_concurrent",
                f"{limit!r} given; it must be a whole number, 0 for no limit",
            )
        )
    return limit


def fix_points(space: Space, points: Sequence[Mapping[str, Any]]) -> list[Space]:
    """The space with each of `points` held fixed. Raises `InvalidSpace` with all misfits."""
    fixed, found = [], []
    for index, point in enumerate(points):
        try:
            fixed.append(space.fix(point))
        except InvalidSpace as error:
            found += [
                Problem(f"points_to_evaluate[{index}].{problem.path}", problem.message)
                for problem in error.problems
            ]
    if found:
        raise InvalidSpace(found)
    return fixed


class BasicVariantGenerator(Searcher):
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
        self.points = [parse(dict(point)) for point in points_to_evaluate or []]
        self.limit = check_limit(max_concurrent)
        self.constant_grid_search = bool(constant_grid_search)
        self.random_state = seed_of(random_state)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        if self.random_state is not None:
            self.seed = self.random_state
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

    @property
    def max_concurrent(self) -> int | None:
        return self.limit or None

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
            "random_state": self.random_state,
        }
