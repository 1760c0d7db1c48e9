"""Both mountain cars, batched: ``mountain_car`` and ``continuous_mountain_car`` of Gymnasium.

Invariant: the continuous car's state is float32 except in an episode's first step, which starts
from the float64 draw, as in Gymnasium.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from algorithms.core.envs.base import Array, EnvState
from algorithms.core.envs.batched import BatchedEnvs, Float, not_finite

MIN_POSITION, MAX_POSITION, MAX_SPEED = -1.2, 0.6, 0.07
FORCE, POWER, GRAVITY = 0.001, 0.0015, 0.0025
GOAL, CONTINUOUS_GOAL = 0.5, 0.45


class MountainCar(BatchedEnvs):
    """State ``[position, velocity]``; actions int ``[K, E]`` in {0, 1, 2}."""

    start_low, start_high, start_size = -0.6, -0.4, 1
    state_size = 2

    def __init__(
        self, num_envs: int, max_episode_steps: int | None, goal_velocity: float = 0.0
    ) -> None:
        self.single_observation_space: spaces.Space[Any] = _observation_space()
        self.single_action_space: spaces.Space[Any] = spaces.Discrete(3)
        self._goal_velocity = goal_velocity
        super().__init__(num_envs, max_episode_steps)

    def _workspace(self, size: int) -> None:
        self._reward.fill(-1.0)

    def _advance(self, actions: Array) -> None:
        position, velocity = self._state
        _move(position, velocity, (actions - 1) * FORCE + np.cos(3 * position) * -GRAVITY)
        np.greater_equal(position, GOAL, out=self._terminated)
        self._terminated &= velocity >= self._goal_velocity

    def _observe(self) -> None:
        self._obs.T[...] = self._state

    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        self._state[0, index] = draws[:, 0]
        self._state[1, index] = 0.0
        self._obs[index] = self._state[:, index].T


class MountainCarContinuous(BatchedEnvs):
    """State ``[position, velocity]``; actions float ``[K, E, 1]``, clipped to [-1, 1]."""

    start_low, start_high, start_size = -0.6, -0.4, 1
    state_size = 2
    state_dtype = np.float32

    def __init__(
        self, num_envs: int, max_episode_steps: int | None, goal_velocity: float = 0.0
    ) -> None:
        self.single_observation_space: spaces.Space[Any] = _observation_space()
        self.single_action_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (1,))
        self._goal_velocity = goal_velocity
        self._first = np.zeros(0)  # the float64 position of a start, NaN after the first step
        super().__init__(num_envs, max_episode_steps)

    def _advance(self, actions: Array) -> None:
        action = actions[:, 0].astype(np.float32)
        position, velocity = self._state
        first = np.flatnonzero(self._first == self._first)
        exact = self._first[first], np.zeros(first.size)
        _move(position, velocity, _push(action, position).astype(np.float32))
        if first.size:
            _move(*exact, _push(action[first], exact[0]))
            self._state[:, first] = exact
            self._first[first] = np.nan
        self._terminated[:] = (position >= CONTINUOUS_GOAL) & (velocity >= self._goal_velocity)
        if first.size:
            self._terminated[first] = (exact[0] >= CONTINUOUS_GOAL) & (
                exact[1] >= self._goal_velocity
            )
        self._reward[:] = 100.0 * self._terminated - np.square(action, dtype=np.float64) * 0.1

    def _observe(self) -> None:
        self._obs.T[...] = self._state

    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        self._first[index] = draws[:, 0]
        self._state[0, index] = draws[:, 0]
        self._state[1, index] = 0.0
        self._obs[index] = self._state[:, index].T

    def _failures(self) -> dict[int, Exception]:
        return not_finite(self._batch.reward)

    def _grow(self) -> None:
        self._first = np.append(self._first, np.full(self.num_envs, np.nan))
        super()._grow()

    def add(self, seed: int, state: EnvState | None = None) -> None:
        super().add(seed, state)
        if state is not None:
            self._first[-self.num_envs :] = state[0]["first"]

    def read(self, row: int) -> EnvState:
        arrays, values = super().read(row)
        rows = slice(row * self.num_envs, (row + 1) * self.num_envs)
        return {**arrays, "first": self._first[rows].copy()}, values

    def remove(self, row: int) -> None:
        super().remove(row)
        rows = slice(row * self.num_envs, (row + 1) * self.num_envs)
        self._first = np.delete(self._first, rows)


def _observation_space() -> spaces.Space[Any]:
    low = np.array([MIN_POSITION, -MAX_SPEED], np.float32)
    return spaces.Box(low, np.array([MAX_POSITION, MAX_SPEED], np.float32))


def _push(action: NDArray[np.float32], position: Array) -> Float:
    """Change of velocity: Gymnasium's scalars are float32, but a clipped force is float64."""
    slope = GRAVITY * np.cos((3 * position).astype(np.float64))
    single = action * np.float32(POWER) - slope.astype(np.float32)
    return np.where(np.abs(action) > 1, np.sign(action, dtype=np.float64) * POWER - slope, single)


def _move(position: Array, velocity: Array, push: Array) -> None:
    """One step in place; the left wall takes the speed away."""
    velocity += push
    np.clip(velocity, -MAX_SPEED, MAX_SPEED, out=velocity)
    position += velocity
    np.clip(position, MIN_POSITION, MAX_POSITION, out=position)
    velocity[(position == MIN_POSITION) & (velocity < 0)] = 0.0
