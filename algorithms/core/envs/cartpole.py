"""CartPole, batched: the dynamics of ``gymnasium.envs.classic_control.cartpole``, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from algorithms.core.envs.base import Array
from algorithms.core.envs.batched import BatchedEnvs, Float

GRAVITY = 9.8
MASS_POLE = 0.1
TOTAL_MASS = 0.1 + 1.0
LENGTH = 0.5  # half the pole's
POLE_MASS_LENGTH = MASS_POLE * LENGTH
FORCE = 10.0
TAU = 0.02  # seconds between states
X_LIMIT = 2.4
THETA_LIMIT = 12 * 2 * math.pi / 360


class CartPole(BatchedEnvs):
    """State ``[x, x_dot, theta, theta_dot]``; actions int ``[K, E]`` in {0, 1}."""

    start_low, start_high, start_size = -0.05, 0.05, 4
    state_size = 4

    def __init__(
        self, num_envs: int, max_episode_steps: int | None, sutton_barto_reward: bool = False
    ) -> None:
        high = np.array([X_LIMIT * 2, np.inf, THETA_LIMIT * 2, np.inf], np.float32)
        self.single_observation_space: spaces.Space[Any] = spaces.Box(-high, high)
        self.single_action_space: spaces.Space[Any] = spaces.Discrete(2)
        self._sutton_barto = bool(sutton_barto_reward)
        super().__init__(num_envs, max_episode_steps)

    def _workspace(self, size: int) -> None:
        self._cos, self._sin, self._temp, self._acc, self._work = np.zeros((5, size))
        self._fallen = np.zeros(size, np.bool_)
        if not self._sutton_barto:
            self._reward.fill(1.0)

    def _advance(self, actions: Array) -> None:
        x, x_dot, theta, theta_dot = self._state
        cos, sin, temp, acc, work = self._cos, self._sin, self._temp, self._acc, self._work
        np.cos(theta, out=cos)
        np.sin(theta, out=sin)
        # temp = (force + POLE_MASS_LENGTH * theta_dot^2 * sin) / TOTAL_MASS
        np.square(theta_dot, out=temp)
        temp *= POLE_MASS_LENGTH
        temp *= sin
        np.multiply(actions, 2 * FORCE, out=work)
        work -= FORCE
        temp += work
        temp /= TOTAL_MASS
        # acc = (GRAVITY * sin - cos * temp) / (LENGTH * (4/3 - MASS_POLE * cos^2 / TOTAL_MASS))
        np.multiply(sin, GRAVITY, out=acc)
        np.multiply(cos, temp, out=work)
        acc -= work
        np.square(cos, out=work)
        work *= MASS_POLE
        work /= TOTAL_MASS
        np.subtract(4.0 / 3.0, work, out=work)
        work *= LENGTH
        acc /= work
        # temp -= POLE_MASS_LENGTH * acc * cos / TOTAL_MASS: the cart's acceleration
        np.multiply(acc, POLE_MASS_LENGTH, out=work)
        work *= cos
        work /= TOTAL_MASS
        temp -= work
        for position, speed, change in ((x, x_dot, temp), (theta, theta_dot, acc)):
            np.multiply(speed, TAU, out=work)
            position += work
            change *= TAU
            speed += change
        self._judge(x, theta)

    def _judge(self, x: Float, theta: Float) -> None:
        np.abs(x, out=self._work)
        np.greater(self._work, X_LIMIT, out=self._terminated)
        np.abs(theta, out=self._work)
        np.greater(self._work, THETA_LIMIT, out=self._fallen)
        np.logical_or(self._terminated, self._fallen, out=self._terminated)
        if self._sutton_barto:
            np.multiply(self._terminated, np.float32(-1.0), out=self._reward)

    def _observe(self) -> None:
        self._obs.T[...] = self._state

    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        self._state[:, index] = draws.T
        self._obs[index] = draws
