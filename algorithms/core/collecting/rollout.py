"""A rollout of a pack: T steps of K agents in E environments each, in preallocated arrays.

Indexed `[K, T, E, ...]`; it is laid out time by time while it is collected, so that what a step
gives is written in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.envs import StepBatch

Array = NDArray[Any]


@dataclass
class Rollout:
    """What was seen and done.

    `seen` `[K, T + 1, E, D]`: the observations as the networks saw them, and what followed the last
    step; `final_obs` the encoded last observations of truncated episodes, at `final_index`
    (row, t, e); `rewards` as the learner sees them, `raw_rewards` as the environment gave them.
    """

    seen: Array
    actions: Array
    dist_inputs: Array
    raw_rewards: Array
    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    final_index: list[tuple[int, int, int]]
    final_obs: list[Array]

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int], obs_size: int, dist_size: int, action: Array
    ) -> Rollout:
        """Room for ``shape = (K, T, E)`` steps; `action` gives an action's shape and dtype."""
        rows, horizon, envs = shape

        def room(dtype: Any, *rest: int, times: int = horizon) -> Array:
            return np.zeros((times, rows, envs, *rest), dtype).swapaxes(0, 1)

        return cls(
            seen=room(np.float32, obs_size, times=horizon + 1),
            actions=room(action.dtype, *action.shape),
            dist_inputs=room(np.float32, dist_size),
            raw_rewards=room(np.float32),
            rewards=room(np.float32),
            terminated=room(np.bool_),
            truncated=room(np.bool_),
            valid=room(np.bool_),
            final_index=[],
            final_obs=[],
        )

    def at(self, t: int) -> NDArray[np.float32]:
        """Observations `[K, E, D]` before step t, contiguous."""
        return np.ascontiguousarray(self.seen[:, t])

    def put_obs(self, t: int, obs: Array) -> None:
        self.seen[:, t] = obs

    def put_step(self, t: int, inputs: Array, actions: Array, batch: StepBatch) -> None:
        """What was done in step t, and what came of it."""
        self.dist_inputs[:, t], self.actions[:, t] = inputs, actions
        self.raw_rewards[:, t], self.valid[:, t] = batch.reward, batch.valid
        self.terminated[:, t], self.truncated[:, t] = batch.terminated, batch.truncated

    def put_final(self, t: int, cut: NDArray[np.bool_], obs: Array) -> None:
        """The last observations, in `obs` `[K, E, D]`, of the episodes cut off in step t."""
        for k, e in np.argwhere(cut).tolist():
            self.final_index.append((k, t, e))
            self.final_obs.append(obs[k, e].copy())

    def drop(self, row: int) -> None:
        """Forget a member; the rows after it move up."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                setattr(self, entry.name, np.delete(value, row, 0))
        kept = [
            ((k - (k > row), t, e), obs)
            for (k, t, e), obs in zip(self.final_index, self.final_obs, strict=True)
            if k != row
        ]
        self.final_index = [index for index, _ in kept]
        self.final_obs = [obs for _, obs in kept]

    @property
    def obs(self) -> Array:
        """`[K, T, E, D]`: what was acted on."""
        return self.seen[:, :-1]

    @property
    def last_obs(self) -> Array:
        """`[K, E, D]`: what followed the last step."""
        return self.seen[:, -1]

    @property
    def ends(self) -> NDArray[np.bool_]:
        """`[K, T, E]`: an episode ended with this step."""
        return self.terminated | self.truncated
