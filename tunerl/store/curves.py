"""Thins out a learning curve: pure, deterministic; every extreme stays visible."""

from __future__ import annotations

import math
from collections.abc import Sequence

CAP = 2000


def keep(values: Sequence[float], max_points: int) -> list[int]:
    """Indices, ascending, of at most `max_points` (and `CAP`) of `values`.

    The curve is cut into equal buckets; each keeps its first, last, lowest and highest value.
    NaN is neither lowest nor highest. Below four points: the first and the last, or the last.
    """
    limit = min(max_points, CAP)
    if len(values) <= limit:
        return list(range(len(values)))
    if limit < 4:
        return [0, len(values) - 1][-limit:]
    buckets = limit // 4
    kept: set[int] = set()
    for bucket in range(buckets):
        start = bucket * len(values) // buckets
        stop = (bucket + 1) * len(values) // buckets
        numbers = [index for index in range(start, stop) if not math.isnan(values[index])]
        kept |= {start, stop - 1}
        if numbers:
            kept |= {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)}
    return sorted(kept)
