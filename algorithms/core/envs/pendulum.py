"""Pendulum, batched: the dynamics of ``gymnasium.envs.classic_control.pendulum``."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from algorithms.core.envs.base import Array
from algorithms.core.envs.batched import BatchedEnvs, Float, not_finite

MAX_SPEED, MAX_TORQUE = 8, 2.0
DT = 0.05  # seconds between states


class Pendulum(BatchedEnvs):
    """State ``[theta, speed]``; actions float ``[K, E, 1]``, clipped to [-2, 2]. Mass, length 1."""

    start_low, start_high, start_size = -np.array([np.pi, 1.0]), np.array([np.pi, 1.0]), 2
    state_size = 2

    def __init__(self, num_envs: int, max_episode_steps: int | None, g: float = 10.0) -> None:
        high = np.array([1.0, 1.0, MAX_SPEED], np.float32)
        self.single_observation_space: spaces.Space[Any] = spaces.Box(-high, high)
        self.single_action_space: spaces.Space[Any] = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,))
        self._gravity = g
        super().__init__(num_envs, max_episode_steps)

    def _advance(self, actions: Array) -> None:
        theta, speed = self._state
        torque = np.clip(actions[:, 0].astype(np.float32), -MAX_TORQUE, MAX_TORQUE)
        angle = (theta + np.pi) % (2 * np.pi) - np.pi
        cost = angle * angle + 0.1 * (speed * speed) + 0.001 * (torque * torque)
        np.negative(cost, out=self._reward, casting="same_kind")
        speed += (3 * self._gravity / 2.0 * np.sin(theta) + 3.0 * torque) * DT
        np.clip(speed, -MAX_SPEED, MAX_SPEED, out=speed)
        theta += speed * DT

    def _observe(self) -> None:
        obs = self._obs.T
        theta, speed = self._state
        np.cos(theta, out=obs[0], casting="same_kind")
        np.sin(theta, out=obs[1], casting="same_kind")
        obs[2] = speed

    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        self._state[:, index] = draws.T
        self._obs[index, 0] = np.cos(draws[:, 0])
        self._obs[index, 1] = np.sin(draws[:, 0])
        self._obs[index, 2] = draws[:, 1]

    def _failures(self) -> dict[int, Exception]:
        return not_finite(self._batch.reward)
