"""`StackedFrames`: the last few observations as one, around any environments whose space is a Box.

Invariant: an observation never shows anything of an earlier episode; before an episode's first
observation there are copies of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from gymnasium import spaces

from algorithms.core.envs.base import Array, EnvState, PackEnvs, StepBatch
from tunerl.errors import InvalidConfig, Problem

FRAMES = "frames"


class StackedFrames(PackEnvs):
    """The last `count` observations side by side along the last axis, the newest last.

    A picture without channels (two axes) gets an axis for them. Raises `InvalidConfig` for other
    spaces than a Box.
    """

    def __init__(self, envs: PackEnvs, count: int) -> None:
        space = envs.single_observation_space
        if not isinstance(space, spaces.Box) or not space.shape:
            problem = f"only observations of a Box can be stacked, these are {space}; set 1"
            raise InvalidConfig(Problem("framestack", problem))
        self.envs, self.count = envs, count
        self.grey = len(space.shape) == 2
        low, high = (
            np.concatenate([bound[..., None] if self.grey else bound] * count, -1)
            for bound in (space.low, space.high)
        )
        self.single_observation_space = spaces.Box(low, high, dtype=space.dtype)
        self.single_action_space = envs.single_action_space
        self.num_envs = envs.num_envs
        self.width = low.shape[-1] // count
        self._obs = self._repeated(envs.obs)

    def __len__(self) -> int:
        return len(self.envs)

    @property
    def obs(self) -> Array:
        return self._obs

    def add(self, seed: int, state: EnvState | None = None) -> None:
        if state is None:
            self.envs.add(seed)
            own = self._repeated(self.envs.obs[-1:])
        else:
            arrays = {name: array for name, array in state[0].items() if name != FRAMES}
            self.envs.add(seed, (arrays, state[1]))
            own, fresh = state[0][FRAMES][None], self._repeated(self.envs.obs[-1:])
            # one that is not where it was could not be restored, and began another episode
            newest = (own == fresh)[..., -self.width :].reshape(1, self.num_envs, -1).all(-1)
            own = np.where(newest.reshape(1, -1, *[1] * (own.ndim - 2)), own, fresh)
        self._obs = np.concatenate([self._obs, own])

    def remove(self, row: int) -> None:
        self.envs.remove(row)
        self._obs = np.delete(self._obs, row, 0)

    def step(self, actions: Array) -> StepBatch:
        batch = self.envs.step(actions)
        final, following = self._shifted(batch.final_obs), self._shifted(batch.obs)
        fresh = batch.terminated | batch.truncated | ~batch.valid
        following[fresh] = self._repeated(batch.obs)[fresh]
        self._obs = following
        return replace(batch, obs=following, final_obs=final)

    def read(self, row: int) -> EnvState:
        arrays, values = self.envs.read(row)
        return {**arrays, FRAMES: self._obs[row].copy()}, values

    def close(self) -> None:
        self.envs.close()

    def _framed(self, obs: Array) -> Array:
        return obs[..., None] if self.grey else obs

    def _repeated(self, obs: Array) -> Array:
        return np.concatenate([self._framed(obs)] * self.count, -1)

    def _shifted(self, obs: Array) -> Array:
        return np.concatenate([self._obs[..., self.width :], self._framed(obs)], -1)
