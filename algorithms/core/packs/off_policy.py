"""The off-policy training iteration of a pack: act, store, and learn from what was stored.

Every member takes a step in all its environments at each tick of the shared clock; what it saw goes
to its own rings of the replay buffer. After a tick those learn whose time has come (`due.py`), each
from samples of its own; so ratios, starts and target updates may differ between members.
Invariant: every random number of a member comes from its own generator.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.acting import Acting
from algorithms.core.collecting.dice import Dice
from algorithms.core.collecting.replay import ENDED, REWARD, SCALARS, TERMINATED, Replay, Samples
from algorithms.core.lifting.stack import Batch, LiftedForward, caller
from algorithms.core.packs.due import CARRIED, Due
from algorithms.core.packs.iteration import Reports
from algorithms.core.packs.learning import LearningPack
from algorithms.core.packs.member import Member
from tunerl.errors import CheckpointError
from tunerl.trainable import State
from tunerl.trial import Config, Metrics

BLOCK = 64  # ticks whose random numbers are drawn at once
PREFIX = "replay/"
PRIORITIES = tuple(f"prioritized_replay_{name}" for name in ("alpha", "beta", "eps"))
OWN_DICE = ("replay", "n_step")  # what the numbers behind samples are called
Array = NDArray[Any]


class OffPolicyPack(LearningPack):
    """A subclass writes `act` and `update` for one agent, and says what dice they take."""

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        shared = self.shared
        self.horizon = -(-shared["min_sample_timesteps_per_iteration"] // self.num_envs)
        self.batch_size: int = shared["train_batch_size"]
        self.policy = LiftedForward(self.layout, caller(self.network), self.kind("policy"))
        self.acting = Acting(self.layout, self.act, self.kind("act"))
        example = self.envs.obs
        self.replay = Replay(
            shared["replay_buffer_capacity"],
            self.num_envs,
            np.zeros(example.shape[2:], example.dtype),
            np.zeros(self.distribution.action_shape, self.action_type),
            prioritized=shared["prioritized_replay"],
        )
        self.due: Due | None = None
        self.dice: Dice | None = None
        self.n_steps = np.zeros((0, 2), np.int64)
        self.ranges = False
        self.steps_seen: list[tuple[Array, Array, Array]] = []

    @property
    def action_type(self) -> type[np.generic]:
        return np.int64 if self.distribution.discrete else np.float32

    # -- what an algorithm says -----------------------------------------------------------------

    @abstractmethod
    def act(self, parameters: Batch, obs: Tensor, inputs: Batch) -> Tensor:
        """One agent's actions `[E, ...]` while it learns; `inputs`: one tick of `acting_inputs`."""

    @abstractmethod
    def acting_inputs(self, member: Member, steps: NDArray[np.int64]) -> dict[str, Array]:
        """What `act` takes beside observations, for the ticks at which the member has sampled
        `steps` `[T]` environment steps: `[T, ...]` each."""

    def update_inputs(self, member: Member, count: int) -> dict[str, Array]:
        """Random numbers that enter `count` updates through their batch, `[count, ...]` each."""
        return {}

    def n_step_of(self, member: Member) -> Any:
        """Steps of reward before bootstrapping: a number, or the fewest and the most."""
        return member.config["n_step"]

    # -- state ----------------------------------------------------------------------------------

    def initial_adaptive(self, config: Config) -> dict[str, float]:
        return dict.fromkeys(CARRIED, 0.0)

    def on_enter(self, row: int, state: State | None) -> None:
        arrays = {} if state is None else _stored(state)
        self.replay.add_row(arrays)
        if arrays:
            self.replay.cut(row, self.envs.obs[row])

    def check_state(self, state: State) -> None:
        super().check_state(state)
        arrays = _stored(state)
        if arrays and not self.replay.fits(arrays):
            raise CheckpointError(
                "the replay buffer of the state does not fit this configuration: the number of "
                "environments, the capacity or the spaces differ"
            )

    def own_arrays(self, row: int) -> dict[str, Array]:
        if not self.members[row].config["store_buffer_in_checkpoints"]:
            return {}
        return {PREFIX + name: array for name, array in self.replay.read(row).items()}

    def on_drop(self, row: int) -> None:
        self.replay.remove_row(row)
        if self.due is not None:
            self.due.drop(row)
            self.drop_columns(row)
            assert self.dice is not None
            self.dice.drop(row)
            self.n_steps = np.delete(self.n_steps, row, 0)
            self.steps_seen = [
                (np.delete(a, row, 0), np.delete(b, row, 0), np.delete(c, row, 0))
                for a, b, c in self.steps_seen
            ]
            self.acting.drop(row, len(self.members))

    # -- one iteration --------------------------------------------------------------------------

    def iterate(self) -> Reports:
        started = time.perf_counter()
        self.failures = {}
        reports: Reports = {}
        if self.members:
            self._run_ticks()
            self.failures |= self.traces.end()
            elapsed = time.perf_counter() - started
            self.fail_what_is_not_finite()
            for row, (id, member) in enumerate(zip(self.ids, self.members, strict=True)):
                if id not in self.failures:
                    reports[id] = self._report(row, member, elapsed)
        reports = self.ended(reports)
        self.due, self.steps_seen = None, []
        return reports

    def _run_ticks(self) -> None:
        self.due = due = Due.of(self.members, self.replay.limit * self.num_envs)
        self.steps_seen = []
        self.acting.reset()
        self.begin_learning()
        self.dice = Dice(self.members, self._roll)
        self.n_steps = np.array([_span(self.n_step_of(member)) for member in self.members])
        self.ranges = bool((self.n_steps[:, 0] < self.n_steps[:, 1]).any())
        self.traces.begin()
        with torch.no_grad():
            for tick in range(self.horizon):
                if tick % BLOCK == 0:
                    self._draw(min(BLOCK, self.horizon - tick))
                steps = self._tick(tick % BLOCK)
                if not self.members:
                    return
                now = due.tick(steps)
                if now.any():
                    self._learn(due.round(now, self.replay.stored))

    def _draw(self, ticks: int) -> None:
        """The random numbers of the next ticks, `[ticks, K, ...]`."""
        assert self.due is not None
        ahead = np.arange(ticks) * self.num_envs
        every = [
            self.acting_inputs(member, int(sampled) + ahead)
            for member, sampled in zip(self.members, self.due.sampled, strict=True)
        ]
        self.acting.prepare(every)

    def _tick(self, tick: int) -> NDArray[np.int64]:
        """One step of all environments, into the buffer; how many steps each member took `[K]`."""
        held = self.envs.obs.copy()
        action = self._actions(held, tick)
        taken = self.action_codec.decode(action)
        batch = self.envs.step(taken)
        self.traces.step(taken, None, batch)
        if self.hooks is not None:
            self.hooks.stepped(action, batch, last=True)
        ended = batch.terminated | batch.truncated
        after = batch.obs
        if ended.any():
            after = batch.obs.copy()
            after[ended] = batch.final_obs[ended]
        raw, valid = batch.reward.copy(), batch.valid.copy()
        reward = np.sign(raw) if self.clip_rewards else raw
        scalars = np.empty((*reward.shape, SCALARS), np.float32)
        scalars[..., REWARD], scalars[..., ENDED] = reward, ended
        scalars[..., TERMINATED] = batch.terminated
        stored = {"obs": held, "next_obs": after, "actions": action, "scalars": scalars}
        self.replay.add(stored, valid)
        self.steps_seen.append((raw, ended, valid))
        if self.shared["normalize_rewards"]:
            gamma = self.columns["gamma"].numpy()[:, None]
            self.discounted = self.discounted * gamma + reward
            self.return_stats.update(self.discounted[..., None])
            self.discounted[ended] = 0.0
        for row in sorted(batch.error, reverse=True):
            self.lose(row, batch.error[row])
            valid = np.delete(valid, row, 0)
        steps: NDArray[np.int64] = valid.sum(1)
        return steps

    def _actions(self, obs: Array, tick: int) -> Array:
        """What every member does `[K, E, ...]`."""
        encoded = self.obs_codec.encode(obs)
        if self.filter:
            self.obs_stats.update(encoded)
            encoded = self.obs_stats.normalize(encoded)
        return self.acting(self.flat, encoded, tick)

    # -- learning -------------------------------------------------------------------------------

    def _learn(self, updates: NDArray[np.int64]) -> None:
        """So many updates of each member `[K]`: the first of all who have one, the second, ..."""
        rounds = int(updates.max(initial=0))
        assert self.due is not None
        assert self.dice is not None
        for turn in range(rounds):
            rows = np.flatnonzero(updates > turn)
            numbers = self.dice.take(rows)
            samples = self._sample(rows, numbers)
            batch = self.batch_of(rows, samples)
            for name, value in numbers.items():
                if name not in OWN_DICE:
                    batch[name] = torch.from_numpy(value)
            found = self.learn(rows, batch)
            if self.replay.prioritized:
                self._prioritize(rows, samples, found["td_errors"])
            if "target" in self.more:
                self.move_targets(self.due.targets(rows))
        if rounds:
            self.acting.follow(self.flat)

    def _roll(self, member: Member, count: int) -> dict[str, Array]:
        """The random numbers of a member's next updates: `[count, ...]` each."""
        found = self.update_inputs(member, count)
        found["replay"] = member.generator.random((count, self.batch_size))
        if self.ranges:
            low, high = _span(self.n_step_of(member))
            size = (count, self.batch_size)
            found["n_step"] = member.generator.random(size) if low < high else np.zeros(size)
        return found

    def _sample(self, rows: NDArray[np.int64], numbers: dict[str, Array]) -> Samples:
        low, high = self.n_steps[rows, 0][:, None], self.n_steps[rows, 1][:, None]
        steps = np.broadcast_to(low, numbers["replay"].shape)
        if self.ranges:
            steps = low + (numbers["n_step"] * (high - low + 1)).astype(np.int64)
        scale = None
        if self.shared["normalize_rewards"]:
            scale = (1.0 / self.return_stats.std[rows, 0]).astype(np.float32)
        beta = None
        if self.replay.prioritized:
            beta = self.columns["prioritized_replay_beta"].numpy()[rows]
        gamma = self.columns["gamma"].numpy()[rows]
        return self.replay.sample(
            rows, numbers["replay"], steps=steps, gamma=gamma, reward_scale=scale, beta=beta
        )

    def batch_of(self, rows: NDArray[np.int64], samples: Samples) -> Batch:
        """Samples as `update` takes them: `obs`, `actions`, `rewards`, `next_obs`, `discounts`,
        and `weights` where the replay is prioritised."""
        fields = {
            "obs": self._encoded(rows, samples.obs),
            "actions": samples.actions,
            "rewards": samples.rewards,
            "next_obs": self._encoded(rows, samples.next_obs),
            "discounts": samples.discounts,
        }
        if samples.weights is not None:
            fields["weights"] = samples.weights
        return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in fields.items()}

    def _encoded(self, rows: NDArray[np.int64], obs: Array) -> NDArray[np.float32]:
        encoded = self.obs_codec.encode(obs)
        return self.obs_stats.normalize_rows(rows, encoded) if self.filter else encoded

    def _prioritize(self, rows: NDArray[np.int64], samples: Samples, errors: Array) -> None:
        columns = (self.columns[f"prioritized_replay_{name}"].numpy() for name in ("eps", "alpha"))
        epsilon, alpha = (column[rows].astype(np.float64) for column in columns)
        priorities = np.abs(errors.astype(np.float64)) + epsilon[:, None]
        self.replay.set_priorities(rows, samples.leaf, np.nan_to_num(priorities, nan=1.0), alpha)

    # -- reporting ------------------------------------------------------------------------------

    def _report(self, row: int, member: Member, elapsed: float) -> Metrics:
        assert self.due is not None
        rewards, ends, valid = (
            np.stack([part[i][row] for part in self.steps_seen]) for i in range(3)
        )
        steps = int(valid.sum())
        member.iteration += 1
        member.env_steps += steps
        member.time_total_s += elapsed
        member.adaptive.update(self.due.carried(row))
        member.episodes.add(rewards, ends, valid)
        names = "learners/default_policy"
        metrics = member.episodes.metrics() | self.learner_metrics(row)
        metrics |= {
            f"{names}/num_target_updates": int(self.due.num_target_updates[row]),
            f"{names}/last_target_update_ts": int(self.due.last_target_update_ts[row]),
            "replay_buffer/num_env_steps_stored": int(self.replay.stored[row]),
            "training_iteration": member.iteration,
            "num_env_steps_sampled_lifetime": member.env_steps,
            "env_runners/num_env_steps_sampled": steps,
            "time_this_iter_s": elapsed,
            "time_total_s": member.time_total_s,
        }
        return metrics


def _span(n_step: Any) -> tuple[int, int]:
    """Fewest and most steps of an n-step return."""
    return (n_step, n_step) if isinstance(n_step, int) else (n_step[0], n_step[1])


def _stored(state: State) -> dict[str, Array]:
    return {
        name.removeprefix(PREFIX): array
        for name, array in state.arrays.items()
        if name.startswith(PREFIX)
    }
