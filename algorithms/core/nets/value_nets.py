"""Networks that value actions: dueling streams, categorical returns, noise in the weights.

A `QNetwork` maps encoded observations `[B, D]` (and noise `[noise_size]`, when it explores with
noisy weights) to the value of each action `[B, A]`; `logits` gives the distributions of returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.nets import own
from algorithms.core.nets.catalogue import body
from algorithms.core.nets.inputs import mask_logits, without_mask
from algorithms.core.nets.layers import ACTIVATIONS, layer
from tunerl.errors import InvalidConfig, Problem


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

    Streams without hidden layers are one layer. With `atoms` above 1 each action has a distribution
    over that many returns (arXiv 1707.06887), and the value given for it is the mean position among
    them, from 0 to 1. `sigma0` None: no noise in the weights.
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
        self.actions, self.atoms, self.dueling = actions, atoms, dueling
        self.mask = None if isinstance(inputs, int) else inputs.mask
        self.noise_sizes: list[int] = []
        self.build(inputs, model, hiddens, sigma0)

    def build(
        self, inputs: Any, model: Mapping[str, Any], hiddens: list[int], sigma0: float | None
    ) -> None:
        """Make the layers."""
        actions, atoms, dueling = self.actions, self.atoms, self.dueling
        self.body, size = body(inputs, model)
        activation = model["fcnet_activation"]
        widths = [actions * atoms, atoms] if dueling else [actions * atoms]
        if not hiddens:
            widths = [sum(widths)]
        streams = [Stream(size, hiddens, width, activation, sigma0) for width in widths]
        self.streams = nn.ModuleList(streams)
        self.noise_sizes = [stream.noise_size for stream in streams]

    @property
    def noise_size(self) -> int:
        """Normal numbers that noisy weights take."""
        return sum(self.noise_sizes)

    def streamed(self, obs: Tensor, noise: Tensor | None) -> Tensor:
        """What the streams say `[B, A * atoms]`, of the value (dueling) at the end."""
        features = self.body(obs)
        parts: Sequence[Tensor | None] = [None] * len(self.streams)
        if noise is not None:
            parts = torch.split(noise, self.noise_sizes)
        outputs = [stream(features, part) for stream, part in zip(self.streams, parts, strict=True)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    def logits(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Of the returns of each action `[B, A, atoms]`; with one atom, the values `[B, A]`."""
        found = self.streamed(without_mask(obs, self.mask)[0], noise)
        if self.atoms > 1:
            found = found.reshape(*found.shape[:-1], -1, self.atoms)
        if not self.dueling:
            return found
        axis = -1 if self.atoms == 1 else -2
        advantage, value = torch.split(found, [self.actions, 1], axis)
        return advantage + (value - advantage.mean(axis, keepdim=True))

    def forward(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """The value of each action `[B, A]`."""
        logits = self.logits(obs, noise)
        return self.allowed(logits if self.atoms == 1 else positions(logits), obs)

    def allowed(self, values: Tensor, obs: Tensor) -> Tensor:
        """Values `[B, A]`, so low where the observation's mask forbids an action that it is never
        the best."""
        flags = without_mask(obs, self.mask)[1]
        return values if flags is None else mask_logits(values, flags)


class OwnQNetwork(QNetwork):
    """A user's network: the values of the actions, or dueling their advantages and a value."""

    def build(
        self, inputs: Any, model: Mapping[str, Any], hiddens: list[int], sigma0: float | None
    ) -> None:
        outputs = self.actions * self.atoms
        self.network = own.made(model, inputs, outputs)
        own.check(self.network, inputs.size, outputs, values=self.dueling)
        has_values = getattr(self.network, "has_values", None)
        if self.dueling and has_values and not has_values(torch.zeros(1, inputs.size)):
            message = "it values no observations (vf_preds or compute_values); set dueling=False"
            raise InvalidConfig(Problem(own.PATH, message))

    def streamed(self, obs: Tensor, noise: Tensor | None) -> Tensor:
        found = self.network(obs)
        if not self.dueling:
            return own.first(found)
        advantages, value = found
        return torch.cat([advantages, value.unsqueeze(-1)], -1)


def positions(logits: Tensor) -> Tensor:
    """The mean position, from 0 (the first atom) to 1 (the last), of `[..., atoms]`."""
    ladder = torch.linspace(0.0, 1.0, logits.shape[-1])
    return (torch.softmax(logits, -1) * ladder).sum(-1)
