"""Distributions over bounded actions, and the one that has no spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from algorithms.core.dists.distributions import Bounded, Distribution

PROPOSALS = 8  # of which each is taken with a probability above 0.95
SMALL = 1e-6


@dataclass(frozen=True)
class Beta(Bounded):
    """Independent Beta distributions between the bounds (Chou et al., ICML 2017).

    Inputs are two numbers per action, side by side; ``1 + softplus`` of them are alpha and beta, so
    that every density has one maximum.
    """

    def shapes(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and beta, `[..., size]` each."""
        alpha, beta = (1.0 + softplus(part) for part in inputs.chunk(2, -1))
        return alpha, beta

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """For both gamma variates of each action: normals, then uniforms, of all proposals."""
        size = (*shape, 2 * self.size * PROPOSALS)
        normal = generator.standard_normal(size, dtype=np.float32)
        return np.concatenate([normal, generator.random(size, dtype=np.float32)], -1)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        shape = torch.cat(self.shapes(inputs), -1)
        halves = (part.reshape(*part.shape[:-1], -1, PROPOSALS) for part in noise.chunk(2, -1))
        normal, uniform = halves
        x, y = gamma_variate(shape, normal, uniform).chunk(2, -1)
        return self._stretched(x / (x + y))

    def mode(self, inputs: Tensor) -> Tensor:
        alpha, beta = self.shapes(inputs)
        return self._stretched((alpha - 1) / (alpha + beta - 2))

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        alpha, beta = self.shapes(inputs)
        low, width = self._bounds(action)
        x = ((action - low) / width).clamp(SMALL, 1 - SMALL)
        density = (alpha - 1) * x.log() + (beta - 1) * (1 - x).log() - log_beta(alpha, beta)
        return (density - width.log()).sum(-1)

    def entropy(self, inputs: Tensor) -> Tensor:
        alpha, beta = self.shapes(inputs)
        whole = alpha + beta
        own = log_beta(alpha, beta) - (alpha - 1) * torch.digamma(alpha)
        own = own - (beta - 1) * torch.digamma(beta) + (whole - 2) * torch.digamma(whole)
        return (own + self._bounds(own)[1].log()).sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        (a, b), (c, d) = self.shapes(old), self.shapes(new)
        terms = log_beta(c, d) - log_beta(a, b) + (a - c) * torch.digamma(a)
        terms = terms + (b - d) * torch.digamma(b) + (c - a + d - b) * torch.digamma(a + b)
        return terms.sum(-1)

    def _bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (torch.tensor(bound, dtype=like.dtype) for bound in (self.low, self.high))
        return low, high - low

    def _stretched(self, x: Tensor) -> Tensor:
        low, width = self._bounds(x)
        return low + width * x


def log_beta(alpha: Tensor, beta: Tensor) -> Tensor:
    return torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)


def gamma_variate(shape: Tensor, normal: Tensor, uniform: Tensor) -> Tensor:
    """Gamma variates of `shape` ``[..., n]`` (from 1 on), from proposals ``[..., n, P]``.

    Marsaglia and Tsang (2000): the first proposal that is accepted (else the last).
    """
    d = (shape - 1 / 3)[..., None]
    v = (1 + normal / (9 * d).sqrt()) ** 3
    fine = v > 0
    safe = torch.where(fine, v, 1.0)
    bound = 0.5 * normal**2 + d - d * safe + d * safe.log()
    fine = fine & (uniform.clamp(min=1e-30).log() < bound)
    fine = torch.cat([fine[..., :-1], torch.ones_like(fine[..., :1])], -1)
    first = fine.long().argmax(-1, keepdim=True)
    return (d * safe).gather(-1, first).squeeze(-1)


@dataclass(frozen=True)
class Deterministic(Distribution):
    """The network's output is the action; without spread there is no entropy and no density."""

    size: int
    discrete = False

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        return self.size

    @property
    def action_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.size,)

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.zeros((*shape, 0), np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return inputs

    def mode(self, inputs: Tensor) -> Tensor:
        return inputs

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        return torch.zeros_like(inputs[..., 0])

    def entropy(self, inputs: Tensor) -> Tensor:
        return torch.zeros_like(inputs[..., 0])

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        return torch.zeros_like(new[..., 0])
