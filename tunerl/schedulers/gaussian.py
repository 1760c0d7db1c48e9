"""A Gaussian process over settings that lose their meaning with time. Pure numpy.

Kernel of PB2 (Parker-Holder et al., arXiv 2002.02518): ``(1 - eps)^(|t - t'| / 2)`` times one
over the settings; with options that is a mix of sum and product, as in PB2-Mix (arXiv 2106.15883).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FITS, ROUNDS = 24, 2  # tried kernels, and how often the best one is refined


@dataclass(frozen=True)
class Points:
    """N settings: `time` `[N]` in intervals, `numbers` `[N, D]` in the unit cube (roughly),
    `options` `[N, C]` indices."""

    time: Floats
    numbers: Floats
    options: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def __add__(self, other: Points) -> Points:
        return Points(
            np.concatenate([self.time, other.time]),
            np.concatenate([self.numbers, other.numbers]),
            np.concatenate([self.options, other.options]),
        )


class Gaps:
    """Between N and M points: `apart` in time, `square` of the distance of numbers, `alike` the
    part of equal options (None without any); each `[N, M]`."""

    def __init__(self, one: Points, other: Points) -> None:
        self.apart = np.abs(one.time[:, None] - other.time[None, :])
        self.square = ((one.numbers[:, None, :] - other.numbers[None, :, :]) ** 2).sum(-1)
        self.alike: Floats | None = None
        if one.options.shape[1]:
            self.alike = (one.options[:, None, :] == other.options[None, :, :]).mean(-1)


@dataclass(frozen=True)
class Kernel:
    """`scale`: length scale of numbers. `forget`: eps, of time. `noise`: variance, of 1 in all."""

    scale: float = 0.5
    forget: float = 0.1
    noise: float = 0.1

    def __call__(self, gaps: Gaps) -> Floats:
        decay = (1.0 - self.forget) ** (gaps.apart / 2.0)
        near = np.exp(-0.5 * gaps.square / self.scale**2)
        if gaps.alike is not None:
            near = 0.25 * (near + gaps.alike) + 0.5 * near * gaps.alike
        found: Floats = decay * near
        return found


class Process:
    """A fit to `values` `[N]`, which are standardised inside."""

    def __init__(
        self, points: Points, values: Floats, kernel: Kernel, gaps: Gaps | None = None
    ) -> None:
        self.points, self.kernel = points, kernel
        self.mean, self.spread = float(values.mean()), float(values.std()) or 1.0
        self.values = (values - self.mean) / self.spread
        noise = (kernel.noise + 1e-8) * np.eye(len(points))
        covered = kernel(gaps or Gaps(points, points)) + noise
        self.factor = np.linalg.cholesky(covered)
        self.weights = np.linalg.solve(covered, self.values)

    @property
    def likelihood(self) -> float:
        """Log marginal likelihood of the standardised values, but for a constant."""
        logs = np.log(np.diag(self.factor)).sum()
        return float(-0.5 * self.values @ self.weights - logs)

    def at(self, points: Points) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noiseless value at M points, standardised."""
        cross = self.kernel(Gaps(points, self.points))
        solved = np.linalg.solve(self.factor, cross.T)
        variance = np.maximum(1.0 - (solved**2).sum(0), 1e-12)
        return cross @ self.weights, np.sqrt(variance)

    def besides(self, pending: Points) -> Process:
        """As if each of `pending` had turned out as expected: so a batch spreads out."""
        if not len(pending):
            return self
        expected = self.at(pending)[0]
        values = np.concatenate([self.values, expected]) * self.spread + self.mean
        return Process(self.points + pending, values, self.kernel)


def fit(points: Points, values: Floats, rng: np.random.Generator) -> Process:
    """The process with the likeliest kernel among those tried."""
    gaps = Gaps(points, points)
    best = Process(points, values, Kernel(), gaps)
    for _ in range(FITS):
        scale, noise = np.exp(rng.uniform(np.log([0.05, 1e-3]), np.log([3.0, 1.0])))
        kernel = Kernel(scale, float(rng.uniform(0.0, 0.6)), noise)
        tried = Process(points, values, kernel, gaps)
        best = max(best, tried, key=lambda process: process.likelihood)
    for _ in range(ROUNDS):
        for name, low, high in (("scale", 0.05, 3.0), ("noise", 1e-3, 1.0)):
            for factor in (0.8, 1.25):
                values_of = vars(best.kernel)
                moved = {name: min(max(values_of[name] * factor, low), high)}
                tried = Process(points, values, Kernel(**{**values_of, **moved}), gaps)
                best = max(best, tried, key=lambda process: process.likelihood)
    return best
