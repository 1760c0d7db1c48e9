"""The plain policy gradient (REINFORCE, Williams 1992, with rewards-to-go), written for one agent.

No value function: a batch of steps, the discounted rewards that followed each of them in its
episode, one step on the mean of logp times that. Steps whose episode did not end within the batch
do not count, since what followed them is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.actor_critic import centred, mean, remembered, timewise
from algorithms.core.maths.returns import rewards_to_go
from algorithms.core.packs.turns import TurnPack
from algorithms.core.specs.parameters import Value
from algorithms.core.specs.turn_parameters import TurnParameters
from algorithms.core.specs.turn_spec import TurnSpec
from tunerl.trainable import fixed, vector


@dataclass(frozen=True)
class VPGParameters(TurnParameters):
    """What can be tuned."""

    rollout_fragment_length: int = fixed(
        512, "steps of each sub-environment in a batch; only episodes that end in it count", low=1
    )
    num_envs_per_env_runner: int = fixed(4, "sub-environments of one agent", low=1)
    lr: Value = vector(
        5e-3, "learning rate", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-1]},
    )  # fmt: skip
    normalize_returns: bool = vector(
        True, "mean 0 and deviation 1 in each batch: the mean is the baseline"
    )


class VPGPack(TurnPack):
    """What makes the turns VPG: rewards-to-go, and their loss."""

    algorithm = "VPG"
    recurrent = True
    statistics = ("total_loss", "policy_loss", "entropy")
    vectors = ("normalize_returns", "entropy_coeff")

    def learn(self, batch: Batch) -> None:
        gamma = self.hp["gamma"].numpy()[:, None]
        rewards, ends = (batch[name].movedim(1, 0).numpy() for name in ("rewards", "ends"))
        returns, known = rewards_to_go(rewards, ends, gamma)
        weights = known * np.float32(1.0)
        if "weights" in batch:
            weights = weights * batch["weights"].movedim(1, 0).numpy()
        fields = {"returns": returns, "weights": weights}
        arrays = {
            name: torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, 0, 1)))
            for name, x in fields.items()
        }
        seen = {"obs": batch["obs"][:, :-1].contiguous(), "actions": batch["actions"]}
        seen |= {name: batch[name] for name in ("states", "starts") if name in batch}
        rows = np.flatnonzero(arrays["weights"].flatten(1).any(1).numpy()).tolist()
        if rows:
            self.train(rows, {name: x[rows] for name, x in (seen | arrays).items()})

    def learn_once(self, batch: Batch, known: Tensor) -> None:
        self.learn(batch | {"weights": known})

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Policy gradient - entropy bonus of one batch `[T, M]`."""
        returns, weights = batch["returns"], batch["weights"]
        inputs, _ = timewise(call, batch["obs"], *remembered(batch))
        gains = torch.where(hp["normalize_returns"] > 0, centred(returns, weights), returns)
        policy_loss = -mean(self.distribution.logp(inputs, batch["actions"]) * gains, weights)
        entropy = mean(self.distribution.entropy(inputs), weights)
        total = policy_loss - hp["entropy_coeff"] * entropy
        return total, torch.stack((total, policy_loss, entropy)).detach()


SPEC = TurnSpec("VPG", VPGParameters, VPGPack)


class VPGConfig(AlgorithmConfig):
    """The configuration of a VPG agent; its fields are those of `VPGParameters`."""

    spec = SPEC


class VPG(Algorithm):
    """One VPG agent."""

    spec = SPEC
