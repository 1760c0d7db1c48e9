"""Configurations as points of the unit cube and back, for searchers with models of their own.

Invariant: `draw` of what `read` returned is the configuration again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem
from tunerl.space import Choice, Grid, Numeric, SampleFrom, Space
from tunerl.space.resolve import Slot, Source, View, call
from tunerl.trial import Config


class Cube:
    """One coordinate for each domain of a space, those of untaken options among them.

    `options`: of a choice, how many it has; 0 for numbers. A choice lies in the middle of its
    option's share of [0, 1]. Raises `InvalidSpace` for a grid.
    """

    def __init__(self, space: Space, title: str) -> None:
        if grids := [path for path, domain in space.domains.items() if isinstance(domain, Grid)]:
            text = f"grid_search cannot be combined with {title}; use choice here, or random search"
            raise InvalidSpace([Problem(path, text) for path in grids])
        domains = {
            name: domain
            for name, domain in space.domains.items()
            if isinstance(domain, Numeric | Choice)
        }
        self.space, self.index = space, {name: place for place, name in enumerate(domains)}
        self.options = np.array(
            [len(d.options) if isinstance(d, Choice) else 0 for d in domains.values()], int
        )

    @property
    def size(self) -> int:
        return len(self.index)

    def read(self, config: Config) -> np.ndarray:
        """The point [D] of a configuration; NaN where it lacks a parameter.

        Raises `InvalidSpace` where the configuration is not of this space.
        """
        point = np.full(self.size, math.nan)
        for name, (domain, value) in self.space.read(config).items():
            if isinstance(domain, Choice):
                point[self.index[name]] = (value + 0.5) / len(domain.options)
            elif name in self.index:
                assert isinstance(domain, Numeric)
                point[self.index[name]] = domain.to_unit(value)
        return point

    def draw(self, point: np.ndarray, rng: np.random.Generator) -> Config:
        """The configuration at a point [D]; `rng` for what functions draw."""
        return self.space.draw(_Point(self, point, rng))


class _Point(Source):
    def __init__(self, cube: Cube, point: np.ndarray, rng: np.random.Generator) -> None:
        self.cube, self.point, self.rng = cube, point, rng

    def _at(self, slot: Slot) -> float:
        place = self.cube.index.get(slot.name)
        return float(self.rng.random() if place is None else self.point[place])

    def number(self, slot: Slot, domain: Numeric) -> Any:
        return domain.from_unit(self._at(slot))

    def option(self, slot: Slot, domain: Choice) -> int:
        count = len(domain.options)
        return min(int(self._at(slot) * count), count - 1)

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        return call(domain, config, self.rng)
