"""What algorithms take: `check_spaces`, and codecs between spaces and float32 arrays.

Invariant: a codec works on any number of leading axes, and never looks across them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tunerl.errors import InvalidConfig, Problem

Array = NDArray[Any]
SpaceTypes = Sequence[type[gymnasium.Space[Any]]]

OBSERVATIONS: SpaceTypes = (
    spaces.Box,
    spaces.Discrete,
    spaces.MultiDiscrete,
    spaces.MultiBinary,
    spaces.Dict,
    spaces.Tuple,
)
ACTIONS: SpaceTypes = (spaces.Discrete, spaces.MultiDiscrete, spaces.Box)


def check_spaces(
    obs_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    observations: SpaceTypes = OBSERVATIONS,
    actions: SpaceTypes = ACTIONS,
) -> None:
    """Raise `InvalidConfig` unless an algorithm that takes these kinds of spaces can take these.

    The parts of a Dict or Tuple are looked at too; a Box of actions must be bounded.
    """
    problems = _unsupported("observation", obs_space, observations)
    problems += _unsupported("action", action_space, actions)
    if isinstance(action_space, spaces.Box) and not action_space.is_bounded():
        problems.append(
            Problem("env", f"the action space {action_space} must have finite bounds; wrap it")
        )
    if problems:
        raise InvalidConfig(problems)


def is_composite(space: gymnasium.Space[Any]) -> bool:
    return isinstance(space, spaces.Dict | spaces.Tuple)


def _unsupported(what: str, space: gymnasium.Space[Any], allowed: SpaceTypes) -> list[Problem]:
    if not isinstance(space, tuple(allowed)):
        names = ", ".join(kind.__name__ for kind in allowed)
        text = str(space) if len(str(space)) <= 80 else type(space).__name__
        message = f"the {what} space {text} cannot be used; it must be one of: {names}"
        return [Problem("env", message)]
    if is_composite(space):
        return [problem for part in _parts(space) for problem in _unsupported(what, part, allowed)]
    return []


def _parts(space: Any) -> list[gymnasium.Space[Any]]:
    """The parts of a Dict or Tuple in the order in which Gymnasium flattens them."""
    return list(space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces)


class ObservationCodec:
    """Observations ``[..., *obs]`` to float32 vectors ``[..., D]``, as Gymnasium flattens them.

    Box: its elements. Discrete: one-hot (`start` counts as the first). MultiDiscrete: a one-hot
    for each element. MultiBinary: its bits. Dict and Tuple: their parts one after the other, from
    a batched dictionary or tuple, or from the vectors that `PackEnvs` delivers for them.

    `preprocessor` (with `transform`) is applied to each observation before that; what it puts out
    is of `features`, which otherwise is `space`.
    """

    def __init__(
        self,
        space: gymnasium.Space[Any],
        preprocessor: Any = None,
        features: gymnasium.Space[Any] | None = None,
    ) -> None:
        self.space = space
        self.features = space if features is None else features
        self.preprocessor = preprocessor
        if preprocessor is not None:
            self._after = ObservationCodec(self.features)
        self._parts = (
            [ObservationCodec(part) for part in _parts(space)] if is_composite(space) else []
        )
        self.D: int = int(spaces.flatdim(self.features))

    def encode(self, obs: Any) -> NDArray[np.float32]:
        """Float32 ``[..., D]``; may share memory with `obs`."""
        if self.preprocessor is not None:
            return self._transformed(obs)
        if self._parts and isinstance(obs, dict | tuple | list):
            values = [obs[key] for key in self.space.spaces] if isinstance(obs, dict) else obs
            pairs = zip(self._parts, values, strict=True)
            return np.concatenate([part.encode(value) for part, value in pairs], axis=-1)
        array = np.asarray(obs)
        if self._parts:
            vectors: NDArray[np.float32] = array.astype(np.float32, copy=False)
            return vectors
        if isinstance(self.space, spaces.Discrete):
            return one_hot(array - self.space.start, int(self.space.n))
        if isinstance(self.space, spaces.MultiDiscrete):
            return self._encode_multi(array)
        lead = array.shape[: array.ndim - len(self.space.shape or ())]
        flat: NDArray[np.float32] = array.reshape(*lead, self.D).astype(np.float32, copy=False)
        return flat

    def _transformed(self, obs: Any) -> NDArray[np.float32]:
        """Each observation by itself, through the preprocessor."""
        if isinstance(obs, dict | tuple | list) and self._parts:
            one = self.preprocessor.transform(obs)
            return self._after.encode(self._fitting(one))
        array = np.asarray(obs)
        composite = bool(self._parts)
        rank = 1 if composite else len(self.space.shape or ())
        lead = array.shape[: array.ndim - rank]
        found = np.zeros((*lead, self.D), np.float32)
        for index in np.ndindex(*lead):
            one = spaces.unflatten(self.space, array[index]) if composite else array[index]
            found[index] = self._after.encode(self._fitting(self.preprocessor.transform(one)))
        return found

    def _fitting(self, made: Any) -> Array:
        found = np.asarray(made, self.features.dtype)
        if found.shape != self.features.shape:
            raise ValueError(
                f"the preprocessor gave an array of shape {found.shape}; it had promised "
                f"{self.features.shape}"
            )
        return found

    def _encode_multi(self, array: Array) -> NDArray[np.float32]:
        counts: Array = np.asarray(self.space.nvec)
        lead = array.shape[: array.ndim - counts.ndim]
        columns: Array = (array - self.space.start).reshape(*lead, counts.size)
        hot = [one_hot(columns[..., i], int(n)) for i, n in enumerate(counts.ravel())]
        return np.concatenate(hot, axis=-1)


def one_hot(index: Array, count: int) -> NDArray[np.float32]:
    """Float32 ``[..., count]`` of integers ``[...]`` from 0."""
    hot: NDArray[np.float32] = (index[..., None] == np.arange(count)).astype(np.float32)
    return hot


class ActionCodec:
    """What a policy puts out, to what an environment takes.

    Discrete and MultiDiscrete: choices counted from 0 become the space's own numbers.
    Box: float32 vectors ``[..., size]`` become ``[..., *action]``; with `normalize` [-1, 1] is
    stretched to the bounds; with `clip` what is outside of the bounds is brought to them.
    """

    def __init__(
        self, space: gymnasium.Space[Any], *, clip: bool = True, normalize: bool = False
    ) -> None:
        check_spaces(spaces.Discrete(1), space)
        self.space = space
        self.clip = clip
        self.normalize = normalize
        self.discrete = not isinstance(space, spaces.Box)
        if isinstance(space, spaces.Discrete):
            self.counts: tuple[int, ...] = (int(space.n),)
        elif isinstance(space, spaces.MultiDiscrete):
            self.counts = tuple(int(n) for n in np.ravel(space.nvec))
        else:
            self.counts = ()
            self._low = np.ravel(space.low).astype(np.float32)
            self._high = np.ravel(space.high).astype(np.float32)

    @property
    def size(self) -> int:
        """Numbers in one action: 1 for Discrete."""
        return len(self.counts) if self.discrete else len(self._low)

    def decode(self, action: Array) -> Array:
        """Actions for `PackEnvs.step`, from ints ``[...]`` for Discrete, else ``[..., size]``."""
        start: Any = 0 if not self.discrete else self.space.start
        if isinstance(self.space, spaces.Discrete):
            return action + start if start else action
        shape = (*action.shape[:-1], *(self.space.shape or ()))
        if self.discrete:
            shifted: Array = action.reshape(shape) + start
            return shifted
        if self.normalize:
            action = self._low + (action + 1.0) * 0.5 * (self._high - self._low)
        if self.clip:
            action = np.clip(action, self._low, self._high)
        return action.reshape(shape).astype(self.space.dtype, copy=False)

    def encode(self, action: Array) -> Array:
        """The inverse of `decode` for actions inside of the bounds."""
        start: Any = 0 if not self.discrete else self.space.start
        if isinstance(self.space, spaces.Discrete):
            return action - start if start else action
        lead = action.shape[: action.ndim - len(self.space.shape or ())]
        flat: Array = (action - start).reshape(*lead, self.size)
        if self.discrete:
            return flat
        flat = flat.astype(np.float32, copy=False)
        if self.normalize:
            flat = (flat - self._low) / (self._high - self._low) * 2.0 - 1.0
        return flat
