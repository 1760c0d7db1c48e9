"""Preprocessors, RLlib's and a user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from algorithms.core.envs import ObservationCodec
from algorithms.core.nets.preprocessors import (
    NoPreprocessor,
    Preprocessor,
    custom_preprocessor,
    get_preprocessor,
    resized,
)
from tunerl.errors import InvalidConfig

ATARI = spaces.Box(0, 255, (210, 160, 3), np.uint8)


@pytest.mark.parametrize(
    ("space", "name", "shape"),
    [
        (ATARI, "GenericPixelPreprocessor", (84, 84, 3)),
        (spaces.Box(0, 255, (128,), np.uint8), "AtariRamPreprocessor", (128,)),
        (spaces.Discrete(4), "OneHotPreprocessor", (4,)),
        (spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (3,))}),
         "DictFlatteningPreprocessor", (5,)),
        (spaces.Tuple([spaces.Discrete(2)]), "TupleFlatteningPreprocessor", (2,)),
        (spaces.Box(0, 1, (3,)), "NoPreprocessor", (3,)),
    ],
)  # fmt: skip
def test_a_space_gets_the_preprocessor_that_rllib_gives_it(
    space: Any, name: str, shape: tuple[int, ...]
) -> None:
    space.seed(0)
    kind = get_preprocessor(space)
    assert kind.__name__ == name
    assert kind(space).shape == shape
    assert kind(space).transform(space.sample()).shape == shape


def test_frames_are_centred_or_brought_to_one() -> None:
    kind, bright = get_preprocessor(ATARI), np.full((210, 160, 3), 192, np.uint8)
    np.testing.assert_allclose(kind(ATARI).transform(bright), 0.5)
    options = {"zero_mean": False, "grayscale": True, "dim": 42}
    small = kind(ATARI, options).transform(bright)
    assert small.shape == (42, 42, 1)
    np.testing.assert_allclose(small, 192 / 255, rtol=1e-6)


def test_half_the_size_is_the_mean_of_neighbours() -> None:
    picture = np.arange(16.0).reshape(4, 4, 1)
    np.testing.assert_allclose(resized(picture, 2, 2)[..., 0], [[2.5, 4.5], [10.5, 12.5]])


class Sum(Preprocessor):
    """All parts of a Dict added up, with an option of the network's settings."""

    def _init_shape(self, obs_space: Any, options: dict[str, Any]) -> tuple[int, ...]:
        return (1,)

    def transform(self, observation: Any) -> Any:
        return np.array([observation["a"].sum() + observation["b"]], np.float32)


def test_a_users_preprocessor_sees_each_observation_as_it_is() -> None:
    space = spaces.Dict({"a": spaces.Box(-9, 9, (2,)), "b": spaces.Discrete(3)})
    codec = ObservationCodec(space, *custom_preprocessor({"custom_preprocessor": Sum}, space))
    assert codec.D == 1
    one = {"a": np.array([1.5, 2.0], np.float32), "b": np.int64(2)}
    assert codec.encode(one).tolist() == [5.5]
    flat = spaces.flatten(space, one)
    assert codec.encode(np.stack([[flat, flat]] * 3)).tolist() == [[[5.5], [5.5]]] * 3


class Mute:
    def __init__(self, space: Any, options: Any) -> None:
        self.shape = (2,)


class Liar(NoPreprocessor):
    def transform(self, observation: Any) -> Any:
        return np.zeros(7)


def test_what_is_no_preprocessor_is_refused() -> None:
    space = spaces.Box(0, 1, (3,))
    with pytest.raises(InvalidConfig, match="must have transform"):
        custom_preprocessor({"custom_preprocessor": Mute}, space)
    codec = ObservationCodec(space, *custom_preprocessor({"custom_preprocessor": Liar}, space))
    with pytest.raises(ValueError, match=r"shape \(7,\); it had promised \(3,\)"):
        codec.encode(np.zeros(3))
