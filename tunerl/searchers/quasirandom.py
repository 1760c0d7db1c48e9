"""Quasi-random search: points of a Sobol or Halton sequence, spread more evenly than chance would.

A trial's number alone decides its configuration; the scrambling comes from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunerl.errors import InvalidSpace, InvalidSpec, Problem, nearest
from tunerl.searchers.base import History, Wait
from tunerl.searchers.given import (
    LimitedSearcher,
    check_limit,
    fix_points,
    generator,
    read_points,
    seed_of,
)
from tunerl.space import Choice, Grid, Numeric, SampleFrom, Space
from tunerl.space.resolve import Random, Slot, View, call
from tunerl.trial import Config

if TYPE_CHECKING:
    from scipy.stats.qmc import QMCEngine

SEQUENCES = ("sobol", "halton")
FIRST = 64  # points made at once; a power of 2, as Sobol's balance wants


class QuasiRandomSearch(LimitedSearcher):
    """Every parameter is a dimension of one scrambled low-discrepancy sequence.

    `sequence`: "sobol" (best where `num_samples` is a power of 2) or "halton". What only some
    choices bring along has a dimension of its own. `points_to_evaluate` (whole or in part) come
    first, and take the place of points of the sequence. `max_concurrent`: at most so many
    unfinished trials; 0 for no limit. `seed`: of its own instead of the experiment's.
    """

    name = "quasirandom"
    blind = True

    def __init__(
        self,
        sequence: str = "sobol",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        max_concurrent: int = 0,
        seed: int | None = None,
    ) -> None:
        if sequence not in SEQUENCES:
            message = f"{sequence!r} given; {nearest(str(sequence), SEQUENCES)}"
            raise InvalidSpec(Problem("searcher.sequence", message))
        self.sequence = sequence
        self.points = read_points(points_to_evaluate)
        self.limit = check_limit(max_concurrent)
        self.own_seed = seed_of(seed)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        grids = [path for path, domain in space.domains.items() if isinstance(domain, Grid)]
        if grids:
            message = "grid_search has no place in a sequence; use choice, or the random searcher"
            raise InvalidSpace([Problem(path, message) for path in grids])
        space.check(num_samples)
        self._fixed = fix_points(space, self.points)
        drawn = [n for n, d in space.domains.items() if isinstance(d, Numeric | Choice)]
        self._dimension = {name: index for index, name in enumerate(drawn)}
        self._drawn: NDArray[np.float64] = np.empty((0, len(drawn)))

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        space = self._fixed[number] if number < len(self._fixed) else self.space
        rng = generator(self.seed, number)
        return space.draw(_Point(self._dimension, self._point(number), rng))

    def _point(self, number: int) -> NDArray[np.float64]:
        if not self._dimension:
            return np.empty(0)
        while number >= len(self._drawn):
            count = max(FIRST, 2 * len(self._drawn))
            self._drawn = self._engine().random(count)
        found: NDArray[np.float64] = self._drawn[number]
        return found

    def _engine(self) -> QMCEngine:
        from scipy.stats import qmc

        kind = qmc.Sobol if self.sequence == "sobol" else qmc.Halton
        return kind(len(self._dimension), scramble=True, rng=generator(self.seed))

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "sequence": self.sequence,
            "points_to_evaluate": self.points,
            "max_concurrent": self.limit,
            "seed": self.own_seed,
        }


class _Point(Random):
    """Takes each parameter from its dimension; what a function made up, from `rng`."""

    def __init__(
        self, dimension: Mapping[str, int], units: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        super().__init__(rng)
        self.dimension, self.units = dimension, units

    def number(self, slot: Slot, domain: Numeric) -> Any:
        unit = self._unit(slot)
        return super().number(slot, domain) if unit is None else domain.from_unit(unit)

    def option(self, slot: Slot, domain: Choice) -> int:
        unit, count = self._unit(slot), len(domain.options)
        return super().option(slot, domain) if unit is None else min(int(unit * count), count - 1)

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        return call(domain, config, self.rng)

    def _unit(self, slot: Slot) -> float | None:
        index = self.dimension.get(slot.name)
        return None if index is None else float(self.units[index])
