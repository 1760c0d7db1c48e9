"""`LocalMember`: E Gymnasium environments stepped one by one in this process.

Invariant: SAME_STEP autoreset; `obs` after an episode's end is the next one's first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms.core.envs.base import Array, EnvState, StepBatch, check_size, sub_seeds
from algorithms.core.envs.factory import Factory, harmless_warnings_ignored
from algorithms.core.envs.members import Member, empty_step
from algorithms.core.envs.replay import Lane


class LocalMember(Member):
    """The sub-environments of one member, each a `Lane` with a seed of its own."""

    def __init__(
        self, factory: Factory, num_envs: int, seed: int, state: EnvState | None = None
    ) -> None:
        if state is not None:
            check_size(len(state[1]["lanes"]), num_envs)
        self._lanes: list[Lane] = []
        try:
            for index, sub_seed in enumerate(sub_seeds(seed, num_envs)):
                self._lanes.append(Lane(factory(index), sub_seed))
            self._begin(num_envs, state)
        except BaseException:
            self.close()
            raise

    def _begin(self, num_envs: int, state: EnvState | None) -> None:
        env = self._lanes[0].env
        self._step = empty_step(num_envs, env.observation_space)
        self.obs = self._step.obs
        self._action_dtype = np.dtype(env.action_space.dtype)
        for index, lane in enumerate(self._lanes):
            if state is None:
                self.obs[index] = lane.begin()
            else:
                arrays, values = state
                actions = arrays[f"actions.{index}"].astype(self._action_dtype)
                self.obs[index] = lane.restore(
                    actions, values["lanes"][index], arrays["obs"][index]
                )

    def send(self, actions: Array) -> None:
        self._actions = np.array(actions, self._action_dtype)

    def receive(self) -> StepBatch:
        out = self._step
        for index, lane in enumerate(self._lanes):
            obs, reward, terminated, truncated = lane.step(self._actions[index])
            out.reward[index] = reward
            out.terminated[index] = terminated
            out.truncated[index] = truncated
            if terminated or truncated:
                out.final_obs[index] = obs
                obs = lane.reset()
            out.obs[index] = obs
        return out

    def read(self) -> EnvState:
        arrays: dict[str, Array] = {"obs": self.obs.copy()}
        values: list[dict[str, Any]] = []
        for index, lane in enumerate(self._lanes):
            own, value = lane.read()
            arrays[f"actions.{index}"] = own["actions"]
            values.append(value)
        return arrays, {"lanes": values}

    def infos(self, first: bool) -> list[dict[str, Any]]:
        return [lane.first_info if first else lane.info for lane in self._lanes]

    def parts(self) -> list[Any]:
        return [lane.env for lane in self._lanes]

    def close(self) -> None:
        with harmless_warnings_ignored():
            for lane in self._lanes:
                lane.env.close()
