"""Behaviour cloning, written for one agent: make the actions in the data likely.

No reward is looked at. The pack (`core/packs/offline_pack.py`) trains many such agents on the same
data at once; nothing here knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.dists.distributions import DiagGaussian, Distribution
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.imitation import logp_of
from algorithms.core.packs.imitation import ImitationPack
from algorithms.core.specs.offline_parameters import OfflineParameters
from algorithms.core.specs.offline_spec import OfflineSpec
from algorithms.core.specs.parameters import Value, grad_clip_by
from algorithms.keywords import Foreign
from tunerl.trainable import vector

_NO_REWARDS = "BC looks at no rewards; MARWIL does"


@dataclass(frozen=True)
class BCParameters(OfflineParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    FOREIGN = OfflineParameters.FOREIGN | {
        "beta": Foreign((0.0, 0), "BC is MARWIL with beta 0; for another beta use MARWILConfig"),
        "gamma": Foreign((0.99,), _NO_REWARDS),
        "vf_coeff": Foreign((0.0, 1.0), _NO_REWARDS),
        "lambda_": Foreign((1.0,), _NO_REWARDS),
        "use_gae": Foreign((True, False), _NO_REWARDS),
        "moving_average_sqd_adv_norm_start": Foreign((100.0,), _NO_REWARDS),
        "moving_average_sqd_adv_norm_update_rate": Foreign((1e-8,), _NO_REWARDS),
    }

    lr: Value = vector(
        1e-3, "learning rate of Adam", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    adam_epsilon: float = vector(1e-8, "epsilon of Adam", low=0.0, exclusive_low=True)
    grad_clip: float | None = vector(
        None, "largest global norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True,
    )  # fmt: skip
    grad_clip_by: str = grad_clip_by()
    bc_logstd_coeff: float = vector(
        0.0, "weight of a bonus for the deviation of continuous actions", low=0.0
    )


class BCPack(ImitationPack):
    """What makes the loop on offline data BC: its loss."""

    algorithm = "BC"
    statistics = ("total_loss", "policy_loss", "logp_mean", "entropy")
    vectors = ("lr", "adam_epsilon", "grad_clip", "bc_logstd_coeff")

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Mean of -log pi(a|s) over one minibatch `[B]`, less the bonus for deviation."""
        dist_inputs, _ = call(batch["obs"])
        logp = logp_of(self.distribution, dist_inputs, batch)
        policy_loss = -logp.mean()
        total = policy_loss - hp["bc_logstd_coeff"] * log_std(self.distribution, dist_inputs)
        entropy = self.distribution.entropy(dist_inputs).mean()
        return total, torch.stack((total, policy_loss, logp.mean(), entropy)).detach()


def log_std(distribution: Distribution, dist_inputs: Tensor) -> Tensor:
    """Mean log standard deviation of continuous actions; 0 for choices."""
    if not isinstance(distribution, DiagGaussian):
        return torch.zeros(())
    return dist_inputs.chunk(2, -1)[1].mean()


SPEC = OfflineSpec("BC", BCParameters, BCPack)


class BCConfig(AlgorithmConfig):
    """The configuration of a BC agent, step by step; its fields are those of `BCParameters`."""

    spec = SPEC
    beta = 0.0


class BC(Algorithm):
    """One BC agent."""

    spec = SPEC
