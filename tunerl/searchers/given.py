"""What searchers are given alike: a seed of their own, a limit of unfinished trials, points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.searchers.base import Searcher
from tunerl.space import Space
from tunerl.space.tree import parse


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


def read_points(given: Any) -> list[Any]:
    """`points_to_evaluate` as trees. Raises `InvalidSpec` for what is no list of configurations."""
    if given is None:
        return []
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        message = f"{given!r} given; it must be a list of configurations, such as [{{...}}]"
        raise InvalidSpec(Problem("searcher.points_to_evaluate", message))
    points = list(given)
    problems = [
        Problem(f"searcher.points_to_evaluate[{index}]", f"{point!r} given; it must be an object")
        for index, point in enumerate(points)
        if not isinstance(point, Mapping)
    ]
    if problems:
        raise InvalidSpec(problems)
    return [parse(dict(point)) for point in points]


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


class LimitedSearcher(Searcher):
    """One with a seed of its own (`own_seed`; None: the experiment's) and a `limit` of unfinished
    trials (0: none)."""

    own_seed: int | None = None
    limit: int | None = None

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        own = seed if self.own_seed is None else self.own_seed
        super().setup(space, metric, mode, num_samples, own)

    @property
    def max_concurrent(self) -> int | None:
        return self.limit or None


class LearningSearcher(LimitedSearcher):
    """One that learns from results: without a limit (None) it is not asked far ahead."""

    @property
    def max_concurrent(self) -> int | None:
        if self.limit is not None:
            return super().max_concurrent
        return 32 if self.num_samples < 0 else max(8, self.num_samples // 4)

    def check_objective(self, word: str) -> None:
        """Raises `InvalidSpec` where `setup` was given no metric, or no mode."""
        if self.metric is None or self.mode not in ("min", "max"):
            given = f"metric={self.metric!r}, mode={self.mode!r}"
            problem = Problem("metric", f"{word} needs a metric and a mode; given: {given}")
            raise InvalidSpec(problem)
