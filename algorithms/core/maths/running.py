"""Running means and variances, one row a member; a row's numbers depend on its own data only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class RunningStats:
    """Mean and variance of all samples so far, `[K, D]` in float64 (Chan et al.).

    `keep`: where samples are left as they are (flags of the allowed actions).
    """

    def __init__(self, size: int, keep: slice | None = None) -> None:
        self.keep = keep
        self.mean = np.zeros((0, size))
        self.m2 = np.zeros((0, size))
        self.count = np.zeros((0, 1))

    def add(self, row: tuple[Array, Array, Array] | None = None) -> None:
        """Append a member, fresh or from what `read` gave."""
        size = self.mean.shape[1]
        mean, m2, count = row or (np.zeros(size), np.zeros(size), np.zeros(1))
        self.mean = np.concatenate([self.mean, mean.reshape(1, size)])
        self.m2 = np.concatenate([self.m2, m2.reshape(1, size)])
        self.count = np.concatenate([self.count, count.reshape(1, 1)])

    def remove(self, row: int) -> None:
        self.mean, self.m2, self.count = (
            np.delete(array, row, 0) for array in (self.mean, self.m2, self.count)
        )

    def read(self, row: int) -> tuple[Array, Array, Array]:
        return self.mean[row].copy(), self.m2[row].copy(), self.count[row].copy()

    def write(self, row: int, state: tuple[Array, Array, Array]) -> None:
        self.mean[row], self.m2[row], self.count[row] = state

    def update(self, samples: Array) -> None:
        """Take in `[K, E, D]` samples, E for each member."""
        n = samples.shape[1]
        samples = samples.astype(np.float64)
        mean = samples.mean(1)
        m2 = ((samples - mean[:, None]) ** 2).sum(1)
        delta, total = mean - self.mean, self.count + n
        self.mean = self.mean + delta * (n / total)
        self.m2 = self.m2 + m2 + delta * delta * (self.count * n / total)
        self.count = total

    def merge(self, row: int, state: tuple[Array, Array, Array]) -> None:
        """Take in what another `read` of other samples: as if all had been seen here (Chan)."""
        mean, m2, count = state
        total = self.count[row] + count
        if total[0] > 0:
            delta = mean - self.mean[row]
            self.m2[row] += m2 + delta * delta * (self.count[row] * count / total)
            self.mean[row] += delta * (count / total)
            self.count[row] = total

    @property
    def std(self) -> Array:
        """Standard deviation `[K, D]`; 1 before two samples were seen."""
        variance = np.where(self.count > 1, self.m2 / np.maximum(self.count, 1), 1.0)
        return np.sqrt(variance + 1e-8)

    def normalize_row(self, row: int, samples: Array, clip: float = 10.0) -> NDArray[np.float32]:
        """`[..., D]` samples by one member's statistics."""
        return self._clipped((samples - self.mean[row]) / self.std[row], samples, clip)

    def normalize_rows(self, rows: Any, samples: Array, clip: float = 10.0) -> NDArray[np.float32]:
        """`[R, B, D]` samples of some members, each by its own statistics."""
        scaled: Array = (samples - self.mean[rows][:, None]) / self.std[rows][:, None]
        return scaled.clip(-clip, clip).astype(np.float32)

    def normalize(self, samples: Array, clip: float = 10.0) -> NDArray[np.float32]:
        """`[K, E, D]` samples with mean 0 and standard deviation 1, clipped."""
        scaled = (samples - self.mean[:, None]) / self.std[:, None]
        return self._clipped(scaled, samples, clip)

    def _clipped(self, scaled: Array, samples: Array, clip: float) -> NDArray[np.float32]:
        found: NDArray[np.float32] = scaled.clip(-clip, clip).astype(np.float32)
        if self.keep is not None:
            found[..., self.keep] = samples[..., self.keep]
        return found
