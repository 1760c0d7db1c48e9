"""Fully connected layers, with the initial weights of "The 37 Implementation Details of PPO"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

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
