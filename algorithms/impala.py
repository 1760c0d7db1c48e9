"""IMPALA (Espeholt et al., arXiv 1802.01561), written for one agent.

Actors with somewhat older weights take fragments; a learner corrects with v-trace for what its own
policy would have done. In a pack (`core/packs/lagged.py`) acting weights are renewed every
`broadcast_interval` updates and batches wait in a queue of `learner_queue_size`, so that the lag is
a number one can set, and runs repeat exactly.
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
from algorithms.core.maths.vtrace import vtrace
from algorithms.core.packs.lagged import LaggedPack
from algorithms.core.specs.turn_parameters import LaggedParameters
from algorithms.core.specs.turn_spec import TurnSpec
from tunerl.trainable import fixed


@dataclass(frozen=True)
class IMPALAParameters(LaggedParameters):
    """What can be tuned. RLlib's names; defaults that learn (its losses are means, not sums)."""

    learner_queue_size: int = fixed(
        3, "batches that wait between actors and learner: an update learns on the one collected "
        "so many turns ago", low=0,
    )  # fmt: skip


class IMPALAPack(LaggedPack):
    """What makes the lagging turns IMPALA: its loss, and which batch it learns on."""

    algorithm = "IMPALA"
    recurrent = True
    statistics = ("total_loss", "policy_loss", "vf_loss", "entropy", "vf_explained_var", "mean_IS")
    vectors = (
        "lambda_",
        "normalize_advantages",
        "vtrace_clip_rho_threshold",
        "vtrace_clip_pg_rho_threshold",
        "vf_loss_coeff",
        "entropy_coeff",
    )

    @property
    def ages(self) -> tuple[int, ...]:
        return (self.shared["learner_queue_size"],)

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Policy gradient + value loss - entropy bonus of one batch `[T, M]`."""
        dist, weights = self.distribution, batch.get("weights")
        dist_inputs, every = evaluated(call, batch)
        values, now = every[:-1], every[:-1].detach()
        logp = dist.logp(dist_inputs, batch["actions"])
        log_ratios = logp.detach() - dist.logp(batch["dist_inputs"], batch["actions"])
        corrected = vtrace(
            log_ratios,
            batch["rewards"],
            now,
            following(every, batch),
            batch["ends"],
            hp["gamma"],
            hp["lambda_"],
            hp["vtrace_clip_rho_threshold"],
            hp["vtrace_clip_pg_rho_threshold"],
        )
        gains = corrected.advantages
        gains = torch.where(hp["normalize_advantages"] > 0, centred(gains, weights), gains)
        policy_loss = -mean(logp * gains, weights)
        vf_loss = squared_error(values, corrected.targets, weights)
        entropy = mean(dist.entropy(dist_inputs), weights)
        total = policy_loss + hp["vf_loss_coeff"] * vf_loss - hp["entropy_coeff"] * entropy
        known = explained(now, corrected.targets, weights)
        ratio = mean(log_ratios.exp(), weights)
        statistics = (total, policy_loss, vf_loss, entropy, known, ratio)
        return total, torch.stack(statistics).detach()


SPEC = TurnSpec("IMPALA", IMPALAParameters, IMPALAPack)


class IMPALAConfig(AlgorithmConfig):
    """The configuration of an IMPALA agent; its fields are those of `IMPALAParameters`."""

    spec = SPEC


class IMPALA(Algorithm):
    """One IMPALA agent."""

    spec = SPEC
