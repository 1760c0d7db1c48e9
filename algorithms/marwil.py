"""Monotonic Advantage Re-Weighted Imitation Learning (Wang et al., NeurIPS 2018), for one agent.

Imitates the actions in the data, those more that turned out better than expected: each is weighed
by ``exp(beta * advantage / c)``, with a running norm c of the advantages. With beta 0 it is BC. The
pack (`core/packs/offline_pack.py`) trains many such agents on the same data; nothing here knows of
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.bc import BCParameters, log_std
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch, LiftedForward
from algorithms.core.maths.episode_returns import episode_returns, episode_targets
from algorithms.core.maths.imitation import logp_of
from algorithms.core.packs.imitation import ImitationPack
from algorithms.core.specs.offline_parameters import OfflineParameters, normalize_returns
from algorithms.core.specs.offline_spec import OfflineSpec
from tunerl.trainable import vector
from tunerl.trial import Config

NORM = "moving_average_sqd_adv_norm"
BLOCK = 4096  # transitions whose values are computed in one go


@dataclass(frozen=True)
class MARWILParameters(BCParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    FOREIGN = OfflineParameters.FOREIGN

    beta: float = vector(
        1.0, "how much better actions are preferred; 0: not at all (BC)", low=0.0,
        search={"uniform": [0.0, 2.0]},
    )  # fmt: skip
    gamma: float = vector(
        0.99, "discount factor", low=0.0, high=1.0, search={"uniform": [0.9, 0.999]}
    )
    use_gae: bool = vector(True, "False: plain returns, as lambda_ 1")
    lambda_: float = vector(
        0.9, "lambda of the returns; 1: all rewards to the end, right but noisy", low=0.0, high=1.0,
        search={"uniform": [0.8, 1.0]},
    )  # fmt: skip
    vf_coeff: float = vector(1.0, "weight of the value loss", low=0.0)
    normalize_returns: bool = normalize_returns()
    moving_average_sqd_adv_norm_start: float = vector(
        1.0, "c^2 at the start, in squared units of the value", low=0.0, exclusive_low=True
    )
    moving_average_sqd_adv_norm_update_rate: float = vector(
        0.01, "how fast c^2 follows the mean squared advantage", low=0.0, high=1.0
    )
    max_advantage_weight: float = vector(
        20.0, "largest weight of one action", low=1.0, search={"loguniform": [5.0, 100.0]}
    )


class MARWILPack(ImitationPack):
    """What makes the loop on offline data MARWIL: its loss, returns, and the running norm."""

    algorithm = "MARWIL"
    needed = ("obs", "actions", "rewards", "terminateds", "new_obs")
    statistics = (
        "total_loss",
        "policy_loss",
        "vf_loss",
        "logp_mean",
        "entropy",
        "advantage_weight_mean",
        NORM,
    )
    vectors = (
        "lr",
        "adam_epsilon",
        "grad_clip",
        "bc_logstd_coeff",
        "beta",
        "vf_coeff",
        NORM,
        f"{NORM}_update_rate",
        "max_advantage_weight",
    )

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.value = LiftedForward(self.layout, self.half("value", 1), self.kind("value"))

    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """Weighted -log pi(a|s) + value loss of one minibatch `[B]`, less the deviation's bonus."""
        dist_inputs, values = call(batch["obs"])
        advantages = batch["targets"] - values
        square = (advantages**2).mean()
        norm = hp[NORM] + hp[f"{NORM}_update_rate"] * (square.detach() - hp[NORM])
        exponent = hp["beta"] * advantages.detach() / (norm.sqrt() + 1e-8)
        weights = torch.minimum(exponent, hp["max_advantage_weight"].log()).exp()

        logp = logp_of(self.distribution, dist_inputs, batch)
        policy_loss = -(weights * logp).mean()
        vf_loss = 0.5 * square * (hp["beta"] > 0)  # without beta it is BC, also in shared layers
        total = policy_loss + hp["vf_coeff"] * vf_loss
        total = total - hp["bc_logstd_coeff"] * log_std(self.distribution, dist_inputs)

        entropy = self.distribution.entropy(dist_inputs).mean()
        found = (total, policy_loss, vf_loss, logp.mean(), entropy, weights.mean(), norm)
        return total, torch.stack(found).detach()

    # -- the running norm ---------------------------------------------------------------------

    def initial_adaptive(self, config: Config) -> dict[str, float]:
        return {NORM: config[f"{NORM}_start"]}

    def after_update(self, hp: Batch, statistics: Tensor) -> None:
        hp[NORM] = statistics[:, self.statistics.index(NORM)]

    def after_updates(self, chunk: list[int], hp: Batch) -> None:
        for row, norm in zip(chunk, hp[NORM].tolist(), strict=False):
            self.members[row].adaptive[NORM] = norm

    # -- returns ------------------------------------------------------------------------------

    def prepare(self, rows: list[int]) -> Batch:
        """Value targets `[R, N]`, with the values as they are at the start of the iteration."""
        own = {row: self._targets(row) for row in dict.fromkeys(rows)}
        return {"targets": torch.from_numpy(np.stack([own[row] for row in rows]))}

    def _targets(self, row: int) -> NDArray[np.float32]:
        """One member's targets `[N]`, in units of its value network."""
        config, data = self.members[row].config, self.data
        gamma = np.array([config["gamma"]])
        lambda_ = config["lambda_"] if config["use_gae"] else 1.0
        mean, std = self.scale(config)
        if lambda_ == 1.0:
            following = self._values(row, data.last) * std + mean
            following[data.terminateds[data.last]] = 0.0
            found = episode_returns(data.rewards, following[None], data.last, gamma)
        else:
            every = np.ones(len(data), np.bool_)
            values = self._values(row, every, "obs") * std + mean
            following = self._values(row, every) * std + mean
            following[data.terminateds] = 0.0
            found = episode_targets(
                data.rewards, values[None], following[None], data.last, gamma, np.array([lambda_])
            )
        targets: NDArray[np.float32] = (found[0] - np.float32(mean)) / np.float32(std)
        return targets

    def _values(
        self, row: int, which: NDArray[np.bool_], name: str = "new_obs"
    ) -> NDArray[np.float32]:
        """What a member's network says of the marked transitions' observations, `[M]`."""
        marked = self.columns[name][torch.from_numpy(which)][None]
        found = []
        with torch.inference_mode():
            value = self.value.bind(self.flat[row : row + 1])
            for start in range(0, marked.shape[1], BLOCK):
                part = marked[:, start : start + BLOCK]
                obs = self.normalized([row], part) if self.filter else part
                found.append(value(obs.contiguous())[0].numpy())
        return np.concatenate(found)


SPEC = OfflineSpec("MARWIL", MARWILParameters, MARWILPack)


class MARWILConfig(AlgorithmConfig):
    """The configuration of a MARWIL agent, step by step; its fields: `MARWILParameters`."""

    spec = SPEC


class MARWIL(Algorithm):
    """One MARWIL agent."""

    spec = SPEC
