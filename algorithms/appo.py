"""Asynchronous PPO, after IMPACT (Luo et al., arXiv 1912.00167), written for one agent.

IMPALA's actors and v-trace, with PPO's clipped surrogate around a target network: the ratio is to
the target policy, whose own ratio to the policy that acted is clipped. A circular buffer keeps the
last batches, and each is learned from several times, evenly spread over its stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch, LiftedForward, caller
from algorithms.core.maths.actor_critic import (
    adapted,
    centred,
    evaluated,
    explained,
    following,
    mean,
    remembered,
    squared_error,
    timewise,
)
from algorithms.core.maths.vtrace import vtrace
from algorithms.core.packs.lagged import LaggedPack
from algorithms.core.packs.member import Member
from algorithms.core.specs.parameters import Value
from algorithms.core.specs.turn_parameters import LaggedParameters
from algorithms.core.specs.turn_spec import TurnSpec
from tunerl.trainable import fixed, vector
from tunerl.trial import Config


@dataclass(frozen=True)
class APPOParameters(LaggedParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    circular_buffer_num_batches: int = fixed(4, "how many batches the buffer keeps", low=1)
    circular_buffer_iterations_per_batch: int = fixed(
        2, "how many times each is learned from, evenly spread over its stay", low=1
    )
    use_gae: bool = vector(True, "False: traces without decay, as lambda_ 1")
    clip_param: Value = vector(
        0.3, "how far the ratio to the target policy may leave 1", low=0.0, exclusive_low=True,
        schedule=True, search={"uniform": [0.1, 0.5]},
    )  # fmt: skip
    target_worker_clipping: float = vector(
        2.0, "largest ratio of the policy that acted to the target policy", low=0.0,
        exclusive_low=True,
    )  # fmt: skip
    target_network_update_freq: int = vector(
        4, "updates between two moves of the target network", low=1, search={"randint": [1, 17]}
    )
    tau: float = vector(1.0, "how far the target moves towards the network", low=0.0, high=1.0)
    use_kl_loss: bool = vector(False, "add a KL penalty, whose weight adapts to kl_target")
    kl_coeff: float = vector(1.0, "initial weight of the KL penalty", low=0.0)
    kl_target: float = vector(0.01, "KL that the penalty aims at", low=0.0, exclusive_low=True)


class APPOPack(LaggedPack):
    """What makes the lagging turns APPO: its loss, its target network, its circular buffer."""

    algorithm = "APPO"
    recurrent = True
    statistics = (
        "total_loss",
        "policy_loss",
        "vf_loss",
        "entropy",
        "mean_kl_loss",
        "vf_explained_var",
        "mean_IS",
        "var_IS",
    )
    vectors = (
        "lambda_",
        "use_gae",
        "normalize_advantages",
        "vtrace_clip_rho_threshold",
        "vtrace_clip_pg_rho_threshold",
        "clip_param",
        "target_worker_clipping",
        "use_kl_loss",
        "kl_coeff",
        "vf_loss_coeff",
        "entropy_coeff",
    )

    @property
    def ages(self) -> tuple[int, ...]:
        kept = self.shared["circular_buffer_num_batches"]
        uses = self.shared["circular_buffer_iterations_per_batch"]
        return tuple(kept * use // uses for use in range(uses))

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        return super().fresh_more(parameters) | {"target": parameters}

    def refine(self, rows: Sequence[int], batch: Batch) -> Batch:
        """With what the target network says of the observations."""
        with torch.no_grad():
            seen = batch["obs"][:, :-1].contiguous(), *remembered(batch)
            found = self.target_policy(self.more["target"][list(rows)], *seen)
        return batch | {"target_inputs": found}

    @cached_property
    def target_policy(self) -> LiftedForward:
        """``[K, P], [K, T, M, D] -> [K, T, M, A]``, and what `timewise` takes with a memory."""
        call = caller(self.network)

        def said(parameters: Any, *args: Tensor) -> Tensor:
            return timewise(partial(call, parameters), *args)[0]

        return LiftedForward(self.layout, said, self.kind("target policy"))

    def updated(self, rows: Sequence[int]) -> None:
        super().updated(rows)
        members = self.members
        due = [
            row
            for row in rows
            if members[row].updates % members[row].config["target_network_update_freq"] == 0
        ]
        tau = torch.tensor([members[row].config["tau"] for row in due])[:, None]
        target = self.more["target"]
        target[due] = target[due] * (1.0 - tau) + self.flat[due] * tau

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Clipped surrogate + value loss - entropy bonus (+ KL penalty) of a minibatch `[T, M]`."""
        dist, weights, actions = self.distribution, batch.get("weights"), batch["actions"]
        dist_inputs, every = evaluated(call, batch)
        values, now = every[:-1], every[:-1].detach()
        behaviour = dist.logp(batch["dist_inputs"], actions)
        target = dist.logp(batch["target_inputs"], actions)
        logp = dist.logp(dist_inputs, actions)
        corrected = vtrace(
            target - behaviour,
            batch["rewards"],
            now,
            following(every, batch),
            batch["ends"],
            hp["gamma"],
            torch.where(hp["use_gae"] > 0, hp["lambda_"], 1.0),
            hp["vtrace_clip_rho_threshold"],
            hp["vtrace_clip_pg_rho_threshold"],
        )
        gains = corrected.advantages
        gains = torch.where(hp["normalize_advantages"] > 0, centred(gains, weights), gains)

        correction = torch.minimum((behaviour - target).exp(), hp["target_worker_clipping"])
        ratio = correction * (logp - behaviour).exp()
        clipped = torch.clamp(ratio, 1 - hp["clip_param"], 1 + hp["clip_param"])
        policy_loss = -mean(torch.minimum(gains * ratio, gains * clipped), weights)
        vf_loss = squared_error(values, corrected.targets, weights)
        entropy = mean(dist.entropy(dist_inputs), weights)
        kl = mean(dist.kl(batch["target_inputs"], dist_inputs), weights)
        total = policy_loss + hp["vf_loss_coeff"] * vf_loss - hp["entropy_coeff"] * entropy
        total = total + hp["use_kl_loss"] * hp["kl_coeff"] * kl

        known = explained(now, corrected.targets, weights)
        mean_is = mean(correction, weights)
        off = correction - mean_is
        var_is = mean(off * off, weights)
        statistics = (total, policy_loss, vf_loss, entropy, kl, known, mean_is, var_is)
        return total, torch.stack(statistics).detach()

    def initial_adaptive(self, config: Config) -> dict[str, float]:
        return {"kl_coeff": config["kl_coeff"]}

    def adapt(self, member: Member, statistics: dict[str, float]) -> None:
        if member.config["use_kl_loss"]:
            weight, target = member.adaptive["kl_coeff"], member.config["kl_target"]
            member.adaptive["kl_coeff"] = adapted(weight, statistics["mean_kl_loss"], target)


SPEC = TurnSpec("APPO", APPOParameters, APPOPack)


class APPOConfig(AlgorithmConfig):
    """The configuration of an APPO agent; its fields are those of `APPOParameters`."""

    spec = SPEC


class APPO(Algorithm):
    """One APPO agent."""

    spec = SPEC
