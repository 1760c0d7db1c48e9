"""Networks that value actions: dueling streams, categorical returns, noise in the weights.

A `QNetwork` maps encoded observations `[B, D]` (and noise `[noise_size]`, when it explores with
noisy weights) to the value of each action `[B, A]`; `logits` gives the distributions of returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.nets.catalogue import body
from algorithms.core.nets.layers import ACTIVATIONS, layer


class NoisyDense(nn.Module):
    """``x @ (mu + sigma * noise)`` with factorised noise (Fortunato et al., arXiv 1706.10295).

    Noise is `[inputs + outputs]` normal numbers; without it the mean weights are used.
    """

    def __init__(self, inputs: int, outputs: int, sigma0: float) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((inputs, outputs), sigma0 * bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma0 * bound))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            return x @ self.weight + self.bias
        scaled = noise.sign() * noise.abs().sqrt()
        incoming, outgoing = scaled[: self.inputs], scaled[self.inputs :]
        weight = self.weight + self.weight_sigma * (incoming[:, None] * outgoing)
        return x @ weight + (self.bias + self.bias_sigma * outgoing)


class Stream(nn.Module):
    """Hidden layers and an output, each of them noisy or not."""

    def __init__(
        self, inputs: int, hiddens: list[int], outputs: int, activation: str, sigma0: float | None
    ) -> None:
        super().__init__()
        sizes = [*hiddens, outputs]
        self.layers = nn.ModuleList()
        self.activation = ACTIVATIONS[activation]()
        self.noise_size = 0
        for i, size in enumerate(sizes):
            if sigma0 is None:
                gain = 1.0 if i == len(hiddens) else math.sqrt(2)
                self.layers.append(layer(inputs, size, gain))
            else:
                self.layers.append(NoisyDense(inputs, size, sigma0))
                self.noise_size += inputs + size
            inputs = size

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        start = 0
        for i, module in enumerate(self.layers):
            if i:
                x = self.activation(x)
            if noise is None:
                x = module(x)
            else:
                assert isinstance(module, NoisyDense)
                end = start + module.inputs + module.outputs
                x, start = module(x, noise[start:end]), end
        return x


class QNetwork(nn.Module):
    """A body, then an advantage stream and, dueling (arXiv 1511.06581), a value stream.

    With `atoms` above 1 each action has a distribution over that many returns (arXiv 1707.06887),
    and the value given for it is the mean position among them, from 0 to 1. `sigma0` None: no
    noise in the weights.
    """

    def __init__(
        self,
        inputs: Any,
        actions: int,
        model: Mapping[str, Any],
        *,
        hiddens: list[int],
        dueling: bool,
        atoms: int = 1,
        sigma0: float | None = None,
    ) -> None:
        super().__init__()
        self.actions, self.atoms = actions, atoms
        self.body, size = body(inputs, model)
        activation = model["fcnet_activation"]
        self.advantage = Stream(size, hiddens, actions * atoms, activation, sigma0)
        self.value = Stream(size, hiddens, atoms, activation, sigma0) if dueling else None
        self.noise_size = self.advantage.noise_size + (self.value.noise_size if self.value else 0)

    def logits(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """`[B, A, atoms]`: of the returns of each action; with one atom, the values themselves."""
        features, first, second = self.body(obs), noise, None
        if noise is not None:
            first = noise[: self.advantage.noise_size]
            second = noise[self.advantage.noise_size :]
        advantage: Tensor = self.advantage(features, first)
        advantage = advantage.view(*advantage.shape[:-1], self.actions, self.atoms)
        if self.value is None:
            return advantage
        value: Tensor = self.value(features, second).unsqueeze(-2)
        return value + advantage - advantage.mean(-2, keepdim=True)

    def forward(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        logits = self.logits(obs, noise)
        return logits.squeeze(-1) if self.atoms == 1 else positions(logits)


def positions(logits: Tensor) -> Tensor:
    """The mean position, from 0 (the first atom) to 1 (the last), of `[..., atoms]`."""
    ladder = torch.linspace(0.0, 1.0, logits.shape[-1])
    return (torch.softmax(logits, -1) * ladder).sum(-1)
