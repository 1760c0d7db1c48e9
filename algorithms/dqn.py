"""Deep Q-learning (Mnih et al., Nature 2015) and all of Rainbow (arXiv 1710.02298), for one agent.

An agent acts epsilon-greedily on its network's values, remembers what came of it, and pulls the
values of remembered actions towards ``reward + discount * value of the best next action`` as a
target network has it. Double Q-learning, dueling streams, prioritised replay, n-step returns,
categorical returns (C51) and noisy weights are settings. The pack (`core/packs/off_policy.py`) runs
many such agents at once; nothing here knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.dists.distributions import Distribution
from algorithms.core.lifting.optim import clip
from algorithms.core.lifting.stack import Batch, caller
from algorithms.core.maths.q_learning import (
    DICE,
    ActionValues,
    among,
    chosen,
    clipped,
    huber,
    project,
    softly,
)
from algorithms.core.nets.value_nets import OwnQNetwork, QNetwork, positions
from algorithms.core.packs.learning import descend
from algorithms.core.packs.member import Member, schedule_values, scheduled
from algorithms.core.packs.off_policy import PRIORITIES, OffPolicyPack
from algorithms.core.specs.parameters import OffPolicyParameters, grad_clip_by
from algorithms.core.specs.value_spec import ValueSpec, problems
from tunerl.errors import Problem
from tunerl.trainable import fixed, vector
from tunerl.trial import Config

Value = float | list[Any]
EXPLORATION = ("EpsilonGreedy", "SoftQ")
LOSSES = ("huber", "mse")
TEMPERATURE = "categorical_distribution_temperature"
SCHEDULE = [[0, 1.0], [25_000, 0.02]]


@dataclass(frozen=True)
class DQNParameters(OffPolicyParameters):
    """What can be tuned. RLlib's names; defaults that learn."""

    train_batch_size: int = fixed(
        32, "transitions per update", low=1, search={"choice": [16, 32, 64, 128, 256]}
    )
    rollout_fragment_length: int = vector(
        2, "steps of each sub-environment between rounds of updates", low=1
    )
    n_step: Any = vector(
        [2, 5], "steps of reward before bootstrapping; [lo, hi]: drawn for each sample, both "
        "included", low=1, search={"randint": [1, 6]},
    )  # fmt: skip
    lr: Value = vector(
        5e-4, "learning rate of Adam", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    grad_clip: float | None = vector(
        40.0, "largest norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True,
    )  # fmt: skip
    grad_clip_by: str = grad_clip_by()
    target_network_update_freq: int = vector(
        500, "environment steps between updates of the target network", low=0,
        search={"choice": [1, 100, 250, 500, 1000]},
    )  # fmt: skip
    prioritized_replay: bool = fixed(True, "sample by TD error, not uniformly")
    double_q: bool = vector(True, "the network picks the next action, its target values it")
    dueling: bool = fixed(True, "separate streams for the state's value and the advantages")
    hiddens: list[int] = fixed([], "hidden layers of each stream, after those of the model", low=1)
    td_error_loss_fn: str = vector("huber", "loss of the temporal difference", choices=LOSSES)
    num_atoms: int = fixed(1, "returns in an action's distribution (C51); 1: its mean alone", low=1)
    v_min: float = vector(-10.0, "smallest return of the distribution (num_atoms above 1)")
    v_max: float = vector(10.0, "largest return of it; targets_out_of_range says what lies beyond")
    noisy: bool = fixed(False, "noise in the weights of the streams, which explores by itself")
    sigma0: float = fixed(0.5, "initial size of that noise", low=0.0)
    epsilon: Value | None = vector(
        None, "chance of a random action; None: 0 with noisy weights, else from 1 to 0.02 over the "
        "first 25,000 steps", low=0.0, high=1.0, schedule=True, optional=True,
    )  # fmt: skip
    exploration: str = vector(
        "EpsilonGreedy", "SoftQ: actions that are not random are drawn by their values",
        choices=EXPLORATION,
    )  # fmt: skip
    categorical_distribution_temperature: float = vector(
        1.0, "temperature of SoftQ", low=0.0, exclusive_low=True
    )

    @staticmethod
    def problems(config: Config) -> list[Problem]:
        found = OffPolicyParameters.problems(config)
        if config["num_atoms"] > 1 and config["v_min"] >= config["v_max"]:
            low, high = config["v_min"], config["v_max"]
            found.append(Problem("v_min", f"{low} is not below v_max ({high})"))
        return [*found, *problems(config)]


class DQNPack(OffPolicyPack):
    """What makes the off-policy loop DQN."""

    algorithm = "DQN"
    statistics: tuple[str, ...] = (
        "qf_loss",
        "qf_mean",
        "qf_max",
        "qf_min",
        "td_error_mean",
        "gradients_default_optimizer_global_norm",
    )
    vectors = ("lr", "adam_epsilon", "grad_clip", "gamma", "tau")

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        if config["num_atoms"] > 1:
            self.statistics = (*self.statistics, "targets_out_of_range")
        super().__init__(config, resolve, key)
        self.logits = caller(self.network, "logits")

    # -- networks -------------------------------------------------------------------------------

    network: QNetwork

    def make_network(self) -> nn.Module:
        shared = self.shared
        kind = QNetwork if shared["model"]["custom_model"] is None else OwnQNetwork
        network = kind(
            self.inputs,
            self.distribution.num_inputs,
            shared["model"],
            hiddens=shared["hiddens"],
            dueling=shared["dueling"],
            atoms=shared["num_atoms"],
            sigma0=shared["sigma0"] if shared["noisy"] else None,
        )
        self.weight_noise = network.noise_size
        return network

    def fresh_more(self, parameters: Tensor) -> Batch:
        return {"target": parameters.clone()}

    # -- acting ---------------------------------------------------------------------------------

    def actor(self, member: Member) -> Distribution:
        config = member.config
        low, span = _range(config)
        temperature = config["categorical_distribution_temperature"]
        return ActionValues(
            self.distribution.num_inputs,
            scheduled(_epsilon(config), member.env_steps),
            temperature if config["exploration"] == "SoftQ" else None,
            low,
            span,
        )

    def acting_inputs(self, member: Member, steps: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        count, config = len(steps), member.config
        size = (count, self.num_envs)
        coin, choice, share = member.generator.random((DICE, *size), np.float32)
        actions = self.distribution.num_inputs
        found: dict[str, NDArray[Any]] = {
            "explores": coin < schedule_values(_epsilon(config), steps)[:, None],
            "random": np.minimum((choice * actions).astype(np.int64), actions - 1),
        }
        if self.inputs.mask is not None:
            found["random"] = choice
        if self.weight_noise:
            noise_size = (count, self.weight_noise)
            found["noise"] = member.generator.standard_normal(noise_size, np.float32)
        if any(m.config["exploration"] == "SoftQ" for m in self.members):
            soft, heat = config["exploration"] == "SoftQ", member.hyperparameter(TEMPERATURE)
            found |= {
                "softly": np.full(size, soft),
                "share": share,
                "temperature": np.full(count, heat / _range(config)[1], np.float32),
            }
        return found

    def act(self, parameters: Batch, obs: Tensor, inputs: Batch) -> Tensor:
        noise = (inputs["noise"],) if "noise" in inputs else ()
        values = caller(self.network)(parameters, obs, *noise)
        best = values.argmax(-1)
        if "softly" in inputs:
            drawn = softly(values, inputs["share"], inputs["temperature"])
            best = torch.where(inputs["softly"], drawn, best)
        random = inputs["random"]
        random = random if self.inputs.mask is None else among(values, random)
        return torch.where(inputs["explores"], random, best)

    # -- learning -------------------------------------------------------------------------------

    def further_columns(self, member: Member) -> Mapping[str, float]:
        config = member.config
        found = {"delta": 1.0 if config["td_error_loss_fn"] == "huber" else float("inf")}
        if any(m.config["double_q"] for m in self.members):
            found["double_q"] = float(config["double_q"])
        if self.shared["num_atoms"] > 1:
            found |= {"v_min": config["v_min"], "v_max": config["v_max"]}
        if self.shared["prioritized_replay"]:
            found |= {name: member.hyperparameter(name) for name in PRIORITIES}
        return found

    def update_inputs(self, member: Member, count: int) -> dict[str, NDArray[Any]]:
        if not self.weight_noise:
            return {}
        size = (count, 3, self.weight_noise)  # of the network now and next, of its target
        return {"noise": member.generator.standard_normal(size, np.float32)}

    def update(self, state: Batch, batch: Batch, hp: Batch) -> tuple[Batch, Batch]:
        own, target = self.layout.views(state["parameters"]), self.layout.views(state["target"])
        loss = self.categorical_loss if self.shared["num_atoms"] > 1 else self.loss
        objective = loss(own, target, batch, hp)
        gradients, results = torch.func.grad(objective, has_aux=True)(own)
        gradient, norm = clip(
            self.layout.join(gradients),
            hp["grad_clip"],
            self.shared["grad_clip_by"],
            self.layout.counts,
        )
        return descend(state, gradient, hp["lr"], hp), {**results, "norm": norm}

    def outputs(self, parameters: Batch, obs: Tensor, batch: Batch, draw: int) -> Tensor:
        """What the network says `[B, A]`, or `[B, A, atoms]`, with noise of its own."""
        noise = (batch["noise"][draw],) if "noise" in batch else ()
        found: Tensor = self.logits(parameters, obs, *noise)
        return found

    def best(self, own: Batch, target: Batch, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """The best next action `[B]`, and what the target network says of all."""
        obs = batch["next_obs"]
        following = self.outputs(target, obs, batch, 2)
        judge = following
        if "double_q" in hp:
            judge = torch.where(hp["double_q"] > 0, self.outputs(own, obs, batch, 1), following)
        if self.shared["num_atoms"] > 1:
            judge = positions(judge)
        return self.network.allowed(judge, obs).argmax(-1), following

    def loss(self, own: Batch, target: Batch, batch: Batch, hp: Batch) -> Any:
        """The temporal difference of `[B]` transitions, as a function of the parameters."""
        action, following = self.best(own, target, batch, hp)
        wanted = batch["rewards"] + batch["discounts"] * chosen(following, action)

        def objective(parameters: Batch) -> tuple[Tensor, Batch]:
            values = self.outputs(parameters, batch["obs"], batch, 0)
            taken = chosen(values, batch["actions"])
            error = (taken - wanted).detach()
            slope = clipped(error, hp["delta"])
            weighted = slope * batch["weights"] if "weights" in batch else slope
            each = {"taken": taken.detach(), "td_errors": error, "losses": huber(error, slope)}
            return (weighted * taken).mean(), each

        return objective

    def categorical_loss(self, own: Batch, target: Batch, batch: Batch, hp: Batch) -> Any:
        """Cross-entropy to the projected distribution of returns; it is the error of a sample."""
        ladder = torch.linspace(0.0, 1.0, self.shared["num_atoms"])
        support = hp["v_min"] + (hp["v_max"] - hp["v_min"]) * ladder
        action, following = self.best(own, target, batch, hp)
        next_returns = chosen(following, action).softmax(-1)
        returns = batch["rewards"][:, None] + batch["discounts"][:, None] * support
        wanted, beyond = project(next_returns, returns, support)

        def objective(parameters: Batch) -> tuple[Tensor, Batch]:
            logits = chosen(self.outputs(parameters, batch["obs"], batch, 0), batch["actions"])
            logp = torch.log_softmax(logits, -1)
            error = -(wanted * logp).sum(-1)
            taken = (logp.exp() * support).sum(-1)
            loss = (error * batch["weights"] if "weights" in batch else error).mean()
            errors = error.detach()
            each = {"taken": taken.detach(), "td_errors": errors, "losses": errors}
            return loss, each | {"beyond": beyond}

        return objective

    def summary(self, found: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        taken, errors, losses = found["taken"], found["td_errors"], found["losses"]
        means = (losses.mean(1), taken.mean(1), taken.max(1), taken.min(1), errors.mean(1))
        beyond = [found["beyond"].mean(1)] if "beyond" in found else []
        return np.stack([*means, found["norm"], *beyond], 1)


def _epsilon(config: Config) -> Any:
    if config["epsilon"] is not None:
        return config["epsilon"]
    return 0.0 if config["noisy"] else SCHEDULE


def _range(config: Config) -> tuple[float, float]:
    """Values are ``low + span * what the network says``."""
    if config["num_atoms"] == 1:
        return 0.0, 1.0
    return config["v_min"], config["v_max"] - config["v_min"]


SPEC = ValueSpec("DQN", DQNParameters, DQNPack, actions=(spaces.Discrete,))


class DQNConfig(AlgorithmConfig):
    """The configuration of a DQN agent, step by step; its fields are those of `DQNParameters`."""

    spec = SPEC


class DQN(Algorithm):
    """One DQN agent."""

    spec = SPEC
