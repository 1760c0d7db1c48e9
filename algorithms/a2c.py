"""Advantage Actor-Critic (Mnih et al., arXiv 1602.01783, without the asynchrony), for one agent.

An agent takes a few steps in E environments, then one step on the policy gradient with n-step (or
generalised) advantages, thousands of times. The pack (`core/packs/turns.py`) runs many such agents
at once. Defaults are Stable-Baselines3's, which are those of the published CartPole figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.actor_critic import (
    centred,
    evaluated,
    explained,
    following,
    mean,
    squared_error,
)
from algorithms.core.maths.vtrace import gae
from algorithms.core.packs.turns import TurnPack
from algorithms.core.specs.turn_parameters import ActorCriticParameters
from algorithms.core.specs.turn_spec import TurnSpec
from tunerl.trainable import fixed, vector


@dataclass(frozen=True)
class A2CParameters(ActorCriticParameters):
    """What can be tuned. RLlib's names where it has one."""

    opt_type: str = fixed(
        "rmsprop", "rmsprop_tf: as TensorFlow has it", choices=("rmsprop", "rmsprop_tf", "adam")
    )
    microbatch_size: int | None = fixed(
        None, "samples whose gradient is taken at once, to save memory; the update is on their "
        "mean; None: the whole batch", low=1, optional=True,
    )  # fmt: skip
    use_gae: bool = vector(True, "False: n-step returns, as lambda_ 1")
    lambda_: float = vector(1.0, "GAE's lambda", low=0.0, high=1.0, search={"uniform": [0.8, 1.0]})
    use_critic: bool = vector(True, "False: the value is no baseline, it only ends the returns")
    normalize_advantages: bool = vector(False, "mean 0 and deviation 1 in each batch")


class A2CPack(TurnPack):
    """What makes the turns A2C: its loss, on the batch just collected."""

    algorithm = "A2C"
    recurrent = True
    statistics = ("total_loss", "policy_loss", "vf_loss", "entropy", "vf_explained_var")
    vectors = (
        "lambda_",
        "use_gae",
        "use_critic",
        "normalize_advantages",
        "vf_loss_coeff",
        "entropy_coeff",
    )

    def parts(self) -> int:
        size = self.shared["microbatch_size"]
        return 1 if size is None else microbatches(self.columns, self.horizon, size)

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Policy gradient + value loss - entropy bonus of one batch `[T, M]`."""
        dist, weights = self.distribution, batch.get("weights")
        dist_inputs, every = evaluated(call, batch)
        values, fixed_values = every[:-1], every[:-1].detach()

        lambda_ = torch.where(hp["use_gae"] > 0, hp["lambda_"], 1.0)
        after = following(every, batch)
        advantages = gae(batch["rewards"], fixed_values, after, batch["ends"], hp["gamma"], lambda_)
        targets = advantages + fixed_values
        gains = torch.where(hp["use_critic"] > 0, advantages, targets)
        gains = torch.where(hp["normalize_advantages"] > 0, centred(gains, weights), gains)

        policy_loss = -mean(dist.logp(dist_inputs, batch["actions"]) * gains, weights)
        vf_loss = squared_error(values, targets, weights)
        entropy = mean(dist.entropy(dist_inputs), weights)
        total = policy_loss + hp["vf_loss_coeff"] * vf_loss - hp["entropy_coeff"] * entropy
        known = explained(fixed_values, targets, weights)
        statistics = (total, policy_loss, vf_loss, entropy, known)
        return total, torch.stack(statistics).detach()


def microbatches(columns: int, horizon: int, size: int) -> int:
    """In how many equal parts of at most `size` samples (or of one column) a batch is cut."""
    fewest = -(-columns // max(1, size // horizon))
    return next(parts for parts in range(fewest, columns + 1) if columns % parts == 0)


SPEC = TurnSpec("A2C", A2CParameters, A2CPack)


class A2CConfig(AlgorithmConfig):
    """The configuration of an A2C agent; its fields are those of `A2CParameters`."""

    spec = SPEC


class A2C(Algorithm):
    """One A2C agent."""

    spec = SPEC
