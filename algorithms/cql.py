"""Conservative Q-learning (Kumar et al., arXiv 2006.04779), written for one agent.

SAC on a fixed set of data, with critics that are pushed down where actions are not in the data: the
log-sum-exp of their values over all actions is lowered, the value of the data's is raised. The pack
(`core/packs/offline_soft.py`) trains many such agents on the same data; nothing here knows of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.dists.distributions import Distribution
from algorithms.core.dists.squashed import SquashedGaussian
from algorithms.core.lifting.stack import Batch
from algorithms.core.nets.soft_nets import Nets, SoftActorCritic
from algorithms.core.packs.member import Member
from algorithms.core.packs.offline_soft import OfflineActorCriticPack, OfflineSoftSpec
from algorithms.core.packs.soft_pack import squashed, target_entropy
from algorithms.core.specs.offline_parameters import OfflineParameters, normalize_returns
from algorithms.core.specs.parameters import Value
from algorithms.core.specs.soft_spec import RATE
from tunerl.trainable import fixed, vector

LARGEST = 1e6  # alpha' of the Lagrangian


@dataclass(frozen=True)
class CQLParameters(OfflineParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    clip_actions: bool = fixed(
        False, "actions lie within the bounds by themselves", choices=(False,)
    )
    twin_q: bool = fixed(True, "two critics, of which the lesser counts")
    gamma: float = vector(
        0.99, "discount factor", low=0.0, high=1.0, search={"uniform": [0.9, 0.999]}
    )
    actor_lr: Value = vector(3e-4, "learning rate of the policy", **RATE)
    critic_lr: Value = vector(1e-3, "learning rate of the critics, and of alpha'", **RATE)
    alpha_lr: Value = vector(3e-4, "learning rate of the temperature", **RATE)
    lr: Value | None = vector(
        None, "all learning rates, where they are not given", low=0.0, schedule=True, optional=True
    )
    normalize_returns: bool = normalize_returns()
    adam_epsilon: float = vector(1e-8, "epsilon of Adam", low=0.0, exclusive_low=True)
    grad_clip: float | None = vector(
        None, "largest norm of each network's gradient; None: no limit", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
    initial_alpha: float = vector(0.1, "temperature to begin with", low=0.0, exclusive_low=True)
    target_entropy: Any = vector("auto", "entropy to hold, in nats; 'auto': -(size of an action)")
    tau: float = vector(
        0.02, "share of the way that target critics go in one update", low=0.0, high=1.0,
        search={"loguniform": [1e-3, 0.1]},
    )  # fmt: skip
    bc_iters: int = vector(
        500, "updates in which the policy imitates the data, before it climbs the critics", low=0
    )
    temperature: float = vector(1.0, "of the log-sum-exp", low=0.0, exclusive_low=True)
    num_actions: int = fixed(10, "actions of each of the three kinds that are pushed down", low=1)
    min_q_weight: float = vector(
        1.0,
        "weight of the conservative term, in units of the values",
        low=0.0,
        search={"loguniform": [0.1, 20.0]},
    )
    lagrangian: bool = fixed(False, "a second weight, alpha', adapts to lagrangian_thresh")
    lagrangian_thresh: float = vector(
        5.0, "how far above the data's values the log-sum-exp may be (times min_q_weight)"
    )
    deterministic_backup: bool = vector(True, "targets without the policy's entropy")


class ConservativeActorCritic(SoftActorCritic):
    """With the logarithm of the Lagrangian's weight."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.log_alpha_prime = nn.Parameter(torch.zeros(1))


class CQLPack(OfflineActorCriticPack):
    """What makes the loop on offline data CQL."""

    algorithm = "CQL"
    distribution: SquashedGaussian
    rates = {  # noqa: RUF012
        "actor": "actor_lr",
        "critics": "critic_lr",
        "log_alpha": "alpha_lr",
        "log_alpha_prime": "critic_lr",
    }
    vectors = ("temperature", "min_q_weight", "lagrangian_thresh", "deterministic_backup")
    statistics = (
        "policy_loss",
        "qf_loss",
        "cql_loss",
        "alpha_loss",
        "alpha_value",
        "alpha_prime_loss",
        "alpha_prime_value",
        "logps_mean",
        "qf_mean",
        "qf_max",
        "qf_min",
        "td_error_mean",
    )

    def make_distribution(self, space: Any, model: Any) -> Distribution:
        return squashed(space, self.shared["normalize_actions"])

    def make_network(self) -> nn.Module:
        copies = 2 if self.shared["twin_q"] else 1
        return ConservativeActorCritic(self.inputs, self.distribution, self.shared["model"], copies)

    def on_enter(self, row: int, state: Any) -> None:
        super().on_enter(row, state)
        if state is None:
            alpha = self.members[row].config["initial_alpha"]
            self.flat[row, self.descent.segments["log_alpha"]] = math.log(alpha)

    def dice(self, member: Member) -> dict[str, NDArray[Any]]:
        each = (self.shared["num_actions"], self.batch_size)
        noise = self.distribution.noise(member.generator, (2, self.batch_size))
        many = self.distribution.noise(member.generator, (2, *each))
        uniform = member.generator.random((*each, self.distribution.size), dtype=np.float32)
        names = ("noise", "next_noise", "many_noise", "many_next_noise")
        return dict(zip(names, (*noise, *many), strict=True)) | {"uniform": uniform}

    def further(self, member: Member, update: int) -> dict[str, float]:
        imitates = float(update < member.config["bc_iters"])
        return {
            "imitates": imitates,
            "target_entropy": target_entropy(member.config, self.distribution),
        }

    def loss(self, nets: Nets, batch: Batch, hp: Batch) -> tuple[Tensor, Batch]:
        """SAC's three losses, the conservative term, and the loss of its second weight."""
        dist, log_alpha = self.distribution, nets.log_alpha
        alpha = log_alpha.detach().exp()
        inputs = nets.policy(batch["obs"])
        following = nets.policy(batch["next_obs"]).detach()

        next_action, next_logp = dist.sample_logp(following, batch["next_noise"])
        future = nets.target_values(batch["next_obs"], next_action).amin(0)
        entropy = torch.where(hp["deterministic_backup"] > 0, 0.0, -alpha * next_logp)
        targets = (batch["rewards"] + batch["discounts"] * (future + entropy)).detach()
        q = nets.values(batch["obs"], batch["actions"])
        errors = q - targets
        qf_loss = (errors * errors).mean(-1).sum()

        every = self.sampled_values(nets, batch, inputs.detach(), following)
        temperature = hp["temperature"]
        above = temperature * torch.logsumexp(every / temperature, 1)
        gap = hp["min_q_weight"] * (above - q).mean(-1)
        prime = nets.parameters["log_alpha_prime"][0].exp().clamp(max=LARGEST)
        if self.shared["lagrangian"]:
            cql_loss = (prime.detach() * (gap - hp["lagrangian_thresh"])).sum()
            prime_loss = -(prime * (gap.detach() - hp["lagrangian_thresh"])).mean()
        else:
            cql_loss, prime_loss = gap.sum(), 0.0 * prime

        action, logp = dist.sample_logp(inputs, batch["noise"])
        worth = torch.where(
            hp["imitates"] > 0,
            dist.logp(inputs, batch["actions"]),
            nets.fixed_values(batch["obs"], action).amin(0),
        )
        policy_loss = (alpha * logp - worth).mean()
        alpha_loss = -(log_alpha * (logp.detach() + hp["target_entropy"])).mean()

        values = (policy_loss, qf_loss, cql_loss, alpha_loss, alpha, prime_loss, prime)
        found = (*values, logp.mean(), q.mean(), q.amax(), q.amin(), errors.abs().mean())
        total = policy_loss + qf_loss + cql_loss + alpha_loss + prime_loss
        return total, {"statistics": torch.stack(found).detach()}

    def sampled_values(self, nets: Nets, batch: Batch, inputs: Tensor, following: Tensor) -> Tensor:
        """The critics' values less the log-density, `[copies, 3 N, B]`, of N actions that are
        uniform within the true bounds, N of the policy's here and N of it in the next state."""
        dist, count = self.distribution, self.shared["num_actions"]
        low, high = torch.tensor(dist.low), torch.tensor(dist.high)
        here, logp = dist.sample_logp(inputs.expand(count, *inputs.shape), batch["many_noise"])
        there, next_logp = dist.sample_logp(
            following.expand(count, *following.shape), batch["many_next_noise"]
        )
        actions = torch.cat([low + (high - low) * batch["uniform"], here, there])
        density = torch.cat([torch.full_like(logp, -dist.log_volume), logp, next_logp])
        obs = batch["obs"].expand(3 * count, *batch["obs"].shape)
        q = nets.values(obs.flatten(0, 1), actions.flatten(0, 1))
        return q.view(len(q), *density.shape) - density


SPEC = OfflineSoftSpec(
    "CQL", CQLParameters, CQLPack, advice="CQL is for continuous actions; for choices use "
    "MARWIL, IQL or BC on data, DQN or SAC in an environment",
)  # fmt: skip


class CQLConfig(AlgorithmConfig):
    """The configuration of a CQL agent, step by step; its fields are those of `CQLParameters`."""

    spec = SPEC


class CQL(Algorithm):
    """One CQL agent."""

    spec = SPEC
