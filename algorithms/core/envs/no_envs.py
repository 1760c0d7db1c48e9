"""`NoEnvs`: the environments of agents that learn without any; rows, and nothing in them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from algorithms.core.envs.base import Array, EnvState, PackEnvs, StepBatch, check_row


class NoEnvs(PackEnvs):
    """Knows its spaces; a step of it is an error."""

    def __init__(
        self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
    ) -> None:
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.num_envs = 1
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, seed: int, state: EnvState | None = None) -> None:
        self._rows += 1

    def remove(self, row: int) -> None:
        check_row(row, self._rows)
        self._rows -= 1

    @property
    def obs(self) -> Array:
        return np.zeros((self._rows, 0))

    def step(self, actions: Array) -> StepBatch:
        raise RuntimeError("there is no environment to step: this agent learns from files")

    def read(self, row: int) -> EnvState:
        check_row(row, self._rows)
        return {}, {}
