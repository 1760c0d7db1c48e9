"""`ShareRunner`: an environment runner that holds a run of a training agent's sub-environments.

Invariant: its part of a rollout has the bits that it would have in one process with the other
parts: it acts on arrays of the whole agent's shape, with its own observations in their places.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.sampler import Act
from algorithms.core.envs import EnvState
from algorithms.core.envs.factory import count_from
from algorithms.sampling.runner import EnvRunner, Moments
from tunerl.trainable import Failure

Array = NDArray[Any]


class ShareRunner(EnvRunner):
    """Sub-environments ``first`` to ``first + num_envs`` of `total`; see `place`."""

    first, total = 0, 0
    failure: Failure | None = None  # of its environments, until they are placed anew

    def place(self, state: EnvState | int, first: int, total: int) -> None:
        """Take over the share's environments: from their state, or fresh from a seed."""
        self.first, self.total, self.failure = first, total, None
        count_from(first)
        envs = self.pack.sampler.envs
        seed, found = (state, None) if isinstance(state, int) else (0, state)
        if len(envs):
            envs.remove(0)
        envs.add(seed, found)
        self._forget()
        self._chunker.restart()

    def _forget(self) -> None:
        """Episodes begin: a memory is empty."""
        memory = self.pack.sampler.memory
        if memory is not None:
            for row in reversed(range(len(memory.state))):
                memory.remove(row)
            memory.add()

    def read_environments(self) -> EnvState:
        """The state of the share's environments."""
        state: EnvState = self.pack.sampler.envs.read(0)
        return state

    def collect(self, parameters: Tensor, noise: Array, stats: Moments | None) -> dict[str, Any]:
        """The share's part of a rollout: arrays `[T, 1, E, ...]`, by the names of `Rollout`.

        `parameters` `[1, P]`, `noise` `[1, T, E, n]`; `stats`: of the observations so far, where
        they are normalised; those of the share's own come back as `gathered`; ``told``: what
        `Recall` tells, of an agent with a memory. Where an environment fails there is only
        ``failure``.
        """
        sampler = self.pack.sampler
        if self.failure is not None:
            return {"failure": self.failure}
        for rows in (self.pack.flat, self.pack.more.get("acting")):
            if rows is not None:
                rows[:] = torch.from_numpy(parameters)
        if stats is not None:
            self.set_statistics(stats)
            self._gather()
        if sampler.memory is not None:
            self.pack.recall.begin(noise.shape[1])
        failed: list[Failure] = []

        def lost(row: int, error: Exception) -> None:
            failed.append(Failure.of(error))
            sampler.remove(row)

        rollout = sampler.collect(self._in_place, noise, lost)
        if failed:
            self.failure = failed[0]
            sampler.obs_stats.add()
            return {"failure": failed[0]}
        self._steps += int(rollout.valid.sum())
        self._episodes.add(rollout.raw_rewards[0], rollout.ends[0], rollout.valid[0])
        found: dict[str, Any] = {}
        for entry in fields(Rollout):
            value = getattr(rollout, entry.name)
            whole = isinstance(value, np.ndarray)
            found[entry.name] = np.ascontiguousarray(value.swapaxes(0, 1)) if whole else value
        told = None if sampler.memory is None else self.pack.recall.told()
        return found | {"gathered": self.take_gathered(), "told": told}

    def _in_place(self) -> Act:
        """How the agent acts, on arrays of all of its sub-environments."""
        act = self._acting(explore=True)
        places = slice(self.first, self.first + self.num_envs)
        whole: dict[int, Tensor] = {}

        def wide(which: int, part: Tensor) -> Tensor:
            if which not in whole:
                whole[which] = torch.zeros(1, self.total, *part.shape[2:], dtype=part.dtype)
            whole[which][:, places] = part
            return whole[which]

        def run(obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            inputs, actions = act(wide(0, obs), wide(1, noise))
            return inputs[:, places], actions[:, places]

        return run
