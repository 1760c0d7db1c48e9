"""Comparisons over runs and tasks, as Agarwal et al. (arXiv 2108.13264) recommend. Pure.

Invariant: scores are `[runs, tasks]`, greater is better; a bootstrap draws runs anew within each
task (stratified) and follows from its seed. Where a score is missing or NaN, so is what follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunerl.errors import nearest
from tunerl.statistics.summaries import VECTORISED, Values, check_bootstrap, interval_of

Scores = NDArray[np.float64]
CHUNK = 4_000_000  # numbers drawn at a time


def _scores(given: ArrayLike | Values) -> Scores:
    scores = np.asarray(given, dtype=np.float64)
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores of shape {scores.shape} given; they must be [runs, tasks]")
    return scores


def _draws(scores: Scores, resamples: int, rng: np.random.Generator) -> Iterator[Scores]:
    """Bootstrap replicates `[some, runs, tasks]`, `resamples` of them in all."""
    runs, tasks = scores.shape
    step = max(1, CHUNK // scores.size)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        picks = rng.integers(0, runs, (count, runs, tasks))
        yield scores[picks, np.arange(tasks)]


def stratified_interval(
    scores: ArrayLike,
    statistic: str = "iqm",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The stratified percentile bootstrap interval (low, high) of a statistic over all scores.

    `statistic`: "mean", "median", "iqm", "min", "max", "lower_quartile", of runs and tasks taken
    together. The paper draws 50,000 resamples. Raises `ValueError` for arguments that cannot be.
    """
    check_bootstrap(confidence, resamples)
    if statistic not in VECTORISED:
        raise ValueError(f"no statistic goes by {statistic!r}; " + nearest(statistic, VECTORISED))
    found = _scores(scores)
    if np.isnan(found).any():
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    parts = [
        VECTORISED[statistic](drawn.reshape(len(drawn), -1), axis=-1)
        for drawn in _draws(found, resamples, rng)
    ]
    return interval_of(np.concatenate(parts), confidence)


def probability_of_improvement(x: ArrayLike | Values, y: ArrayLike | Values) -> float:
    """The probability that a run of `x` scores above a run of `y`, a tie counting half.

    The mean over tasks of the Mann-Whitney U statistic over the number of pairs.
    """
    better, worse = _pair(x, y)
    if np.isnan(better).any() or np.isnan(worse).any():
        return math.nan
    return float(_improvement(better[None], worse[None])[0])


def probability_of_improvement_interval(
    x: ArrayLike | Values,
    y: ArrayLike | Values,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The stratified percentile bootstrap interval of `probability_of_improvement`."""
    check_bootstrap(confidence, resamples)
    better, worse = _pair(x, y)
    if np.isnan(better).any() or np.isnan(worse).any():
        return math.nan, math.nan
    first, second = (np.random.default_rng([seed, side]) for side in (0, 1))
    size = max(1, CHUNK // (better.size * worse.shape[0]))
    parts = []
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        left = np.concatenate(list(_draws(better, count, first)))
        right = np.concatenate(list(_draws(worse, count, second)))
        parts.append(_improvement(left, right))
    return interval_of(np.concatenate(parts), confidence)


def _pair(x: ArrayLike | Values, y: ArrayLike | Values) -> tuple[Scores, Scores]:
    better, worse = _scores(x), _scores(y)
    if better.shape[1] != worse.shape[1]:
        raise ValueError(
            f"{better.shape[1]} tasks against {worse.shape[1]}; compare like with like"
        )
    return better, worse


def _improvement(x: Scores, y: Scores) -> Any:
    """`[B, n, tasks]` against `[B, m, tasks]`: `[B]`."""
    left, right = x[:, :, None], y[:, None]
    wins = (left > right) + 0.5 * (left == right)
    return wins.mean(axis=(1, 2, 3))


def performance_profile(scores: ArrayLike, thresholds: Sequence[float]) -> list[float]:
    """For each threshold the share of all runs (over all tasks alike) that score above it."""
    found = _scores(scores)
    if np.isnan(found).any():
        return [math.nan for _ in thresholds]
    return [float((found > threshold).mean()) for threshold in thresholds]
