"""`EnvRunner`: one agent in environments of its own, that gives episodes.

Invariant: what it does follows from its seed, its weights and what it is asked, in that order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.config import AlgorithmConfig
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.sampler import Act
from algorithms.core.envs.no_envs import NoEnvs
from algorithms.core.lifting import device
from algorithms.core.maths.running import RunningStats
from algorithms.core.packs.member import Episodes, derived_seed, window_of
from algorithms.module import DEFAULT_POLICY, Module, Weights
from algorithms.policy import Policy, check_policy, with_weights
from algorithms.sampling.asking import Asking
from algorithms.sampling.chunks import Chunker, Seen
from algorithms.sampling.episode import SingleAgentEpisode
from algorithms.sampling.one_update import Learning
from tunerl.errors import Conflict, InvalidInput, TrainableError, nearest
from tunerl.trainable import State
from tunerl.trial import Metrics, ReplicaId

Moments = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
_ID = ReplicaId(0, 0)
BATCH_MODES = ("truncate_episodes", "complete_episodes")


class EnvRunner(Asking, Learning):
    """Samples with the agent that a configuration describes.

    `worker_index`: 0 for the local one, from 1 for those in actors; its seed is mixed from it and
    `seed` (by default the configuration's). `batch_mode` "complete_episodes": whole episodes only.
    `rollout_fragment_length`: steps of a sub-environment in one `sample()`; "auto": the runner's
    part of an iteration. Raises `InvalidConfig`, `InvalidInput`.
    """

    def __init__(
        self,
        config: AlgorithmConfig,
        *,
        worker_index: int = 0,
        num_workers: int = 0,
        seed: int | None = None,
        batch_mode: str = "truncate_episodes",
        rollout_fragment_length: int | str = "auto",
    ) -> None:
        _check_modes(batch_mode, rollout_fragment_length)
        self.batch_mode, self.rollout_fragment_length = batch_mode, rollout_fragment_length
        self.config = config.copy(copy_frozen=False)
        self.worker_index, self.num_workers = worker_index, num_workers
        settings = self.config.resolved() | {"num_env_runners": 0, "seed": None, device.FIELD: 0.0}
        pack: Any = self.config.spec.open_pack(settings)
        if isinstance(pack.envs, NoEnvs):  # of an algorithm that learns from files
            pack.envs = pack.sampler.envs = pack.make_envs(pack.num_envs)
        self.pack = pack
        seed = self.config["seed"] or 0 if seed is None else seed
        self.seed = derived_seed(seed, f"environment runner {worker_index}")
        self.pack.join(_ID, settings, self.seed)
        self.num_envs: int = self.pack.num_envs
        pair = (self.pack.obs_codec.space, self.pack.action_codec.space)
        self._chunker = Chunker(f"{self.seed % 16**8:08x}", self.num_envs, pair)
        self._episodes = Episodes(self.num_envs, window_of(settings))
        self._held: dict[str, SingleAgentEpisode] = {}  # incomplete ones, where whole are wanted
        self._resets = self._steps = 0
        self._common = RunningStats(self.pack.obs_codec.D)  # as it was when all were in step
        self._common.add()
        if self.pack.filter:
            self._gather()

    # -- sampling -------------------------------------------------------------------------------

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool = True,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        """At least `num_timesteps` steps, or the first `num_episodes` to end of fresh episodes.

        Without either: `rollout_fragment_length` steps of each sub-environment. Episodes under
        way come as chunks, which the next call goes on with; where whole ones are wanted they are
        kept until they are over. `explore` False: the likeliest
        actions. `random_actions`: any of the action space. `force_reset`: begin fresh episodes.
        Raises `InvalidInput` for both numbers at once, `TrainableError` where an environment does.
        """
        if num_timesteps is not None and num_episodes is not None:
            raise InvalidInput("give num_timesteps or num_episodes, not both")
        for number in (num_timesteps, num_episodes):
            if number is not None and number < 1:
                raise InvalidInput(f"at least 1 must be sampled, not {number}")
        act = self._random() if random_actions else self._acting(explore)
        if force_reset or num_episodes is not None:
            self.reset()
        whole = num_episodes is not None or self.batch_mode == "complete_episodes"
        wanted = num_timesteps or self._usual_steps()
        found: list[SingleAgentEpisode] = []
        horizon = 1 if num_episodes is not None else -(-wanted // self.num_envs)
        while True:
            chunks = self._collect(act, horizon)
            found += self._completed(chunks) if whole else chunks
            if num_episodes is not None and len(found) >= num_episodes:
                return found[:num_episodes]
            if num_episodes is None and (not whole or sum(map(len, found)) >= wanted):
                return found
            horizon = 1

    def reset(self) -> None:
        """Begin a fresh episode in every sub-environment."""
        self._resets += 1
        sampler = self.pack.sampler
        moments = sampler.obs_stats.read(0)
        sampler.remove(0)
        sampler.add(derived_seed(self.seed, f"reset {self._resets}") >> 32)
        sampler.obs_stats.write(0, moments)
        self._chunker.restart()
        self._held.clear()
        self._episodes.running_return[:], self._episodes.running_length[:] = 0.0, 0

    def _usual_steps(self) -> int:
        if isinstance(self.rollout_fragment_length, int):
            return self.rollout_fragment_length * self.num_envs
        batch = int(self.config.get("train_batch_size") or 32)
        return -(-batch // max(1, self.num_workers))

    def _collect(self, act: Act, horizon: int) -> list[SingleAgentEpisode]:
        """Chunks of `horizon` steps in each sub-environment."""
        self._alive()
        sampler, member = self.pack.sampler, self.pack.members[0]
        seen = Seen([sampler.envs.obs[0].copy()])
        sampler.watchers.append(seen)
        failed: list[Exception] = []

        def lost(row: int, error: Exception) -> None:
            failed.append(error)
            self.pack.leave(_ID)

        try:
            noise = sampler.noise([member.generator], horizon)
            if sampler.memory is not None:
                self.pack.recall.begin(horizon)
            rollout: Rollout = sampler.collect(lambda: act, noise, lost)
        finally:
            sampler.watchers.remove(seen)
        if failed:
            raise TrainableError(f"the environment of {self!r} failed: {failed[0]}") from failed[0]
        self._steps += int(rollout.valid.sum())
        self._episodes.add(rollout.raw_rewards[0], rollout.ends[0], rollout.valid[0])
        actions, outputs = self._outputs(rollout)
        return self._chunker.cut(rollout, seen, actions, outputs)

    def _outputs(self, rollout: Rollout) -> tuple[Any, dict[str, Any]]:
        """Actions, and what the network said, `[T, E, ...]`."""
        inputs, actions = rollout.dist_inputs[0], rollout.actions[0]
        with torch.inference_mode():
            tensors = torch.from_numpy(inputs.copy()), torch.from_numpy(actions.copy())
            logp = self.pack.distribution.logp(*tensors).numpy()
        outputs = {"action_dist_inputs": inputs, "action_logp": logp}
        decoded = self.pack.action_codec.decode(actions)
        if self.pack.action_codec.discrete:
            return decoded, outputs
        return actions, outputs | {"actions_for_env": decoded}

    def _completed(self, chunks: list[SingleAgentEpisode]) -> list[SingleAgentEpisode]:
        """The episodes that these chunks end; the others wait for what follows."""
        found = []
        for chunk in chunks:
            if chunk.id_ in self._held:
                self._held[chunk.id_].concat_episode(chunk)
            else:
                self._held[chunk.id_] = chunk
            if chunk.is_done:
                found.append(self._held.pop(chunk.id_))
        return found

    def _acting(self, explore: bool) -> Act:
        pack, distribution = self.pack, self.pack.distribution
        if pack.sampler.memory is None:
            policy = pack.policy.bind(pack.flat)
        else:
            policy = functools.partial(pack.recall.act, pack.network_step.bind(pack.flat))

        def act(obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            inputs = policy(obs)
            action = distribution.sample(inputs, noise) if explore else distribution.mode(inputs)
            return inputs, action

        return act

    def _random(self) -> Act:
        codec, shape = self.pack.action_codec, (1, self.num_envs)
        size = self.pack.distribution.num_inputs
        codec.space.seed(derived_seed(self.seed, f"random actions {self._steps}") >> 32)

        def act(obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            drawn = np.stack([codec.space.sample() for _ in range(self.num_envs)])[None]
            return torch.zeros(*shape, size), torch.from_numpy(np.asarray(codec.encode(drawn)))

        return act

    # -- what it is -----------------------------------------------------------------------------

    def get_metrics(self) -> Metrics:
        """Returns and lengths of the last episodes, and counts, by RLlib's names."""
        return self._episodes.metrics() | {
            "env_runners/num_env_steps_sampled_lifetime": self._steps,
        }

    def get_spaces(self) -> dict[str, tuple[Any, Any]]:
        """(Observations, actions) of an environment, and as the policy sees them."""
        pair = (self.pack.obs_codec.space, self.pack.action_codec.space)
        return {"__env__": pair, "__env_single__": pair, DEFAULT_POLICY: pair}

    @property
    def policy(self) -> Policy:
        """The agent as it is now."""
        self._alive()
        member = self.pack.members[0]
        return Policy(self.pack, self.pack.read(_ID), member.generator, agent=self)

    @property
    def module(self) -> Module:
        """Its network with a copy of its weights."""
        return self.policy.model

    def get_policy(self, policy_id: str = DEFAULT_POLICY) -> Policy:
        check_policy(policy_id)
        return self.policy

    def get_weights(self) -> dict[str, Weights]:
        """``{"default_policy": {name: array}}``."""
        return {DEFAULT_POLICY: self.policy.get_weights()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """The inverse; the weights of the one policy alone will do. Raises `InvalidInput`."""
        own = weights.get(DEFAULT_POLICY, weights)
        self.pack.flat[0] = torch.from_numpy(with_weights(self.pack, own))

    def get_state(self) -> dict[str, Any]:
        """Everything that `set_state` needs to go on exactly: plain values and arrays."""
        state: State = self.pack.read(_ID)
        return {
            "arrays": state.arrays,
            "values": state.values,
            "episodes": self._episodes.to_json(),
            "open": list(self._chunker.open),
            "counts": [self._chunker.made, self._resets, self._steps],
            "held": [episode.get_state() for episode in self._held.values()],
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`, of a runner of the same configuration and seed."""
        self.pack.write(_ID, State(state["arrays"], state["values"]))
        window = window_of(self.pack.members[0].config)
        self._episodes = Episodes.from_json(state["episodes"], window)
        self._chunker.open = [tuple(pair) for pair in state["open"]]
        self._chunker.made, self._resets, self._steps = state["counts"]
        held = [SingleAgentEpisode.from_state(episode) for episode in state["held"]]
        self._held = {episode.id_: episode for episode in held}

    def assert_healthy(self) -> None:
        """Raise `Conflict` where it cannot sample any more."""
        self._alive()

    def take_gathered(self) -> Moments | None:
        sampler = self.pack.sampler
        if sampler.gathered is None:
            return None
        found: Moments = sampler.gathered.read(0)
        self._gather()
        return found

    def merge_statistics(self, parts: Sequence[Moments]) -> Moments | None:
        if self.pack.sampler.gathered is None:
            return None
        for part in parts:
            self._common.merge(0, part)
        self.set_statistics(self._common.read(0))
        return self._common.read(0)

    def set_statistics(self, statistics: Moments) -> None:
        self._common.write(0, statistics)
        self.pack.obs_stats.write(0, statistics)

    def _gather(self) -> None:
        sampler = self.pack.sampler
        sampler.gathered = RunningStats(sampler.obs_codec.D)
        sampler.gathered.add()

    def stop(self) -> None:
        """Close the environments."""
        self.pack.close()

    def _alive(self) -> None:
        if not self.pack.members:
            raise Conflict(f"{self!r} failed; make another one")

    def __repr__(self) -> str:
        return f"EnvRunner({self.config.spec.name}, {self.worker_index})"


def _check_modes(batch_mode: str, fragment: int | str) -> None:
    if batch_mode not in BATCH_MODES:
        raise InvalidInput(f"batch_mode is {batch_mode!r}; {nearest(batch_mode, BATCH_MODES)}")
    if fragment != "auto" and (not isinstance(fragment, int) or fragment < 1):
        raise InvalidInput(f"rollout_fragment_length is {fragment!r}; give 'auto' or 1 or more")


SingleAgentEnvRunner = EnvRunner
