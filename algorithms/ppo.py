"""Proximal Policy Optimization (Schulman et al., arXiv 1707.06347), written for one agent.

An agent collects a rollout in E environments, computes generalised advantages, and takes several
epochs of minibatch steps on the clipped surrogate. The pack (`core/packs/on_policy.py`) runs many
such agents at once; nothing here knows of it. The details are those of "The 37 Implementation
Details of PPO" (core and continuous ones) and, where asked for, RLlib's adaptive KL penalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.actor_critic import mean
from algorithms.core.packs.member import Member
from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.core.specs.parameters import CommonParameters, Value, grad_clip_by
from algorithms.core.specs.spec import AlgorithmSpec
from algorithms.offline.trace import OutputParameters
from tunerl.trainable import fixed, vector
from tunerl.trial import Config


@dataclass(frozen=True)
class PPOParameters(OutputParameters, CommonParameters):
    """What can be tuned. RLlib's names; defaults that learn (CleanRL's and SB3's, not RLlib's)."""

    train_batch_size: int = fixed(4096, "environment steps of one agent per iteration", low=1)
    min_sample_timesteps_per_iteration: int | None = fixed(
        None, "report after so many environment steps, rounded up to whole batches; None: each",
        low=0, optional=True,
    )  # fmt: skip
    minibatch_size: int | None = fixed(
        128, "samples per update; None: the whole batch", low=2, optional=True,
        search={"choice": [32, 64, 128, 256, 512]},
    )  # fmt: skip
    num_epochs: int = vector(10, "passes over each batch", low=1, search={"randint": [1, 21]})
    shuffle_batch_per_epoch: bool = vector(True, "a fresh order of the samples in each epoch")
    lr: Value = vector(
        3e-4, "learning rate of Adam", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    adam_epsilon: Value = vector(
        1e-5, "epsilon of Adam", low=0.0, exclusive_low=True, schedule=True
    )
    grad_clip: Value | None = vector(
        0.5, "largest norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True, schedule=True, search={"choice": [0.3, 0.5, 1.0, 5.0]},
    )  # fmt: skip
    grad_clip_by: str = grad_clip_by()
    use_gae: bool = vector(True, "False: plain returns, as lambda_ 1")
    lambda_: Value = vector(
        0.95, "GAE's lambda", low=0.0, high=1.0, schedule=True, search={"uniform": [0.8, 1.0]}
    )
    use_critic: bool = vector(True, "False: returns instead of advantages over the value")
    normalize_advantages: bool = vector(True, "mean 0 and deviation 1 in each minibatch")
    clip_param: Value = vector(
        0.2, "how far the ratio may leave 1", low=0.0, exclusive_low=True, schedule=True,
        search={"uniform": [0.1, 0.4]},
    )  # fmt: skip
    vf_clip_param: Value | None = vector(
        None, "how far a value may move in one iteration; None: as far as it wants", low=0.0,
        exclusive_low=True, optional=True, schedule=True,
    )  # fmt: skip
    vf_loss_coeff: Value = vector(
        0.5, "weight of the value loss", low=0.0, schedule=True, search={"uniform": [0.2, 1.0]}
    )
    entropy_coeff: Value = vector(
        0.0, "weight of the entropy bonus", low=0.0, schedule=True,
        search={"loguniform": [1e-8, 0.1]},
    )  # fmt: skip
    use_kl_loss: bool = vector(False, "add RLlib's KL penalty, whose weight adapts to kl_target")
    kl_coeff: float = vector(0.2, "initial weight of the KL penalty", low=0.0)
    kl_target: float = vector(0.01, "KL that the penalty aims at", low=0.0, exclusive_low=True)
    target_kl: float | None = vector(
        None, "end an iteration's epochs once the KL exceeds 1.5 times this", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip


class PPOPack(OnPolicyPack):
    """What makes the on-policy loop PPO: its loss, and the adaptive weight of its KL penalty."""

    algorithm = "PPO"
    recurrent = True
    unseen = (
        "train_batch_size",
        "minibatch_size",
        "num_envs_per_env_runner",
        "min_sample_timesteps_per_iteration",
    )
    statistics = (
        "total_loss",
        "policy_loss",
        "vf_loss",
        "vf_loss_unclipped",
        "entropy",
        "mean_kl_loss",
        "approx_kl",
        "clip_fraction",
    )
    vectors = (
        "lr",
        "adam_epsilon",
        "grad_clip",
        "clip_param",
        "vf_clip_param",
        "vf_loss_coeff",
        "entropy_coeff",
        "kl_coeff",
        "normalize_advantages",
        "use_critic",
        "use_kl_loss",
    )

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Clipped surrogate + value loss - entropy bonus (+ KL penalty) of one minibatch `[B]`."""
        dist, weights = self.distribution, batch.get("weights")
        dist_inputs, values = call(batch["obs"])

        advantages = torch.where(hp["use_critic"] > 0, batch["advantages"], batch["targets"])
        centred = advantages - mean(advantages, weights)
        scale = (mean(centred**2, weights)).sqrt() + 1e-8
        advantages = torch.where(hp["normalize_advantages"] > 0, centred / scale, advantages)

        log_ratio = dist.logp(dist_inputs, batch["actions"]) - batch["logp"]
        ratio = log_ratio.exp()
        clipped = torch.clamp(ratio, 1 - hp["clip_param"], 1 + hp["clip_param"])
        policy_loss = -mean(torch.minimum(advantages * ratio, advantages * clipped), weights)

        limit = hp["vf_clip_param"]
        moved = batch["values"] + torch.clamp(values - batch["values"], -limit, limit)
        error = (values - batch["targets"]) ** 2
        worst = torch.maximum(error, (moved - batch["targets"]) ** 2)
        vf_loss, vf_unclipped = mean(worst, weights), mean(error, weights)

        entropy = mean(dist.entropy(dist_inputs), weights)
        kl = mean(dist.kl(batch["dist_inputs"], dist_inputs), weights)
        total = policy_loss + hp["use_critic"] * hp["vf_loss_coeff"] * vf_loss
        total = total - hp["entropy_coeff"] * entropy + hp["use_kl_loss"] * hp["kl_coeff"] * kl

        approx_kl = mean((ratio - 1) - log_ratio, weights)
        fraction = mean(((ratio - 1).abs() > hp["clip_param"]).float(), weights)
        statistics = (total, policy_loss, vf_loss, vf_unclipped, entropy, kl, approx_kl, fraction)
        return total, torch.stack(statistics).detach()

    def rounds(self) -> int:
        least = self.shared["min_sample_timesteps_per_iteration"] or 1
        return int(-(-least // self.samples))

    def initial_adaptive(self, config: Config) -> dict[str, float]:
        return {"kl_coeff": config["kl_coeff"]}

    def adapt(self, member: Member, statistics: dict[str, float]) -> None:
        """Raise the penalty's weight when the policy moved too far, lower it when hardly at all."""
        kl, target = statistics["mean_kl_loss"], member.config["kl_target"]
        if kl > 2.0 * target:
            member.adaptive["kl_coeff"] *= 1.5
        elif kl < 0.5 * target:
            member.adaptive["kl_coeff"] *= 0.5


SPEC = AlgorithmSpec("PPO", PPOParameters, PPOPack)


class PPOConfig(AlgorithmConfig):
    """The configuration of a PPO agent, step by step; its fields are those of `PPOParameters`."""

    spec = SPEC


class PPO(Algorithm):
    """One PPO agent."""

    spec = SPEC
