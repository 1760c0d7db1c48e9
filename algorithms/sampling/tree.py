"""Values that may be nested: an array, or a dictionary or tuple of such."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def mapped(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """`function` on the leaves of trees of one shape, in the shape of the first."""
    if isinstance(first, dict):
        return {
            name: mapped(function, value, *(other[name] for other in others))
            for name, value in first.items()
        }
    if isinstance(first, tuple):
        return tuple(mapped(function, *parts) for parts in zip(first, *others, strict=True))
    return function(first, *others)


def leaves(value: Any) -> Iterator[Any]:
    """The leaves of a tree, in order."""
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | tuple):
        for part in parts:
            yield from leaves(part)
    else:
        yield value


def stacked(values: Sequence[Any]) -> Any:
    """One tree of arrays `[T, ...]` from T trees."""
    return mapped(lambda *parts: np.stack([np.asarray(part) for part in parts]), *values)


def length(value: Any) -> int:
    """The length of the first axis, which all leaves share."""
    return len(next(leaves(value)))
