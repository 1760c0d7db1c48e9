"""BOHB's searcher: kernel densities of the good and of the rest (Falkner et al., arXiv 1807.01774).

Invariant: a suggestion is a function of the seed, the number and the history; what is kept between
suggestions only saves time.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.searchers.base import History, Observation, Wait
from tunerl.searchers.cube import Cube
from tunerl.searchers.given import (
    LearningSearcher,
    check_limit,
    fix_points,
    generator,
    read_points,
    seed_of,
)
from tunerl.space import Space
from tunerl.trial import Config, Status

STANDARD = NormalDist()


@dataclass
class _Seen:
    """A trial as last looked at; `point` None: its configuration is of another space."""

    version: int
    config: Config
    point: np.ndarray | None
    iterations: list[int]
    losses: list[float]
    failed: bool


class TuneBOHB(LearningSearcher):
    """Suggests where the density of good configurations is highest against that of the others.

    To be used with `HyperBandForBOHB`. A model is made for the largest budget (in iterations) that
    `min_points_in_model` + 2 trials have reached, from the value that each first had there; failed
    trials and values that are no numbers are the worst. `min_points_in_model`: by default one more
    than there are parameters. The best `top_n_percent` are the good ones. Of `num_samples` draws
    from their density, its Gaussians widened by `bandwidth_factor`, that with the highest ratio of
    densities is suggested; a part `random_fraction` of the suggestions is random. Parameters that
    a configuration lacks are filled in from others that have them.

    `points_to_evaluate` (whole or in part) come first. `max_concurrent`: at most so many
    unfinished trials, 0 for no limit; by default a quarter of `num_samples` of the experiment and
    at least 8 (32 when endless), so that there are results to learn from; paused trials do not
    count. Raises `InvalidSpec`, `InvalidSpace`.
    """

    name = "bohb"

    def __init__(
        self,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
        max_concurrent: int | None = None,
        min_points_in_model: int | None = None,
        top_n_percent: float = 15,
        num_samples: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3,
        min_bandwidth: float = 1e-3,
    ) -> None:
        self.points = read_points(points_to_evaluate)
        self.own_seed = seed_of(seed)
        self.limit = None if max_concurrent is None else check_limit(max_concurrent)
        self.min_points_in_model, self.draws = min_points_in_model, num_samples
        self.top_n_percent, self.random_fraction = top_n_percent, random_fraction
        self.bandwidth_factor, self.min_bandwidth = bandwidth_factor, min_bandwidth
        found = []
        if min_points_in_model is not None:
            found += _within("min_points_in_model", min_points_in_model, 1, math.inf, int)
        found += _within("top_n_percent", top_n_percent, 0, 100)
        found += _within("num_samples", num_samples, 1, math.inf, int)
        found += _within("random_fraction", random_fraction, 0, 1)
        found += _within("bandwidth_factor", bandwidth_factor, 1e-6, math.inf)
        found += _within("min_bandwidth", min_bandwidth, 1e-12, 1)
        if found:
            raise InvalidSpec(found)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        self.check_objective("BOHB")
        space.check(num_samples)
        self._cube = Cube(space, "BOHB")
        self._fixed = fix_points(space, self.points)
        self._seen: list[_Seen] = []

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        rng = generator(self.seed, number)
        if number < len(self._fixed):
            return self._fixed[number].sample(rng)
        random = rng.random() < self.random_fraction
        data = None if random else self._data(number, history)
        if data is None:
            return self.space.sample(rng)
        return self._cube.draw(self._best(*data, rng), rng)

    def _data(self, number: int, history: History) -> tuple[np.ndarray, np.ndarray] | None:
        """The points [N, D] and losses [N] at the largest budget with enough of them."""
        for place in range(number):
            seen = history[place]
            if place == len(self._seen):
                self._seen.append(self._look(seen))
            elif (self._seen[place].version, self._seen[place].config) != (
                seen.version,
                seen.config,
            ):
                self._seen[place] = self._look(seen)
        known = [seen for seen in self._seen[:number] if seen.point is not None]
        needed = self._least + 2
        reached = sorted((s.iterations[-1] for s in known if s.iterations), reverse=True)
        if len(reached) < needed or not self._cube.size:
            return None
        budget = reached[needed - 1]
        points, losses = [], []
        for trial in known:
            place = bisect_left(trial.iterations, budget)
            if place < len(trial.iterations) or trial.failed:
                points.append(trial.point)
                losses.append(math.inf if trial.failed else trial.losses[place])
        return np.array(points), np.array(losses)

    @property
    def _least(self) -> int:
        return self.min_points_in_model or self._cube.size + 1

    def _look(self, seen: Observation) -> _Seen:
        sign = -1.0 if self.mode == "max" else 1.0
        try:
            point = self._cube.read(seen.config)
        except InvalidSpace:
            point = None
        losses = [math.inf if math.isnan(value) else sign * value for _, value in seen.values]
        iterations = [iteration for iteration, _ in seen.values]
        failed = seen.status is Status.ERROR
        return _Seen(seen.version, seen.config, point, iterations, losses, failed)

    def _best(self, points: np.ndarray, losses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The candidate [D] with the highest ratio of densities."""
        points = fill_in(points, rng)[np.argsort(losses, kind="stable")]
        count = len(points)
        good = max(self._least, int(self.top_n_percent * count // 100))
        bad = max(self._least, count - good)
        options = self._cube.options
        best = Density(points[:good], options, self.min_bandwidth)
        rest = Density(points[-bad:], options, self.min_bandwidth)
        drawn = best.sample(rng, self.draws, self.bandwidth_factor)
        chosen: np.ndarray = drawn[np.argmax(best.log(drawn) - rest.log(drawn))]
        return chosen

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "points_to_evaluate": self.points,
            "seed": self.own_seed,
            "max_concurrent": self.limit,
            "min_points_in_model": self.min_points_in_model,
            "top_n_percent": self.top_n_percent,
            "num_samples": self.draws,
            "random_fraction": self.random_fraction,
            "bandwidth_factor": self.bandwidth_factor,
            "min_bandwidth": self.min_bandwidth,
        }


class Density:
    """A product of kernel densities: Gaussian for numbers, Aitchison and Aitken's for choices.

    `points` [N, D]. Bandwidths by the normal reference rule, at least `least`.
    """

    def __init__(self, points: np.ndarray, options: np.ndarray, least: float) -> None:
        self.points, self.options = points, options
        count, size = points.shape
        rule = 1.06 * points.std(axis=0) * count ** (-1 / (4 + size))
        self.bandwidth = np.maximum(rule, least)
        choice = options > 0
        most = np.where(choice, (options - 1) / np.maximum(options, 1), np.inf)
        self.bandwidth = np.minimum(self.bandwidth, most)

    def log(self, at: np.ndarray) -> np.ndarray:
        """The logarithm of the density [M] at points [M, D]."""
        total = np.zeros((len(at), len(self.points)))
        for d, count in enumerate(self.options):
            width, gap = self.bandwidth[d], at[:, d, None] - self.points[None, :, d]
            if count == 0:
                total += -0.5 * (gap / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))
            elif count > 1:
                same = np.abs(gap) < 0.5 / count
                total += np.where(same, math.log(1 - width), math.log(width / (count - 1)))
        highest = total.max(axis=1)
        summed: np.ndarray = np.exp(total - highest[:, None]).sum(axis=1)
        found: np.ndarray = highest + np.log(summed) - math.log(len(self.points))
        return found

    def sample(self, rng: np.random.Generator, count: int, factor: float) -> np.ndarray:
        """Points [count, D] of the cube from the density, its Gaussians wider by `factor`."""
        drawn = self.points[rng.integers(len(self.points), size=count)].copy()
        for d, options in enumerate(self.options):
            width = self.bandwidth[d]
            for row in drawn:
                if options == 0:
                    row[d] = _truncated(row[d], width * factor, rng.random())
                elif rng.random() < width:
                    row[d] = (rng.integers(options) + 0.5) / options
        return drawn


def fill_in(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points [N, D] with NaN replaced by the value of some other that has one, else at random."""
    points = points.copy()
    for column in points.T:
        missing, known = np.isnan(column), column[~np.isnan(column)]
        if missing.any():
            count = int(missing.sum())
            column[missing] = rng.choice(known, count) if len(known) else rng.random(count)
    return points


def _truncated(mean: float, sd: float, unit: float) -> float:
    """A draw from a normal distribution cut off outside of [0, 1], by a uniform one."""
    low, high = STANDARD.cdf(-mean / sd), STANDARD.cdf((1 - mean) / sd)
    share = min(max(low + unit * (high - low), 1e-15), 1 - 1e-15)
    return min(max(mean + sd * STANDARD.inv_cdf(share), 0.0), 1.0)


def _within(
    name: str, value: Any, low: float, high: float, whole: type | None = None
) -> list[Problem]:
    """A problem unless a number lies from `low` to `high`."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        span = f"from {low:g} on" if high == math.inf else f"from {low:g} to {high:g}"
        return [Problem(f"searcher.{name}", f"{value!r} given; it must be {kind} {span}")]
    return []
