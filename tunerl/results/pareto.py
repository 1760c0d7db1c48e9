"""Which trials nobody beats in every objective at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunerl.errors import InvalidInput

BLOCK = 500


def front(values: ArrayLike, modes: Sequence[str]) -> list[int]:
    """The indices of the rows of `values` `[trials, objectives]` that no other row dominates.

    A row dominates another if it is as good in every objective and better in one; equal rows are
    all kept. Raises `InvalidInput` for modes other than "min" and "max", one a column.
    """
    rows: NDArray[np.float64] = np.asarray(values, dtype=np.float64).reshape(-1, len(modes))
    wrong = [mode for mode in modes if mode not in ("min", "max")]
    if wrong:
        raise InvalidInput(f"mode is {wrong[0]!r}; allowed: 'min', 'max'")
    costs = rows * [1.0 if mode == "min" else -1.0 for mode in modes]
    kept: list[int] = []
    for start in range(0, len(costs), BLOCK):
        block = costs[start : start + BLOCK, None]
        dominates = np.all(costs <= block, axis=-1) & np.any(costs < block, axis=-1)
        beaten: NDArray[np.bool_] = np.any(dominates, axis=1)
        kept += [start + int(index) for index in np.flatnonzero(~beaten)]
    return kept
