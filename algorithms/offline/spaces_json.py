"""Gymnasium spaces as JSON, both ways, so that a file or a configuration can say what it is of.

Invariant: `from_json(to_json(space)) == space`; nothing but the kinds of spaces below is ever made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from tunerl.errors import InvalidInput, nearest

KINDS = ("Box", "Dict", "Discrete", "MultiBinary", "MultiDiscrete", "Tuple")


def to_json(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """A space as plain data. Raises `InvalidInput` for a kind that no algorithm takes."""
    kind = type(space).__name__
    if isinstance(space, spaces.Discrete):
        return {"type": kind, "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "type": kind,
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.MultiBinary):
        return {"type": kind, "n": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, spaces.Box):
        return {
            "type": kind,
            "low": _bound(space.low),
            "high": _bound(space.high),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Dict):
        return {"type": kind, "spaces": {str(k): to_json(s) for k, s in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": kind, "spaces": [to_json(part) for part in space.spaces]}
    raise InvalidInput(f"a space {kind} cannot be used; it must be one of: {', '.join(KINDS)}")


def from_json(data: Any) -> gymnasium.Space[Any]:
    """The inverse of `to_json`; a space stays as it is. Raises `InvalidInput`."""
    if isinstance(data, gymnasium.Space):
        return data
    kind = data.get("type") if isinstance(data, Mapping) else None
    if kind not in KINDS:
        raise InvalidInput(
            f"{data!r} describes no space; give a Gymnasium space, or its description with a "
            f"'type'; {nearest(str(kind), KINDS)}"
        )
    try:
        return _made(kind, data)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise InvalidInput(f"{data!r} describes no {kind}: {error!r}") from error


def plain(value: Any) -> Any:
    """Paths and spaces in the words that JSON has for them; anything else as it is."""
    if isinstance(value, gymnasium.Space):
        return to_json(value)
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _made(kind: str, data: Mapping[str, Any]) -> gymnasium.Space[Any]:
    if kind == "Discrete":
        return spaces.Discrete(int(data["n"]), start=int(data.get("start", 0)))
    if kind == "MultiDiscrete":
        start = data.get("start")
        return spaces.MultiDiscrete(
            np.array(data["nvec"]),
            dtype=np.dtype(data.get("dtype", "int64")),
            start=None if start is None else np.array(start),
        )
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    if kind == "Box":
        shape, dtype = tuple(data["shape"]), np.dtype(data.get("dtype", "float32"))
        low, high = (
            np.broadcast_to(np.array(data[name], np.float64), shape).astype(dtype)
            for name in ("low", "high")
        )
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Dict":
        return spaces.Dict({name: from_json(part) for name, part in data["spaces"].items()})
    return spaces.Tuple([from_json(part) for part in data["spaces"]])


def _bound(array: Any) -> Any:
    """One number where all are equal; infinity as a word, which JSON lacks."""
    numbers = np.unique(array)
    if len(numbers) == 1:
        return _number(float(numbers[0]))
    return _nested(np.asarray(array, np.float64).tolist())


def _nested(value: Any) -> Any:
    return [_nested(entry) for entry in value] if isinstance(value, list) else _number(value)


def _number(value: float) -> float | str:
    return value if np.isfinite(value) else ("inf" if value > 0 else "-inf")
