"""A pack of soft actor-critics: how they act before and while they learn, and how they learn."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.core.collecting.acting import Acting
from algorithms.core.dists.custom_dists import usual
from algorithms.core.dists.distributions import Distribution
from algorithms.core.dists.squashed import SquashedGaussian
from algorithms.core.lifting.descent import Descent
from algorithms.core.lifting.stack import Batch, caller
from algorithms.core.nets.soft_nets import Nets, SoftActorCritic, segments
from algorithms.core.packs.member import Member
from algorithms.core.packs.off_policy import PRIORITIES, OffPolicyPack
from tunerl.trainable import State
from tunerl.trial import Config

RATES = {"actor": "actor_lr", "critics": "critic_lr", "log_alpha": "alpha_lr"}
SEVERAL = [2, 5]  # n_step of choices, where nothing is said
Array = NDArray[Any]


def squashed(space: Any, normalize: bool) -> Distribution:
    """The distribution over a space's actions: in [-1, 1], or in the space's own units."""
    if not isinstance(space, spaces.Box):
        return usual(space)
    size = int(np.prod(space.shape))
    if normalize:
        return SquashedGaussian((-1.0,) * size, (1.0,) * size)
    low, high = (tuple(np.ravel(bound).astype(float).tolist()) for bound in (space.low, space.high))
    return SquashedGaussian(low, high)


def target_entropy(config: Mapping[str, Any], distribution: Distribution) -> float:
    """The entropy that a configuration asks for, in nats."""
    given = config["target_entropy"]
    if given != "auto":
        return float(given)
    if isinstance(distribution, SquashedGaussian):
        return -float(distribution.size)
    return float(config["target_entropy_ratio"]) * math.log(distribution.num_inputs)


class SoftPack(OffPolicyPack):
    """A subclass writes the `loss` of one agent, and names what it tells (`statistics`)."""

    vectors = (*RATES.values(), "adam_epsilon", "grad_clip", "gamma", "tau")

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        norms = tuple(f"gradients_{part}_global_norm" for part in RATES)
        self.statistics = (*self.statistics, *norms)
        super().__init__(config, resolve, key)
        self.network_policy = caller(self.network, "policy")
        self.network_blind = caller(self.network, "blind")
        self.acting = Acting(self.layout, self.act, kind=self.kind("act"))
        self.descent = Descent(
            self.network,
            self.loss,
            rates=RATES,
            followed="critics",
            batch_size=self.batch_size,
            compile=bool(self.shared["torch_compile_learner"]),
            kind=self.kind("learn"),
            device=self.device,
        )

    @abstractmethod
    def loss(self, nets: Nets, batch: Batch, hp: Batch) -> tuple[Tensor, Batch]:
        """One agent's loss on one minibatch; `statistics` `[S]` and `td_errors` `[B]`."""

    def make_distribution(self, space: Any, model: Mapping[str, Any]) -> Distribution:
        return squashed(space, self.shared["normalize_actions"])

    def make_network(self) -> nn.Module:
        copies = 2 if self.shared["twin_q"] else 1
        return SoftActorCritic(self.inputs, self.distribution, self.shared["model"], copies)

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        return {"target": parameters[segments(self.layout)["critics"]].clone()}

    def on_enter(self, row: int, state: State | None) -> None:
        super().on_enter(row, state)
        if state is None:
            alpha = self.members[row].config["initial_alpha"]
            self.flat[row, self.descent.segments["log_alpha"]] = math.log(alpha)

    def n_step_of(self, member: Member) -> Any:
        given = member.config["n_step"]
        return (SEVERAL if self.distribution.discrete else 1) if given is None else given

    # -- acting ---------------------------------------------------------------------------------

    def acting_inputs(self, member: Member, steps: NDArray[np.int64]) -> dict[str, Array]:
        shape, generator = (len(steps), self.num_envs), member.generator
        starts = member.config["num_steps_sampled_before_learning_starts"]
        random = generator.random((*shape, *self.distribution.action_shape), dtype=np.float32)
        return {
            "noise": self.distribution.noise(generator, shape),
            "random": random,
            "warming_up": (steps < starts).astype(np.float32),
        }

    def act(self, parameters: Batch, obs: Tensor, inputs: Batch) -> Tensor:
        """Any action until the member learns, then what the policy draws."""
        dist, u = self.distribution, inputs["random"]
        action = dist.sample(self.network_policy(parameters, obs), inputs["noise"])
        if isinstance(dist, SquashedGaussian):
            low, high = torch.tensor(dist.low), torch.tensor(dist.high)
            blind = low + (high - low) * u
        else:
            blind = dist.sample(self.network_blind(parameters, obs), u[..., None])
        return torch.where(inputs["warming_up"] > 0, blind, action)

    # -- learning -------------------------------------------------------------------------------

    def update_inputs(self, member: Member, count: int) -> dict[str, Array]:
        if self.distribution.discrete:
            return {}
        shape = (count, 2, self.batch_size)
        noise = self.distribution.noise(member.generator, shape)
        return {"noise": noise[:, 0], "next_noise": noise[:, 1]}

    def further_columns(self, member: Member) -> Mapping[str, float]:
        found = {"target_entropy": target_entropy(member.config, self.distribution)}
        if self.shared["prioritized_replay"]:
            found |= {name: member.hyperparameter(name) for name in PRIORITIES}
        return found

    def stepped(self, rows: NDArray[np.int64], batch: Batch) -> Batch:
        return self.descent(self._tensors(), rows.tolist(), batch, self.columns)

    def move_targets(self, rows: NDArray[np.int64]) -> None:
        self.descent.follow(self._tensors(), rows.tolist(), self.columns["tau"])
