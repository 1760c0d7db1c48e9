"""Networks of one agent: plain torch modules, which a pack lifts over its members.

A policy network maps encoded observations `[B, D]` to ``(dist_inputs [B, A], value [B])``. It may
offer methods `policy(obs)` and `value(obs)` to spare the half that is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.distributions import DiagGaussian, Distribution
from tunerl import registry
from tunerl.errors import InvalidConfig, InvalidInput, Problem, nearest

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
}
MODEL_DEFAULTS: dict[str, Any] = {
    "fcnet_hiddens": [64, 64],
    "fcnet_activation": "tanh",
    "vf_share_layers": False,
    "free_log_std": True,
    "custom_model": None,
    "custom_model_config": {},
}


def register_model(name: str, model: Callable[..., nn.Module]) -> None:
    """Name a custom model, called as `model(observation_size, num_outputs, **config)`.

    Workers of this process know it too. Raises `InvalidInput` for what cannot be called.
    """
    if not callable(model):
        raise InvalidInput(f"model {name!r} is {model!r}; give a torch module's class")
    registry.share("model", name, model)


def resolve_model(model: Mapping[str, Any] | None) -> dict[str, Any]:
    """The model settings with defaults filled in. Raises `InvalidConfig` naming every problem."""
    problems = [
        Problem(f"model.{name}", f"unknown setting; {nearest(name, MODEL_DEFAULTS)}")
        for name in model or {}
        if name not in MODEL_DEFAULTS
    ]
    full = {**MODEL_DEFAULTS, **(model or {})}
    hiddens, activation = full["fcnet_hiddens"], full["fcnet_activation"]
    sizes_ok = isinstance(hiddens, list | tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in hiddens
    )
    if not sizes_ok:
        problems.append(
            Problem("model.fcnet_hiddens", f"got {hiddens!r}; give a list of positive integers")
        )
    else:
        full["fcnet_hiddens"] = list(hiddens)
    if activation not in ACTIVATIONS:
        hint = nearest(str(activation), ACTIVATIONS)
        problems.append(Problem("model.fcnet_activation", f"got {activation!r}; {hint}"))
    for name in ("vf_share_layers", "free_log_std"):
        if not isinstance(full[name], bool):
            problems.append(Problem(f"model.{name}", f"got {full[name]!r}; give true or false"))
    custom = full["custom_model"]
    known = registry.shared("model")
    if isinstance(custom, str) and custom not in known:
        hint = nearest(custom, known)
        problems.append(
            Problem("model.custom_model", f"{custom!r} is not registered (register_model); {hint}")
        )
    if not isinstance(full["custom_model_config"], Mapping):
        problems.append(Problem("model.custom_model_config", "give an object"))
    if problems:
        raise InvalidConfig(problems)
    return full


class Dense(nn.Module):
    """``x @ weight + bias`` with the weight stored `[in, out]`.

    For layers that widen (few inputs, many outputs) the gradient ``x.T @ g`` then comes out of the
    batched product in the layout in which it is several times as fast as nn.Linear's.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Narrow(nn.Linear):
    """A linear layer of few outputs, computed with the samples of one output side by side.

    What follows it (a distribution over few actions) then runs over samples, not over actions.
    """

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight @ x.mT).mT + self.bias


def layer(inputs: int, outputs: int, gain: float) -> nn.Module:
    """A fully connected layer, orthogonal initial weights of the given gain, zero bias."""
    linear = Narrow if outputs <= 8 else nn.Linear
    dense = Dense(inputs, outputs) if inputs <= outputs else linear(inputs, outputs)
    nn.init.orthogonal_(dense.weight, gain)
    nn.init.zeros_(dense.bias)
    return dense


def mlp(inputs: int, hiddens: Sequence[int], activation: str) -> tuple[nn.Sequential, int]:
    """Hidden layers and the size of their output; gain sqrt(2) as PPO's details have it."""
    layers: list[nn.Module] = []
    for size in hiddens:
        layers += [layer(inputs, size, math.sqrt(2)), ACTIVATIONS[activation]()]
        inputs = size
    return nn.Sequential(*layers), inputs


class LogStd(nn.Module):
    """Appends log standard deviations that do not depend on the state (initially 0)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(size))

    def forward(self, mean: Tensor) -> Tensor:
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)


class ActorCritic(nn.Module):
    """A policy head and a value head on hidden layers of their own, or on shared ones."""

    def __init__(self, inputs: int, distribution: Distribution, model: Mapping[str, Any]) -> None:
        super().__init__()
        hiddens, activation = model["fcnet_hiddens"], model["fcnet_activation"]
        self.body, size = mlp(inputs, hiddens, activation)
        free = isinstance(distribution, DiagGaussian) and model["free_log_std"]
        outputs = distribution.num_inputs // 2 if free else distribution.num_inputs
        head = layer(size, outputs, 0.01)
        self.head = nn.Sequential(head, LogStd(outputs)) if free else head
        self.value_body = None if model["vf_share_layers"] else mlp(inputs, hiddens, activation)[0]
        self.value_head = layer(size, 1, 1.0)

    def policy(self, obs: Tensor) -> Tensor:
        return self.head(self.body(obs))  # type: ignore[no-any-return]

    def value(self, obs: Tensor) -> Tensor:
        body = self.body if self.value_body is None else self.value_body
        return self.value_head(body(obs)).squeeze(-1)  # type: ignore[no-any-return]

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        if self.value_body is not None:
            return self.policy(obs), self.value(obs)
        features = self.body(obs)
        return self.head(features), self.value_head(features).squeeze(-1)


def build(inputs: int, distribution: Distribution, model: Mapping[str, Any]) -> nn.Module:
    """The network that the (resolved) model settings describe.

    Raises `InvalidConfig` when a user's module does not map ``[B, inputs]`` to
    ``([B, num_inputs], [B])`` or keeps buffers, which a pack cannot hold one a member.
    """
    custom = model["custom_model"]
    if custom is None:
        return ActorCritic(inputs, distribution, model)
    make = registry.shared("model")[custom] if isinstance(custom, str) else custom
    network: nn.Module = make(inputs, distribution.num_inputs, **model["custom_model_config"])
    with torch.no_grad():
        dist_inputs, value = network(torch.zeros(3, inputs))
    wanted = f"([3, {distribution.num_inputs}], [3])"
    if tuple(dist_inputs.shape) != (3, distribution.num_inputs) or tuple(value.shape) != (3,):
        got = f"({list(dist_inputs.shape)}, {list(value.shape)})"
        raise InvalidConfig(
            Problem(
                "model.custom_model", f"for observations [3, {inputs}] it gave {got}, not {wanted}"
            )
        )
    if list(network.buffers()):
        raise InvalidConfig(
            Problem("model.custom_model", "modules with buffers (BatchNorm, ...) cannot be packed")
        )
    return network
