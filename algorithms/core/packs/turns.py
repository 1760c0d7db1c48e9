"""Iterations of many short turns: collect a batch of fragments, then learn on one of some age.

For agents whose update is a single pass over few steps, or over steps that an older policy took. An
algorithm brings its `loss` for one agent on time-major fields. Invariant: what lags behind (acting
weights, batches that wait) lags by numbers of updates, never by the clock, so runs repeat exactly.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.targets import final_values, scale_rewards
from algorithms.core.lifting.optim import OPTIMISERS, AdamState
from algorithms.core.lifting.stack import Batch, LiftedUpdate, chunks
from algorithms.core.packs import reporting
from algorithms.core.packs.iteration import Reports
from algorithms.core.packs.member import Member
from algorithms.core.packs.rollouts import RolloutPack
from tunerl.trial import Config

NORM = "gradients_default_optimizer_global_norm"


class TurnPack(RolloutPack):
    """`statistics` names what `loss` returns beside the loss; `vectors` its `[K]` inputs.

    The fields of a batch, for one agent, are time-major, T steps in M columns: `obs`
    `[T + 1, M, D]`, `actions`, `dist_inputs` (of the behaviour policy), `rewards`, `terminated`,
    `ends` and `bootstrap` (the value of the last observation of a truncated episode) `[T, M, ...]`;
    `weights` where some steps are none. With a memory they are cut into n sequences of L steps:
    `states` `[n, M, S]` at the beginning of each, and `starts` `[n * L, M]`, 1 where an episode
    begins.
    """

    last_too = True
    sample_axis = 2  # columns, each with all of its steps

    statistics: tuple[str, ...]
    vectors: tuple[str, ...]

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        shared = self.shared
        self.samples = self.horizon * self.columns
        self.turns = max(1, -(-shared["min_sample_timesteps_per_iteration"] // self.samples))
        self.rule = OPTIMISERS[shared["opt_type"]]
        self.update = LiftedUpdate(
            self.layout,
            self.network,
            self.loss,
            bool(shared["torch_compile_learner"]),
            self.rule,
            self.parts(),
            shared["grad_clip_by"],
            self.kind("update"),
            self.device,
        )
        self.collected: list[Batch] = []
        self.names = (*self.statistics, NORM, "diff_num_grad_updates_vs_sampler_policy")
        self._begin(0)

    @property
    def horizon(self) -> int:
        """T: the steps of a fragment."""
        return int(self.shared["rollout_fragment_length"])

    @cached_property
    def fragments(self) -> int:
        """How many of them, one after the other, are a batch."""
        return max(1, -(-(self.shared["train_batch_size"] or 1) // (self.horizon * self.num_envs)))

    @property
    def columns(self) -> int:
        """M: the columns of a batch."""
        return self.fragments * self.num_envs

    # -- what an algorithm says ---------------------------------------------------------------

    @abstractmethod
    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """One agent's loss on one batch, and the statistics `[S]`. `call` is its network."""

    def parts(self) -> int:
        """In how many parts the gradient of a batch is taken."""
        return 1

    def learn(self, batch: Batch) -> None:
        """What a turn's batch `[K, ...]` is for: one update on it."""
        self.train(list(range(len(self.members))), batch)

    def learn_once(self, batch: Batch, known: Tensor) -> None:
        """One update on a batch `[K, T, M, ...]` that was not collected by this pack; `known`
        `[K, T, M]`: 0 for the steps of episodes that do not end in it."""
        self.train(list(range(len(self.members))), batch)

    def staleness(self) -> Tensor:
        """By how many updates the acting parameters are behind, `[K]`."""
        return torch.zeros(len(self.members))

    def adapt(self, member: Member, statistics: dict[str, float]) -> None:
        """After an iteration: adjust the member's adaptive values."""

    # -- one iteration ------------------------------------------------------------------------

    def iterate(self) -> Reports:
        started = time.perf_counter()
        self.failures = {}
        self._begin(len(self.members))
        self.hp = self._vectors()
        self.traces.begin()
        for _ in range(self.turns):
            batch = self._collect() if self.members else {}
            if not self.members:
                break
            self.learn(batch)
            self._drop_broken()
        self.failures |= self.traces.end()
        reports = self._reports(time.perf_counter() - started)
        reports = self.ended(reports)
        self._begin(0)
        return reports

    def _begin(self, rows: int) -> None:
        """What there is of an iteration only."""
        self.log, self.hp = reporting.Log(), Batch()
        self.sums, self.counts = torch.zeros(rows, len(self.names)), torch.zeros(rows, 1)

    def _reports(self, elapsed: float) -> Reports:
        if not self.members:
            return {}
        reports: Reports = {}
        means = (self.sums / self.counts.clamp(min=1)).tolist()
        log = self.log.joined()
        for row, (id, member) in enumerate(zip(self.ids, self.members, strict=True)):
            learner = {
                "default_optimizer_learning_rate": member.hyperparameter("lr"),
                "curr_entropy_coeff": member.hyperparameter("entropy_coeff"),
            }
            if self.counts[row]:
                learner |= dict(zip(self.names, means[row], strict=True))
            learner |= {f"curr_{name}": value for name, value in member.adaptive.items()}
            steps = reporting.take_in(member, log, row, elapsed)
            if self.counts[row]:
                self.adapt(member, learner)
            reports[id] = reporting.report(member, learner, steps, elapsed)
        return reports

    def _vectors(self) -> Batch:
        """The hyperparameters that enter the update, `[K]` each; None means no limit."""
        columns = {}
        for name in dict.fromkeys((*self.vectors, "gamma", "grad_clip", *self.rule.vectors)):
            own = [
                m.adaptive[name]
                if name in m.adaptive
                else (float("inf") if m.config[name] is None else m.hyperparameter(name))
                for m in self.members
            ]
            columns[name] = torch.tensor(own, dtype=torch.float32)
        return columns

    def _drop_broken(self) -> None:
        """Let those go whose figures are no numbers, before they act on them."""
        if torch.isfinite(self.sums).all():
            return
        for row in reversed(range(len(self.members))):
            finite = torch.isfinite(self.sums[row]).tolist()
            if not all(finite):
                wrong = [name for name, fine in zip(self.names, finite, strict=True) if not fine]
                self.failures[self.ids[row]] = reporting.not_finite(self.members[row], wrong)
                self._drop(row)

    # -- collecting ---------------------------------------------------------------------------

    def _collect(self) -> Batch:
        """A batch `[K, ...]` of the fragments of a turn, one after the other."""
        self.collected = []
        for _ in range(self.fragments):
            noise = self.sampler.noise([m.generator for m in self.members], self.horizon)
            if self.recall is not None:
                self.recall.begin()
            rollout = self.sampler.collect(self._acting, noise, self.lose)
            if not self.members:
                return {}
            self.log.add(rollout)
            self.collected.append(self._fields(rollout))
        parts, self.collected = self.collected, []
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts], 2) for name in parts[0]}

    def _fields(self, rollout: Rollout, told: dict[str, Any] | None = None) -> Batch:
        """`told`: what `Recall` tells of the rollout, if it was not this pack's."""
        raw = rollout.raw_rewards
        rollout.rewards[:] = np.sign(raw) if self.clip_rewards else raw
        if self.shared["normalize_rewards"]:
            gamma = np.array([m.hyperparameter("gamma") for m in self.members], np.float32)
            self.discounted = scale_rewards(rollout, self.return_stats, self.discounted, gamma)
        told = self.recall.told() if told is None and self.recall is not None else told
        fields = {
            "obs": rollout.seen,
            "actions": rollout.actions,
            "dist_inputs": rollout.dist_inputs,
            "rewards": rollout.rewards,
            "ends": rollout.ends.astype(np.float32),
            "bootstrap": self._bootstrap(rollout) if told is None else told["finals"],
        }
        if told is not None:
            obs = np.concatenate([rollout.seen, told["seen"]], -1)
            fields |= {"obs": obs, "states": told["states"], "starts": told["starts"]}
        if self.shared["gym_env_vectorize_mode"] == "envpool":
            fields["weights"] = rollout.valid.astype(np.float32)
        return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in fields.items()}

    def _bootstrap(self, rollout: Rollout) -> NDArray[np.float32]:
        """Values `[K, T, E]` of the last observations of truncated episodes, after their steps."""
        found = np.zeros(rollout.rewards.shape, np.float32)
        if rollout.final_index:
            for index, value in final_values(self.value.bind(self.flat), rollout):
                found[index] = value
        return found

    # -- learning -----------------------------------------------------------------------------

    def train(
        self, rows: Sequence[int], batch: Batch, late: Tensor | None = None, at: Any = None
    ) -> None:
        """One update of the members `rows`, on their batches `[len(rows), ...]`.

        `late` `[len(rows)]`: by how many updates their behaviour was behind. `at` `[len(rows), P]`:
        where the gradient is taken, if not at the parameters themselves.
        """
        for start, size in chunks(len(rows), self.update.sizes):
            chunk = list(rows[start : start + size])
            real = len(chunk)
            own, its = picked(chunk, size), picked(range(start, start + real), size)
            flat, adam, statistics = self.update(
                self.flat[own],
                AdamState(*(part[own] for part in self.adam)),
                {name: value[its] for name, value in batch.items()},
                {name: column[own] for name, column in self.hp.items()},
                None if at is None else at[its],
            )
            if real == len(self.members):
                self.flat, self.adam = flat[:real], AdamState(*(part[:real] for part in adam))
            else:
                self.flat[own] = flat
                for mine, new in zip(self.adam, adam, strict=True):
                    mine[own] = new
            behind = torch.zeros(real) if late is None else late[start : start + real]
            self.sums[chunk] += torch.cat([statistics[:real], behind[:, None]], 1)
            self.counts[chunk] += 1
            for row in chunk:
                self.members[row].updates += 1

    # -- rows ---------------------------------------------------------------------------------

    def _append(
        self,
        parameters: Tensor,
        adam: AdamState | None = None,
        more: dict[str, Tensor] | None = None,
    ) -> None:
        super()._append(parameters, adam or self.rule.fresh(parameters), more)

    def _drop(self, row: int) -> None:
        keep = [i for i in range(len(self.ids)) if i != row]
        super()._drop(row)
        self.hp = {name: column[keep] for name, column in self.hp.items()}
        if len(self.sums):
            self.sums, self.counts = self.sums[keep], self.counts[keep]
        self.log.drop(row)
        self.collected = [{n: x[keep] for n, x in part.items()} for part in self.collected]


def picked(rows: Sequence[int], size: int) -> slice | Tensor:
    """An index of these rows, the last one repeated up to `size`; a slice where that does."""
    if len(rows) == size and rows[-1] - rows[0] == size - 1:
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor([*rows, *[rows[-1]] * (size - len(rows))])
