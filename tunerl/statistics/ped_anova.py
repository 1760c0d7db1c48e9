"""PED-ANOVA: what tells the best tenth of all trials from the rest, one parameter at a time.

Watanabe et al., arXiv 2304.10255; conditional parameters by arXiv 2601.20800; grids and bandwidths
as in Optuna 5. Invariant: trials come as points of a grid with how often each counts, so a draw of
a bootstrap is nothing but other counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

BEST = 0.1  # of all trials
FEWEST = 2  # trials in which a parameter has a range, for that range to count
NARROWEST = 0.5 / 1.64  # of a kernel: nine tenths of it fall on its own point of the grid
TINY = 1e-12

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Range:
    """A parameter where it has this range. `trials` [n]: their places; `points` [n]: where on a
    grid of `size` points each stands. `ordered`: neighbours on the grid are alike."""

    trials: Ints
    points: Ints
    size: int
    ordered: bool


def shares(
    parameters: Mapping[str, Sequence[Range]], losses: Floats, counts: Ints
) -> dict[str, float]:
    """The share of 1 of each parameter; all the same where nothing tells them apart.

    `losses` [N]: of all trials, lower is better, no NaN; `counts` [N]: how often each counts.
    """
    best = np.where(_best(losses, counts), counts, 0)
    found = {
        name: sum(_part(each, best, counts) for each in ranges)
        for name, ranges in parameters.items()
    }
    total = sum(found.values())
    return {name: value / total if total else 1 / len(found) for name, value in found.items()}


def _best(losses: Floats, counts: Ints) -> NDArray[np.bool_]:
    order = np.argsort(losses, kind="stable")
    upto = np.cumsum(counts[order])
    cutoff = losses[order[np.searchsorted(upto, math.ceil(BEST * upto[-1]))]]
    return np.asarray(losses <= cutoff)


def _part(range: Range, best: Ints, counts: Ints) -> float:
    """What one range adds to the importance of its parameter."""
    top, all = (
        np.bincount(range.points, weights=each[range.trials], minlength=range.size).astype(float)
        for each in (best, counts)
    )
    if range.size < 2 or all.sum() < FEWEST or not top.sum():
        return 0.0
    density = _ordered if range.ordered else _unordered
    dense_top, dense_all = density(top) + TINY, density(all) + TINY
    divergence = dense_all @ (dense_top / dense_all - 1) ** 2
    weight = (top.sum() / best.sum()) ** 2 / (all.sum() / counts.sum())
    return float(weight * divergence)


def _ordered(counts: Floats) -> Floats:
    """A density on the grid: a kernel on each point that counts, by Scott's rule, and a wide one
    for what was not tried."""
    size, points = len(counts), np.flatnonzero(counts)
    weights = counts[points]
    total, upto = weights.sum(), np.cumsum(weights)
    mean = points @ weights / total
    deviation = math.sqrt((points - mean) ** 2 @ weights / max(1, total - 1))
    first = np.searchsorted(upto, total // 4, side="left")
    third = min(len(points) - 1, np.searchsorted(upto, total * 3 // 4, side="right"))
    between = (points[third] - points[first]) / 1.34
    width = max(1.059 * min(between, deviation) * total**-0.2, NARROWEST)
    centres = np.append(points, (size - 1) / 2)[:, None]
    widths = np.append(np.full(len(points), width), size)[:, None]
    below = ndtr((np.arange(size + 1) - 0.5 - centres) / widths)
    kernels = np.diff(below) / (below[:, -1:] - below[:, :1])
    return np.asarray(np.append(weights, 1.0) / (total + 1) @ kernels)


def _unordered(counts: Floats) -> Floats:
    """Likewise where no point is nearer than another."""
    size, points = len(counts), np.flatnonzero(counts)
    weights = counts[points] / (counts.sum() + 1)
    spread = 1 / (len(points) + 1)
    kernels = (np.eye(size)[points] + spread) / (1 + size * spread)
    return np.asarray(weights @ kernels + 1 / (counts.sum() + 1) / size)
