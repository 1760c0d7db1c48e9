"""Implicit Q-learning (Kostrikov et al., arXiv 2110.06169), written for one agent.

Never asks the critics about an action that is not in the data: the value of a state is an upper
expectile of its actions' values, critics aim at it, and the policy imitates the actions in the
data, those more that are better than that. The pack (`core/packs/offline_soft.py`) trains many such
agents on the same data; nothing here knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.imitation import logp_of
from algorithms.core.nets.soft_nets import Nets, SoftActorCritic, layers
from algorithms.core.packs.offline_soft import OfflineActorCriticPack, OfflineSoftSpec
from algorithms.core.specs.offline_parameters import (
    OfflineParameters,
    normalize_returns,
    observation_filter,
)
from algorithms.core.specs.parameters import Value
from algorithms.core.specs.soft_spec import RATE
from tunerl.trainable import fixed, vector

LOG_STD = (-5.0, 2.0)


@dataclass(frozen=True)
class IQLParameters(OfflineParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    observation_filter: str = observation_filter()
    twin_q: bool = fixed(True, "two critics, of which the lesser counts")
    gamma: float = vector(
        0.99, "discount factor", low=0.0, high=1.0, search={"uniform": [0.9, 0.999]}
    )
    actor_lr: Value = vector(3e-4, "learning rate of the policy", **RATE)
    critic_lr: Value = vector(1e-3, "learning rate of the critics", **RATE)
    value_lr: Value = vector(1e-3, "learning rate of the states' values", **RATE)
    lr: Value | None = vector(
        None, "all learning rates, where they are not given", low=0.0, schedule=True, optional=True
    )
    normalize_returns: bool = normalize_returns()
    adam_epsilon: float = vector(1e-8, "epsilon of Adam", low=0.0, exclusive_low=True)
    grad_clip: float | None = vector(
        None, "largest norm of each network's gradient; None: no limit", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
    tau: float = vector(
        0.02, "share of the way that target critics go in one update", low=0.0, high=1.0,
        search={"loguniform": [1e-3, 0.1]},
    )  # fmt: skip
    expectile: float = vector(
        0.8, "which expectile of the actions' values is the state's; 0.5: their mean", low=0.0,
        high=1.0, exclusive_low=True, search={"uniform": [0.5, 0.95]},
    )  # fmt: skip
    beta: float = vector(
        3.0, "how much better actions are preferred; 0: not at all (BC)", low=0.0,
        search={"uniform": [0.5, 10.0]},
    )  # fmt: skip
    normalize_advantages: bool = vector(
        True, "measure advantages by their deviation in the minibatch, whatever rewards' scale is"
    )
    max_advantage_weight: float = vector(100.0, "largest weight of one action", low=1.0)


class ImplicitActorCritic(SoftActorCritic):
    """With a value of states."""

    def __init__(self, inputs: Any, distribution: Any, model: Any, copies: int) -> None:
        super().__init__(inputs, distribution, model, copies)
        del self.log_alpha
        self.value = layers(inputs, model, 1, acts=False)

    def policy(self, obs: Tensor) -> Tensor:
        found = super().policy(obs)
        if self.discrete:
            return found
        mean, log_std = found.chunk(2, -1)
        return torch.cat([mean, log_std.clamp(*LOG_STD)], -1)

    def state_value(self, obs: Tensor) -> Tensor:
        """`[B]` of observations."""
        found: Tensor = self.value(self.seen(obs))
        return found.squeeze(-1)

    forward = policy


class IQLPack(OfflineActorCriticPack):
    """What makes the loop on offline data IQL."""

    algorithm = "IQL"
    rates = {"actor": "actor_lr", "critics": "critic_lr", "value": "value_lr"}  # noqa: RUF012
    vectors = ("expectile", "beta", "normalize_advantages", "max_advantage_weight")
    statistics = (
        "policy_loss",
        "qf_loss",
        "value_loss",
        "logps_mean",
        "advantage_weight_mean",
        "vf_preds_mean",
        "qf_mean",
        "td_error_mean",
    )

    def make_network(self) -> nn.Module:
        copies = 2 if self.shared["twin_q"] else 1
        return ImplicitActorCritic(self.inputs, self.distribution, self.shared["model"], copies)

    def loss(self, nets: Nets, batch: Batch, hp: Batch) -> tuple[Tensor, Batch]:
        """The expectile loss of the value, the critics' and the weighted imitation."""
        chosen = nets.chosen(nets.target_values, batch).amin(0).detach()
        value = nets.call("state_value", batch["obs"])
        advantage = chosen - value
        side = torch.where(advantage > 0, hp["expectile"], 1 - hp["expectile"])
        value_loss = (side * advantage * advantage).mean()

        future = nets.call("state_value", batch["next_obs"]).detach()
        q = nets.chosen(nets.values, batch)
        errors = q - (batch["rewards"] + batch["discounts"] * future)
        qf_loss = (errors * errors).mean(-1).sum()

        better = advantage.detach()
        off = better - better.mean()
        scale = torch.where(hp["normalize_advantages"] > 0, (off * off).mean().sqrt() + 1e-8, 1.0)
        weight = torch.minimum((hp["beta"] * better / scale).exp(), hp["max_advantage_weight"])
        logp = logp_of(self.distribution, nets.policy(batch["obs"]), batch)
        policy_loss = -(weight * logp).mean()

        found = (policy_loss, qf_loss, value_loss, logp.mean(), weight.mean(), value.mean())
        more = (q.mean(), errors.abs().mean())
        return policy_loss + qf_loss + value_loss, {
            "statistics": torch.stack((*found, *more)).detach()
        }


SPEC = OfflineSoftSpec("IQL", IQLParameters, IQLPack)


class IQLConfig(AlgorithmConfig):
    """The configuration of an IQL agent, step by step; its fields are those of `IQLParameters`."""

    spec = SPEC


class IQL(Algorithm):
    """One IQL agent."""

    spec = SPEC
