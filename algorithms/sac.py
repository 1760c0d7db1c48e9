"""Soft Actor-Critic (Haarnoja et al., arXiv 1801.01290 and 1812.05905), written for one agent.

A policy is trained to act well and at random, twin critics (the lesser counts) to value that, and a
temperature to hold the policy's entropy at a target. Discrete actions: expectations over all of
them (Christodoulou, arXiv 1910.07207). The pack (`core/packs/soft_pack.py`) runs many such agents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.dists.distributions import Categorical, Distribution
from algorithms.core.dists.squashed import SquashedGaussian
from algorithms.core.lifting.stack import Batch
from algorithms.core.nets.soft_nets import Nets
from algorithms.core.packs.soft_pack import SoftPack
from algorithms.core.specs.parameters import OffPolicyParameters, Value
from algorithms.core.specs.soft_spec import RATE, SoftSpec, problems
from tunerl.errors import Problem
from tunerl.trainable import fixed, vector
from tunerl.trial import Config


@dataclass(frozen=True)
class SACParameters(OffPolicyParameters):
    """What can be tuned. RLlib's names; defaults that learn (those of SB3 and the paper)."""

    normalize_actions: bool = fixed(
        True, "the policy acts in [-1, 1], stretched to the bounds; entropies are those in there"
    )
    clip_actions: bool = fixed(
        False, "actions lie within the bounds by themselves", choices=(False,)
    )
    twin_q: bool = fixed(True, "two critics, of which the lesser counts")
    actor_lr: Value = vector(3e-4, "learning rate of the policy", **RATE)
    critic_lr: Value = vector(3e-4, "learning rate of the critics", **RATE)
    alpha_lr: Value = vector(
        3e-4, "learning rate of the temperature; 0: it stays at initial_alpha", **RATE
    )
    lr: Value | None = vector(
        None, "all three learning rates, where they are not given", low=0.0, schedule=True,
        optional=True,
    )  # fmt: skip
    initial_alpha: float = vector(
        1.0, "temperature to begin with", low=0.0, exclusive_low=True,
        search={"loguniform": [1e-2, 1.0]},
    )  # fmt: skip
    target_entropy: Any = vector(
        "auto", "entropy to hold, in nats; 'auto': -(size of an action) for continuous ones, else "
        "target_entropy_ratio of what there can be",
    )  # fmt: skip
    target_entropy_ratio: float = vector(
        0.3, "of the entropy of choosing at random; for choices, with target_entropy 'auto'",
        low=0.0, high=1.0, search={"uniform": [0.05, 0.9]},
    )  # fmt: skip
    td_error_loss_fn: str = fixed("mse", "loss of the critics", choices=("mse", "huber"))
    train_batch_size: int = fixed(
        256, "transitions per update", low=2, search={"choice": [64, 128, 256, 512]}
    )
    tau: float = vector(
        0.005, "share of the way that target critics go in one update", low=0.0, high=1.0,
        search={"loguniform": [1e-3, 0.1]},
    )  # fmt: skip
    n_step: Any = vector(
        None, "steps of reward before bootstrapping; [lo, hi]: drawn for each sample, both "
        "included; None: 1, and [2, 5] for choices", low=1, optional=True,
        search={"randint": [1, 6]},
    )  # fmt: skip
    training_intensity: float | None = vector(
        None, "transitions learned from per environment step; None: one update a step", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
    num_steps_sampled_before_learning_starts: int = vector(
        1000, "transitions of random actions, before it learns", low=0
    )
    replay_buffer_capacity: int = fixed(1_000_000, "transitions that an agent remembers", low=1)
    min_sample_timesteps_per_iteration: int = fixed(
        500, "environment steps of one agent per iteration", low=1
    )

    @staticmethod
    def problems(config: Config) -> list[Problem]:
        return OffPolicyParameters.problems(config) + problems(config)


STATISTICS = (
    "policy_loss",
    "qf_loss",
    "qf_twin_loss",
    "alpha_loss",
    "alpha_value",
    "log_alpha_value",
    "logps_mean",
    "qf_mean",
    "qf_max",
    "qf_min",
    "td_error_mean",
)


def losses(
    dist: Distribution, nets: Nets, batch: Batch, hp: Batch, loss_fn: str = "mse"
) -> tuple[Tensor, Batch]:
    """The sum of the critics', the policy's and the temperature's losses on a batch `[B]`.

    Each has its own parameters: a gradient of the sum is the three gradients side by side.
    """
    log_alpha = nets.log_alpha
    alpha = log_alpha.detach().exp()
    future = (soft_value if dist.discrete else sampled_value)(dist, nets, batch, alpha)
    targets = batch["rewards"] + batch["discounts"] * future
    q = nets.chosen(nets.values, batch)
    each = regression(q, targets.detach(), batch.get("weights"), loss_fn)

    improve = expected_improvement if dist.discrete else sampled_improvement
    policy_loss, logp = improve(dist, nets, batch, alpha)
    alpha_loss = -(log_alpha * (logp.detach() + hp["target_entropy"])).mean()

    errors = (q - targets).abs().mean(0)
    values = (policy_loss, each[0], each[-1], alpha_loss, alpha, log_alpha, logp.mean())
    found = (*values, q.mean(), q.amax(), q.amin(), errors.mean())
    results = {"statistics": torch.stack(found).detach(), "td_errors": errors.detach()}
    return each.sum() + policy_loss + alpha_loss, results


def regression(q: Tensor, targets: Tensor, weights: Tensor | None, loss_fn: str) -> Tensor:
    """Each critic's loss `[copies]` on values `[copies, B]`."""
    if loss_fn == "huber":
        error = huber_loss(q, targets.expand_as(q), reduction="none")
    else:
        error = (q - targets) ** 2
    return (error if weights is None else error * weights).mean(-1)


def sampled_value(dist: Distribution, nets: Nets, batch: Batch, alpha: Tensor) -> Tensor:
    """Soft value `[B]` of what came next, of one action of the policy's."""
    assert isinstance(dist, SquashedGaussian)
    action, logp = dist.sample_logp(nets.policy(batch["next_obs"]), batch["next_noise"])
    return (nets.target_values(batch["next_obs"], action).amin(0) - alpha * logp).detach()


def soft_value(dist: Distribution, nets: Nets, batch: Batch, alpha: Tensor) -> Tensor:
    """Soft value `[B]` of what came next, expected over all choices."""
    logp = torch.log_softmax(nets.policy(batch["next_obs"]), -1)
    q = nets.target_values(batch["next_obs"]).amin(0)
    return (logp.exp() * (q - alpha * logp)).sum(-1).detach()


def sampled_improvement(
    dist: Distribution, nets: Nets, batch: Batch, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """The policy's loss, and the log-density `[B]` of the actions it would take now."""
    assert isinstance(dist, SquashedGaussian)
    action, logp = dist.sample_logp(nets.policy(batch["obs"]), batch["noise"])
    return (alpha * logp - nets.fixed_values(batch["obs"], action).amin(0)).mean(), logp


def expected_improvement(
    dist: Distribution, nets: Nets, batch: Batch, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """The policy's loss, and its negative entropy `[B]`."""
    assert isinstance(dist, Categorical)
    logp = torch.log_softmax(nets.policy(batch["obs"]), -1)
    q = nets.fixed_values(batch["obs"]).amin(0)
    loss = (logp.exp() * (alpha * logp - q)).sum(-1).mean()
    return loss, (logp.exp() * logp).sum(-1)


class SACPack(SoftPack):
    """What makes the off-policy loop SAC: its losses."""

    algorithm = "SAC"
    statistics = STATISTICS

    def loss(self, nets: Nets, batch: Batch, hp: Batch) -> tuple[Tensor, Batch]:
        """One agent's losses on one minibatch."""
        return losses(self.distribution, nets, batch, hp, self.shared["td_error_loss_fn"])


SPEC = SoftSpec("SAC", SACParameters, SACPack)


class SACConfig(AlgorithmConfig):
    """The configuration of a SAC agent, step by step; its fields are those of `SACParameters`."""

    spec = SPEC


class SAC(Algorithm):
    """One SAC agent."""

    spec = SPEC
