"""Acrobot, batched: the dynamics of ``gymnasium.envs.classic_control.acrobot`` (the book's).

Invariant: the operations and their order are Gymnasium's, except that squares are products there
where Gymnasium calls ``pow``; one step differs by at most some units in the last place.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from algorithms.core.envs.base import Array
from algorithms.core.envs.batched import BatchedEnvs, Float

DT = 0.2  # seconds between states
MAX_SPEED_1, MAX_SPEED_2 = 4 * pi, 9 * pi
GRAVITY = 9.8
# Links of mass 1, length 1 and moment of inertia 1, with their centre of mass at 0.5.


class Acrobot(BatchedEnvs):
    """State ``[theta1, theta2, speed1, speed2]``; actions int ``[K, E]`` in {0, 1, 2}."""

    start_low, start_high, start_size = -0.1, 0.1, 4
    state_size = 4

    def __init__(self, num_envs: int, max_episode_steps: int | None) -> None:
        high = np.array([1.0, 1.0, 1.0, 1.0, MAX_SPEED_1, MAX_SPEED_2], np.float32)
        self.single_observation_space: spaces.Space[Any] = spaces.Box(-high, high)
        self.single_action_space: spaces.Space[Any] = spaces.Discrete(3)
        super().__init__(num_envs, max_episode_steps)

    def _advance(self, actions: Array) -> None:
        state = self._state
        _runge_kutta(state, actions - 1.0)
        _wrap(state[0])
        _wrap(state[1])
        np.clip(state[2], -MAX_SPEED_1, MAX_SPEED_1, out=state[2])
        np.clip(state[3], -MAX_SPEED_2, MAX_SPEED_2, out=state[3])
        height = -np.cos(state[0]) - np.cos(state[1] + state[0])
        np.greater(height, 1.0, out=self._terminated)
        np.subtract(self._terminated, np.float32(1.0), out=self._reward)

    def _observe(self) -> None:
        obs = self._obs.T
        obs[0:4:2] = np.cos(self._state[:2])
        obs[1:4:2] = np.sin(self._state[:2])
        obs[4:] = self._state[2:]

    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        start = draws.astype(np.float32)  # as Gymnasium's first state is; its angles too
        self._state[:, index] = start.T
        self._obs[index, 0:4:2] = np.cos(start[:, :2])
        self._obs[index, 1:4:2] = np.sin(start[:, :2])
        self._obs[index, 4:] = start[:, 2:]


def _runge_kutta(state: Float, torque: Float) -> None:
    """Advance `state` ``[4, N]`` by DT in place, by the classic method of fourth order."""
    k1 = _derivative(state, torque)
    k2 = _derivative(state + DT / 2.0 * k1, torque)
    k3 = _derivative(state + DT / 2.0 * k2, torque)
    k4 = _derivative(state + DT * k3, torque)
    k1 += 2 * k2
    k1 += 2 * k3
    k1 += k4
    state += DT / 6.0 * k1


def _derivative(state: Float, torque: Float) -> Float:
    theta1, theta2, speed1, speed2 = state
    cos2, sin2 = np.cos(theta2), np.sin(theta2)
    d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0
    d2 = 0.25 + 0.5 * cos2 + 1.0
    phi2 = 0.5 * GRAVITY * np.cos(theta1 + theta2 - pi / 2.0)
    phi1 = (
        -0.5 * (speed2 * speed2) * sin2
        - speed2 * speed1 * sin2
        + 1.5 * GRAVITY * np.cos(theta1 - pi / 2)
        + phi2
    )
    out = np.empty_like(state)
    out[0], out[1] = speed1, speed2
    out[3] = (torque + d2 / d1 * phi1 - 0.5 * (speed1 * speed1) * sin2 - phi2) / (
        1.25 - d2 * d2 / d1
    )
    out[2] = -(d2 * out[3] + phi1) / d1
    return out


def _wrap(angle: Float) -> None:
    """Bring angles into [-pi, pi] in place, turn by turn as Gymnasium does."""
    while (over := angle > pi).any():
        angle[over] -= 2 * pi
    while (under := angle < -pi).any():
        angle[under] += 2 * pi
