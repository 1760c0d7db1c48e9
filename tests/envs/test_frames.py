"""Stacked observations: what is in them, that they start afresh, and that they resume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import tests.algorithms.support as support
from algorithms.core import envs
from algorithms.core.envs import PackEnvs
from tunerl.errors import InvalidConfig
from tunerl.registry import register_env


class Counter(support.Probe):
    """The observation is the time, in a picture of two axes or as a vector."""

    length = 3

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        shape = (2, 2) if config.get("picture") else (2,)
        self.observation_space = spaces.Box(0.0, 9.0, shape)

    def see(self) -> Any:
        return np.full(self.observation_space.shape or (), self.time, np.float32)


register_env("probe/counter", Counter)


def made(count: int = 3, **config: Any) -> PackEnvs:
    return envs.make("probe/counter", config, 1, framestack=count)


def newest(pack: PackEnvs, obs: Any) -> list[float]:
    """One number of each frame, the oldest first."""
    found: list[float] = obs[0, 0].reshape(-1)[:6].reshape(3, 2)[:, 0].tolist()
    return found


def test_an_episode_begins_with_copies_of_its_first_observation() -> None:
    pack = made()
    assert pack.single_observation_space.shape == (6,)
    pack.add(0)
    action = np.zeros((1, 1), np.int64)
    assert newest(pack, pack.obs) == [0, 0, 0]
    assert newest(pack, pack.step(action).obs) == [0, 0, 1]
    assert newest(pack, pack.step(action).obs) == [0, 1, 2]
    last = pack.step(action)
    assert last.terminated.all()
    assert newest(pack, last.final_obs) == [1, 2, 3]
    assert newest(pack, last.obs) == [0, 0, 0]
    pack.close()


def test_grey_pictures_get_channels() -> None:
    pack = made(2, picture=True)
    pack.add(0)
    found = pack.step(np.zeros((1, 1), np.int64)).obs
    assert found.shape == (1, 1, 2, 2, 2)
    assert found[0, 0, 0, 0].tolist() == [0, 1]
    pack.close()


@pytest.mark.parametrize("before", [1, 2, 4])
def test_a_resumed_row_sees_the_frames_it_saw(before: int) -> None:
    pack = envs.make("CartPole-v1", {}, 2, framestack=4)
    pack.add(3)
    pack.add(8)
    for _ in range(before):
        pack.step(np.ones((2, 2), np.int64))
    pack.add(3, pack.read(0))
    assert np.array_equal(pack.obs[2], pack.obs[0])
    for _ in range(30):
        found = pack.step(np.ones((3, 2), np.int64))
        assert np.array_equal(found.obs[2], found.obs[0])
        assert np.array_equal(found.final_obs[2], found.final_obs[0])
    pack.remove(0)
    assert len(pack) == 2
    pack.close()


def test_only_boxes_are_stacked() -> None:
    with pytest.raises(InvalidConfig, match="only observations of a Box can be stacked"):
        envs.make("probe/allowed", {}, 1, framestack=2)
