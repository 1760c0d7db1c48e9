"""Codecs against Gymnasium's own flattening, and what `check_spaces` says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from algorithms.core.envs import ActionCodec, ObservationCodec, check_spaces
from tunerl.errors import InvalidConfig

SPACES = [
    spaces.Box(-1, 1, (3,)),
    spaces.Box(0, 255, (2, 3, 4), np.uint8),
    spaces.Box(-1, 1, ()),
    spaces.Discrete(5),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([2, 4]),
    spaces.MultiDiscrete([[2, 4], [3, 3]]),
    spaces.MultiDiscrete([2, 4], start=[1, -3]),
    spaces.MultiBinary(4),
    spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-1, 1, (2, 2))}),
    spaces.Tuple([spaces.Dict({"x": spaces.MultiBinary(2)}), spaces.Box(0, 1, (1,))]),
]


def batch_of(space: Any, samples: list[Any]) -> Any:
    return concatenate(space, samples, create_empty_array(space, len(samples)))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_encode_is_gymnasiums_flatten_batched(space: Any) -> None:
    space.seed(0)
    samples = [space.sample() for _ in range(6)]
    codec = ObservationCodec(space)
    expected = np.stack([spaces.flatten(space, sample) for sample in samples])
    encoded = codec.encode(batch_of(space, samples))
    assert encoded.dtype == np.float32
    assert encoded.shape[-1] == codec.D
    assert np.array_equal(encoded, expected.astype(np.float32))
    assert np.array_equal(codec.encode(samples[0]), expected[0].astype(np.float32))


@pytest.mark.parametrize("space", SPACES[:-2], ids=str)
def test_encode_takes_any_leading_axes(space: Any) -> None:
    space.seed(0)
    batch = batch_of(space, [space.sample() for _ in range(6)])
    codec = ObservationCodec(space)
    rows = codec.encode(batch.reshape(2, 3, *batch.shape[1:]))
    assert np.array_equal(rows.reshape(6, -1), codec.encode(batch))


def test_vectors_of_composite_spaces_pass_through() -> None:
    codec = ObservationCodec(SPACES[-2])
    vectors = np.ones((2, 3, codec.D), np.float32)
    assert codec.encode(vectors) is vectors


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(4, start=3), spaces.MultiDiscrete([[2, 4]], start=[[5, 6]])],
    ids=str,
)
def test_discrete_actions_are_the_spaces_own_numbers(space: Any) -> None:
    codec = ActionCodec(space)
    choices = np.array(np.meshgrid(*[np.arange(n) for n in codec.counts])).reshape(codec.size, -1)
    policy = choices[0] if isinstance(space, spaces.Discrete) else choices.T
    actions = codec.decode(policy)
    assert all(space.contains(action) for action in actions)
    assert len({tuple(np.ravel(action)) for action in actions}) == np.prod(codec.counts)
    assert np.array_equal(codec.encode(actions), policy)


def test_box_actions_are_clipped_or_stretched_to_the_bounds() -> None:
    low = np.array([[0.0, -2.0]], np.float32)
    space = spaces.Box(low, np.array([[4.0, 2.0]], np.float32))
    policy = np.array([[[-1.0, 0.5], [1.0, 7.0]]], np.float32)
    assert ActionCodec(space).decode(policy).tolist() == [[[[0.0, 0.5]], [[1.0, 2.0]]]]
    assert ActionCodec(space, clip=False).decode(policy).tolist() == [[[[-1.0, 0.5]], [[1.0, 7.0]]]]
    stretched = ActionCodec(space, normalize=True).decode(policy)
    assert stretched.tolist() == [[[[0.0, 1.0]], [[4.0, 2.0]]]]
    assert stretched.dtype == np.float32
    inside = np.array([[-0.5, 0.25]], np.float32)
    for normalize in (True, False):
        codec = ActionCodec(space, normalize=normalize)
        mine = inside if normalize else np.abs(inside)
        assert codec.encode(codec.decode(mine)).tolist() == mine.tolist()


def test_check_spaces_names_all_that_is_wrong() -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_spaces(
            spaces.Text(3),
            spaces.Box(-1, 1, (2,)),
            observations=(spaces.Box, spaces.Discrete),
            actions=(spaces.Discrete,),
        )
    first, second = (str(problem) for problem in caught.value.problems)
    assert "observation space Text" in first
    assert "Box, Discrete" in first
    assert "action space Box" in second
    assert second.endswith("must be one of: Discrete")


def test_check_spaces_accepts_what_is_allowed() -> None:
    check_spaces(SPACES[-1], spaces.Discrete(2))
