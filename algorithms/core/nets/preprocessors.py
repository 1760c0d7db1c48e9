"""Preprocessors: observations brought into another form before an agent sees them. RLlib's names.

Invariant: `transform` is a function of one observation; it has no state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tunerl import registry
from tunerl.errors import InvalidConfig, InvalidInput, Problem

AnySpace = gymnasium.Space
ATARI = (210, 160, 3)


class Preprocessor:
    """Base of a user's preprocessors: say the `shape` in `_init_shape`, do it in `transform`.

    `options`: the settings of the network. `observation_space` is what comes out of it.
    """

    def __init__(self, obs_space: Any, options: Mapping[str, Any] | None = None) -> None:
        self._obs_space, self._options = obs_space, dict(options or {})
        self.shape = tuple(self._init_shape(obs_space, self._options))

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        raise NotImplementedError

    def transform(self, observation: Any) -> NDArray[Any]:
        """One observation of the environment's space as an array of `shape`."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def observation_space(self) -> Any:
        return spaces.Box(-np.inf, np.inf, self.shape, np.float32)


class NoPreprocessor(Preprocessor):
    """The observation as it is."""

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        return tuple(obs_space.shape)

    def transform(self, observation: Any) -> NDArray[Any]:
        return np.asarray(observation)

    @property
    def observation_space(self) -> Any:
        return self._obs_space


class FlatteningPreprocessor(Preprocessor):
    """Discrete: one-hot; MultiDiscrete: a one-hot each; Dict and Tuple: parts side by side."""

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        return (int(spaces.flatdim(obs_space)),)

    def transform(self, observation: Any) -> NDArray[Any]:
        flat: NDArray[Any] = np.asarray(spaces.flatten(self._obs_space, observation), np.float32)
        return flat


class OneHotPreprocessor(FlatteningPreprocessor):
    """Of Discrete and MultiDiscrete spaces."""


class DictFlatteningPreprocessor(FlatteningPreprocessor):
    """Of Dict spaces."""


class TupleFlatteningPreprocessor(FlatteningPreprocessor):
    """Of Tuple spaces."""


class GenericPixelPreprocessor(Preprocessor):
    """Atari frames: the scoreboard cut off, `dim` x `dim` pixels (84), around 0.

    Options: `grayscale` (one channel), `zero_mean` False (from 0 to 1).
    """

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        self.dim = int(options.get("dim", 84))
        return (self.dim, self.dim, 1 if options.get("grayscale") else 3)

    def transform(self, observation: Any) -> NDArray[Any]:
        picture = resized(np.asarray(observation, np.float32)[25:-25], self.dim, self.dim)
        if self._options.get("grayscale"):
            picture = picture.mean(2, keepdims=True)
        zero_mean = self._options.get("zero_mean", True)
        found: NDArray[Any] = (picture - 128) / 128 if zero_mean else picture / 255
        return found.astype(np.float32)


class AtariRamPreprocessor(Preprocessor):
    """Atari's 128 bytes, around 0."""

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        return (128,)

    def transform(self, observation: Any) -> NDArray[Any]:
        found: NDArray[Any] = (np.asarray(observation, np.float32) - 128) / 128
        return found


def resized(picture: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """A picture `[H, W, C]` at another size, bilinear, pixel centres aligned."""
    for axis, size in ((0, height), (1, width)):
        old = picture.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(picture.ndim)])
        picture = picture.take(low, axis) * (1 - share) + picture.take(high, axis) * share
    return picture


def get_preprocessor(space: Any) -> type[Preprocessor]:
    """The preprocessor that suits a space, as RLlib chooses it."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return OneHotPreprocessor
    if isinstance(space, spaces.Dict):
        return DictFlatteningPreprocessor
    if isinstance(space, spaces.Tuple):
        return TupleFlatteningPreprocessor
    if space.shape == ATARI:
        return GenericPixelPreprocessor
    if space.shape == (128,) and space.dtype == np.uint8:
        return AtariRamPreprocessor
    return NoPreprocessor


def register_preprocessor(name: str, preprocessor: Callable[..., Any]) -> None:
    """Name a custom preprocessor, called as ``preprocessor(observation_space, model_settings)``.

    It has `transform(observation)` and a `shape` (or an `observation_space`). Workers of this
    process know it too. Raises `InvalidInput` for what cannot be called.
    """
    if not callable(preprocessor):
        raise InvalidInput(f"preprocessor {name!r} is {preprocessor!r}; give a class")
    registry.share("preprocessor", name, preprocessor)


def custom_preprocessor(model: Mapping[str, Any], space: Any) -> tuple[Any, Any]:
    """The preprocessor that the model settings ask for and what it puts out; None: there is none.

    Raises `InvalidConfig` for one without `transform`, or without a form of what it puts out.
    """
    asked = model.get("custom_preprocessor")
    if asked is None:
        return None, space
    make = registry.shared("preprocessor")[asked] if isinstance(asked, str) else asked
    made = make(space, dict(model))
    out = getattr(made, "observation_space", None)
    if out is None and getattr(made, "shape", None) is not None:
        out = spaces.Box(-np.inf, np.inf, tuple(made.shape), np.float32)
    if not callable(getattr(made, "transform", None)) or not isinstance(out, spaces.Box):
        what = f"{asked!r} must have transform(observation), and a shape of what that returns"
        raise InvalidConfig(Problem("model.custom_preprocessor", what))
    return made, out
