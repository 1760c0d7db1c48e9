"""A training iteration of on-policy agents: collect a rollout, then several epochs over it.

Acting is shared by all members; learning goes by chunks of members with rows of parameters side by
side. What an algorithm adds is its `loss` for one agent.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.minibatches import minibatches
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.targets import (
    advantages_of,
    explained_variance,
    scale_rewards,
    values_of,
)
from algorithms.core.lifting.optim import AdamState
from algorithms.core.lifting.stack import Batch, LiftedUpdate, chunks
from algorithms.core.packs.iteration import Reports
from algorithms.core.packs.member import Member
from algorithms.core.packs.rollouts import RolloutPack
from tunerl.trial import Config, Metrics


class OnPolicyPack(RolloutPack):
    """`statistics` names what `loss` returns beside the loss; `vectors` the `[K]` inputs of it."""

    statistics: tuple[str, ...]
    vectors: tuple[str, ...]
    warms = True  # one small step compiles what all later ones use

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.samples = self.horizon * self.num_envs
        self.minibatch = min(self.shared["minibatch_size"] or self.samples, self.samples)
        self.units = self.samples  # what a minibatch is drawn from: samples, or sequences of them
        if self.recall is not None:
            self.units = self.recall.sequences * self.num_envs
            self.minibatch = max(1, self.minibatch // self.recall.length)
        self.update = LiftedUpdate(
            self.layout,
            self.network,
            self.loss,
            bool(self.shared["torch_compile_learner"]),
            clip_by=self.shared["grad_clip_by"],
            kind=self.kind("update"),
            device=self.device,
        )

    @property
    def horizon(self) -> int:
        return max(1, int(self.shared["train_batch_size"] // self.num_envs))

    @abstractmethod
    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """One agent's loss on one minibatch, and the statistics `[S]`. `call` is its network."""

    def adapt(self, member: Member, statistics: dict[str, float]) -> None:
        """After an iteration: adjust the member's adaptive values."""

    # -- one iteration ------------------------------------------------------------------------

    def iterate(self) -> Reports:
        started = time.perf_counter()
        self.failures = {}
        reports: Reports = {}
        if self.members:
            rollout = self._collect()
            if self.members:
                statistics = self._learn(rollout)
                elapsed = time.perf_counter() - started
                self.check_finite(statistics)
                for row, (id, member) in enumerate(zip(self.ids, self.members, strict=True)):
                    if id not in self.failures:
                        reports[id] = self._report(row, member, rollout, statistics[row], elapsed)
        return self.ended(reports)

    # -- collecting ---------------------------------------------------------------------------

    def _collect(self) -> Rollout:
        noise = self.sampler.noise([member.generator for member in self.members], self.horizon)
        self.traces.begin()
        if self.recall is not None:
            self.recall.begin()
        rollout = self.sampler.collect(self._acting, noise, self.lose)
        self.failures |= self.traces.end()
        return rollout

    # -- learning -----------------------------------------------------------------------------

    def _fields(self, rollout: Rollout) -> Batch:
        """What the loss needs, one row a member: `[K, N, ...]`."""
        gamma, lambda_ = self._column("gamma"), self._column("lambda_")
        use_gae = np.array([member.config["use_gae"] for member in self.members])
        raw = rollout.raw_rewards
        rollout.rewards[:] = np.sign(raw) if self.clip_rewards else raw
        if self.shared["normalize_rewards"]:
            self.discounted = scale_rewards(rollout, self.return_stats, self.discounted, gamma)
        if self.recall is not None:
            values, following = self.recall.values(self.network_step.bind(self.flat), rollout)
        else:
            values, following = values_of(lambda obs: self.value(self.flat, obs), rollout)
        lambda_ = np.where(use_gae, lambda_, np.float32(1.0))
        advantages = advantages_of(rollout, values, following, gamma, lambda_)
        flat = {
            "obs": rollout.obs,
            "actions": rollout.actions,
            "dist_inputs": rollout.dist_inputs,
            "values": values,
            "advantages": advantages,
            "targets": advantages + values,
        }
        if self.shared["gym_env_vectorize_mode"] == "envpool":
            flat["weights"] = rollout.valid.astype(np.float32)
        if self.recall is not None:
            fields = self.recall.fields(flat, rollout.valid)
        else:
            lead = (len(self.members), self.samples)
            fields = {
                name: torch.from_numpy(np.ascontiguousarray(x)).view(*lead, *x.shape[3:])
                for name, x in flat.items()
            }
        with torch.inference_mode():
            fields["logp"] = self.distribution.logp(fields["dist_inputs"], fields["actions"])
        return fields

    def _column(self, name: str) -> NDArray[np.float32]:
        return np.array([m.hyperparameter(name) for m in self.members], np.float32)

    def _vectors(self) -> Batch:
        """The hyperparameters that enter the update, `[K]` each; None means no limit."""
        columns = {}
        for name in self.vectors:
            own = [
                m.adaptive[name]
                if name in m.adaptive
                else (float("inf") if m.config[name] is None else m.hyperparameter(name))
                for m in self.members
            ]
            columns[name] = torch.tensor(own, dtype=torch.float32)
        return columns

    def _learn(self, rollout: Rollout) -> list[dict[str, float]]:
        return self.learn_from(self._fields(rollout))

    def learn_from(self, fields: Batch) -> list[dict[str, float]]:
        """All epochs over fields `[K, N, ...]`; the mean of each statistic, a dictionary a row."""
        vectors = self._vectors()
        names = (*self.statistics, "gradients_default_optimizer_global_norm")
        rows = len(self.members)
        sums, counts = torch.zeros(rows, len(names)), torch.zeros(rows, 1)
        epochs = [m.config["num_epochs"] for m in self.members]
        active = list(range(rows))
        for epoch in range(max(epochs)):
            training = active = [row for row in active if epoch < epochs[row]]
            for start, size in chunks(len(training), self.update.sizes):
                chunk = training[start : start + size]
                means = self._epoch(chunk, size, fields, vectors)
                sums[chunk] += means[: len(chunk)]
                counts[chunk] += 1
                kl = dict(zip(chunk, means[:, names.index("approx_kl")].tolist(), strict=False))
                active = [row for row in active if row not in kl or not self._too_far(row, kl[row])]
            if not active:
                break
        explained = explained_variance(fields)
        averages = (sums / counts.clamp(min=1)).tolist()
        return [
            dict(zip(names, mean, strict=True)) | {"vf_explained_var": explained[row]}
            for row, mean in enumerate(averages)
        ]

    def _too_far(self, row: int, kl: float) -> bool:
        limit = self.members[row].config["target_kl"]
        return limit is not None and kl > 1.5 * limit

    def _epoch(self, chunk: list[int], size: int, fields: Batch, vectors: Batch) -> Tensor:
        """One pass of some members over their samples, in `size` rows; mean statistics."""
        members = [self.members[row] for row in chunk]
        index = minibatches(members, chunk, size, self.units, self.minibatch)
        rows = torch.tensor(chunk + [chunk[-1]] * (size - len(chunk)))
        flat = self.flat[rows]
        adam = AdamState(*(part[rows] for part in self.adam))
        hp = {name: column[rows] for name, column in vectors.items()}
        batches = {
            name: value.flatten(0, 1)
            .index_select(0, index.view(-1))
            .view(*index.shape, *value.shape[2:])
            for name, value in fields.items()
        }
        flat, adam, means = self.update.several(flat, adam, batches, hp)
        real = len(chunk)
        self.flat[chunk] = flat[:real]
        for part, new in zip(self.adam, adam, strict=True):
            part[chunk] = new[:real]
        for row in chunk:
            self.members[row].updates += len(index)
        return means

    # -- reporting ----------------------------------------------------------------------------

    def _report(
        self,
        row: int,
        member: Member,
        rollout: Rollout,
        statistics: dict[str, float],
        elapsed: float,
    ) -> Metrics:
        steps = int(rollout.valid[row].sum())
        rates = {
            "default_optimizer_learning_rate": member.hyperparameter("lr"),
            "curr_entropy_coeff": member.hyperparameter("entropy_coeff"),
            **{f"curr_{name}": value for name, value in member.adaptive.items()},
        }
        member.iteration += 1
        member.env_steps += steps
        member.time_total_s += elapsed
        member.episodes.add(rollout.raw_rewards[row], rollout.ends[row], rollout.valid[row])
        self.adapt(member, statistics)
        metrics = member.episodes.metrics() | {
            f"learners/default_policy/{name}": value for name, value in (statistics | rates).items()
        }
        metrics |= {
            "training_iteration": member.iteration,
            "num_env_steps_sampled_lifetime": member.env_steps,
            "env_runners/num_env_steps_sampled": steps,
            "learners/default_policy/num_updates_lifetime": member.updates,
            "time_this_iter_s": elapsed,
            "time_total_s": member.time_total_s,
        }
        return metrics
