"""Is a file's content of the spaces it should be of? And which spaces must it be of, if none says.

Invariant: what passes can be encoded for a network; what does not is told with its file and row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from algorithms.core.envs.members import array_of
from algorithms.core.envs.spaces import is_composite
from algorithms.offline.part import Part
from algorithms.offline.spaces_json import from_json
from tunerl.errors import InvalidInput

Array = NDArray[Any]
OUTSIDE = 0.5  # observations may leave their bounds, as those of many environments do: in so many
FAR = 1e-4  # rows; actions only by this share of their range, which rounding explains


def spaces_of(parts: Sequence[Part]) -> tuple[Space[Any], Space[Any]]:
    """The spaces that the files name; those that name none are guessed from the numbers.

    A guess: observations are unbounded, whole actions are choices from 0 to the highest seen,
    others lie between the least and the most seen. Raises `InvalidInput` where files disagree.
    """
    told = [part for part in parts if part.spaces is not None]
    for part in told[1:]:
        if part.spaces != told[0].spaces:
            raise InvalidInput(
                f"{part.path} is of other spaces than {told[0].path}: {part.spaces}, not "
                f"{told[0].spaces}; learn from files of one environment"
            )
    if told and isinstance(told[0].spaces, dict):
        found = told[0].spaces
        return from_json(found.get("observation_space")), from_json(found.get("action_space"))
    obs = parts[0].columns["obs"]
    shape = obs.shape[1:]
    return spaces.Box(-np.inf, np.inf, shape, np.float32), _guessed_action_space(parts)


def _guessed_action_space(parts: Sequence[Part]) -> Space[Any]:
    actions = [part.columns["actions"] for part in parts if len(part.columns["actions"])]
    low = np.min([array.min(0) for array in actions], axis=0)
    high = np.max([array.max(0) for array in actions], axis=0)
    if actions[0].dtype.kind == "f":
        shape = low.shape or (1,)
        same = np.where(low == high, 1.0, 0.0)  # a space needs some width
        bounds = (np.reshape(bound, shape).astype(np.float32) for bound in (low - same, high))
        return spaces.Box(*bounds, shape, np.float32)
    if low.shape in ((), (1,)):
        return spaces.Discrete(int(high.max()) + 1)
    return spaces.MultiDiscrete(high.astype(np.int64) + 1)


def check_part(part: Part, obs_space: Space[Any], action_space: Space[Any]) -> None:
    """Bring a file's observations and actions into the shapes and types of the spaces, in place.

    Raises `InvalidInput` for what is of another shape or kind, outside, NaN or infinite.
    """
    shape, dtype = array_of(obs_space)
    for name in ("obs", "new_obs"):
        if name in part.columns:
            column = _shaped(part, name, shape, obs_space)
            part.columns[name] = column.astype(dtype, copy=False)
            _in_observation_space(part, name, obs_space)
    actions = _shaped(part, "actions", action_space.shape or (), action_space)
    part.columns["actions"] = _checked_actions(part, actions, action_space)
    for name in ("rewards", "action_logp"):
        if name in part.columns:
            part.columns[name] = _shaped(part, name, (), None).astype(np.float32)


def _shaped(
    part: Part, name: str, shape: tuple[int, ...], space: Space[Any] | None
) -> NDArray[Any]:
    """A column as ``[N, *shape]``; axes of length 1 may be missing or too many."""
    column = part.columns[name]
    own = column.shape[1:]
    if own != shape:
        if [n for n in own if n != 1] != [n for n in shape if n != 1]:
            of = f", the space {_short(space)}" if space is not None else ""
            raise InvalidInput(
                f"{part.path}: {name} have the shape {own}{of} has {shape}; the file is of another "
                "environment"
            )
        column = column.reshape(len(column), *shape)
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        bad = ~np.isfinite(column.reshape(len(column), -1)).all(1)
        raise InvalidInput(f"{part.where(int(np.argmax(bad)))}: {name} are NaN or infinite")
    return column


def _in_observation_space(part: Part, name: str, space: Space[Any]) -> None:
    column = part.columns[name]
    if not len(column) or is_composite(space):
        return
    low, high = _limits(space)
    outside = ((column < low) | (column > high)).reshape(len(column), -1).any(1)
    allowed = OUTSIDE * len(column) if isinstance(space, spaces.Box) else 0
    if outside.sum() > allowed:
        row = int(np.argmax(outside))
        raise InvalidInput(
            f"{part.where(row)}: {name} {column[row].tolist()} lie outside of {_short(space)} "
            f"(as do {int(outside.sum())} of {len(column)} rows); the file is of another "
            "environment"
        )


def _checked_actions(part: Part, actions: NDArray[Any], space: Space[Any]) -> NDArray[Any]:
    box = isinstance(space, spaces.Box)
    if not box and actions.dtype.kind == "f":
        broken = (actions != np.rint(actions)).reshape(len(actions), -1).any(1)
        if broken.any():
            row = int(np.argmax(broken))
            raise InvalidInput(
                f"{part.where(row)}: the action {actions[row].tolist()} is none of {_short(space)}"
            )
    low, high = _limits(space)
    slack = FAR * (high.astype(np.float64) - low) if box else 0
    outside = ((actions < low - slack) | (actions > high + slack)).reshape(len(actions), -1).any(1)
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidInput(
            f"{part.where(row)}: the action {actions[row].tolist()} is outside of {_short(space)}; "
            "actions are written as the environment takes them"
        )
    found: NDArray[Any] = np.clip(actions, low, high) if box else actions
    return found.astype(np.float32 if box else np.int64)


def _limits(space: Any) -> tuple[Array, Array]:
    """The least and the greatest of each element."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n - 1)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape), np.ones(space.shape)
    return space.low, space.high


def _short(space: Any) -> str:
    text = str(space)
    return text if len(text) <= 90 else f"{type(space).__name__}{space.shape}"
