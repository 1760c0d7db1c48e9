"""A rollout of a pack: T steps of K agents in E environments each, in preallocated arrays.

Layout `[K, T, E, ...]`, so that a member's samples lie together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Rollout:
    """What was seen and done.

    `obs` `[K, T, E, D]` as the networks saw it, `final` the encoded last observations of truncated
    episodes by (row, t, e), `last_obs` `[K, E, D]` what followed the last step; `rewards` as the
    learner sees them, `raw_rewards` as the environment gave them.
    """

    obs: Array
    actions: Array
    dist_inputs: Array
    raw_rewards: Array
    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    last_obs: Array
    final_index: list[tuple[int, int, int]]
    final_obs: list[Array]

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int], obs_size: int, dist_size: int, action: Array
    ) -> Rollout:
        """Room for ``shape = (K, T, E)`` steps; `action` gives an action's shape and dtype."""
        rows, _, envs = shape
        return cls(
            obs=np.empty((*shape, obs_size), np.float32),
            actions=np.empty((*shape, *action.shape), action.dtype),
            dist_inputs=np.empty((*shape, dist_size), np.float32),
            raw_rewards=np.empty(shape, np.float32),
            rewards=np.empty(shape, np.float32),
            terminated=np.zeros(shape, np.bool_),
            truncated=np.zeros(shape, np.bool_),
            valid=np.ones(shape, np.bool_),
            last_obs=np.empty((rows, envs, obs_size), np.float32),
            final_index=[],
            final_obs=[],
        )

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
    def ends(self) -> NDArray[np.bool_]:
        """`[K, T, E]`: an episode ended with this step."""
        return self.terminated | self.truncated
