"""Collecting: the environments of K members, stepped together into a `Rollout`.

Invariant: what a row collects depends on its own policy, noise, environments and statistics only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.memory import Carried
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.dists.distributions import Distribution
from algorithms.core.envs import ActionCodec, EnvState, ObservationCodec, PackEnvs, StepBatch
from algorithms.core.maths.running import RunningStats

Array = NDArray[np.float32]
Act = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Observations `[K, E, D]` and noise `[K, E, n]` to the network's outputs and to actions."""
Watch = Callable[[int, Rollout, StepBatch], None]


def sampling(policy: Callable[[Tensor], Tensor], distribution: Distribution) -> Act:
    """To act as `policy` says: its outputs, and the actions that the noise picks."""

    def act(obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        inputs = policy(obs)
        return inputs, distribution.sample(inputs, noise)

    return act


class Sampler:
    """K members, one a row, in E environments each.

    `filter`: observations are normalised by running statistics, a row's by its own, but for those
    numbers that `keep` says. `watchers` are
    called after each step with its number, the rollout so far and what the environments gave.
    """

    def __init__(
        self,
        envs: PackEnvs,
        distribution: Distribution,
        obs_codec: ObservationCodec,
        action_codec: ActionCodec,
        *,
        filter: bool,
        keep: slice | None = None,
    ) -> None:
        self.envs, self.distribution = envs, distribution
        self.obs_codec, self.action_codec = obs_codec, action_codec
        self.filter = filter
        self.obs_stats = RunningStats(obs_codec.D, keep)
        self.gathered: RunningStats | None = None  # of the samples seen since it was put here
        self.watchers: list[Watch] = []
        self.memory: Carried | None = None  # of recurrent members
        self._rollout: Rollout | None = None
        self._noise: Array = np.zeros(0, np.float32)

    # -- rows ---------------------------------------------------------------------------------

    def add(self, seed: int, state: EnvState | None = None) -> None:
        """Append a member, its environments fresh or as `state` has them. Raises what they raise;
        there is no row then."""
        if state is not None:
            own = {n: a for n, a in state[0].items() if not n.startswith("memory/")}
            self.envs.add(seed, (own, state[1]))
        else:
            self.envs.add(seed)
        if self.memory is not None:
            self.memory.add(None if state is None else state[0])
        self.obs_stats.add()

    def remove(self, row: int) -> None:
        """Drop a member, also in the middle of a rollout; the rows after it move up."""
        self.envs.remove(row)
        if self.memory is not None:
            self.memory.remove(row)
        self.obs_stats.remove(row)
        if self._rollout is not None:
            self._rollout.drop(row)
            self._noise = np.delete(self._noise, row, 1)

    def read(self, row: int) -> EnvState:
        """The full state of a member's environments, and what it carries from step to step."""
        arrays, values = self.envs.read(row)
        return {**arrays, **(self.memory.read(row) if self.memory else {})}, values

    def close(self) -> None:
        self.envs.close()

    # -- collecting ---------------------------------------------------------------------------

    def noise(self, generators: list[np.random.Generator], horizon: int) -> Array:
        """What the actions of a rollout are drawn with, `[K, T, E, n]`, one generator a row."""
        size = (horizon, self.envs.num_envs)
        return np.stack([self.distribution.noise(generator, size) for generator in generators])

    def observe(self, *, update: bool) -> Array:
        """Present observations `[K, E, D]` as the networks take them; may be overwritten by the
        next step. `update`: they count in the statistics."""
        return self._encoded(self.envs.obs, update)

    def _encoded(self, obs: NDArray[np.generic], update: bool) -> Array:
        encoded = self.obs_codec.encode(obs)
        if not self.filter:
            return encoded
        if update:
            self.obs_stats.update(encoded)
            if self.gathered is not None:
                self.gathered.update(encoded)
        return self.obs_stats.normalize(encoded)

    def collect(
        self, bind: Callable[[], Act], noise: Array, lost: Callable[[int, Exception], None]
    ) -> Rollout:
        """T steps of every row with `noise` `[K, T, E, n]`.

        `bind()` gives what acts for the rows there are. `lost(row, error)` is told of a member
        whose environment raised, and must `remove` its row; the others go on.
        """
        rows, horizon, envs = noise.shape[:3]
        discrete = self.distribution.discrete
        rollout = self._rollout = Rollout.empty(
            (rows, horizon, envs),
            self.obs_codec.D,
            self.distribution.num_inputs,
            np.zeros(self.distribution.action_shape, np.int64 if discrete else np.float32),
        )
        self._noise = np.ascontiguousarray(np.moveaxis(noise, 1, 0))
        try:
            with torch.inference_mode():
                rollout.put_obs(0, self.observe(update=True))
                act = bind()
                for t in range(horizon):
                    batch = self._tick(t, rollout, act)
                    if batch.error:
                        with torch.inference_mode(False):  # the rows that stay will be trained
                            for row in sorted(batch.error, reverse=True):
                                lost(row, batch.error[row])
                        if not len(self.envs):
                            break
                        act = bind()
                    rollout.put_obs(t + 1, self.observe(update=True))
        finally:
            self._rollout = None
        return rollout

    def _tick(self, t: int, rollout: Rollout, act: Act) -> StepBatch:
        inputs, chosen = act(torch.from_numpy(rollout.at(t)), torch.from_numpy(self._noise[t]))
        action = chosen.numpy()
        batch = self.envs.step(self.action_codec.decode(action))
        rollout.put_step(t, inputs.numpy(), action, batch)
        if np.count_nonzero(batch.truncated):
            cut = batch.truncated & ~batch.terminated
            if cut.any():
                rollout.put_final(t, cut, self._encoded(batch.final_obs, False))
        for watch in self.watchers:
            watch(t, rollout, batch)
        return batch
