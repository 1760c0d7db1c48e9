"""A normal squashed into the bounds of an action space by tanh (Haarnoja et al., arXiv 1812.05905).

Densities are with respect to actions in the bounds' own units. Invariant: a log-density is finite
for every finite input, however near to a bound the action lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from algorithms.core.dists.distributions import Bounded, DiagGaussian

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
INSIDE = 1.0 - 1e-6  # how near to a bound (at 1) an action is taken to be, when only it is known
NODES = 32  # of the quadrature for the entropy


@dataclass(frozen=True)
class SquashedGaussian(Bounded):
    """``low + (high - low) (tanh(u) + 1) / 2`` with u normal, independent in each dimension.

    Inputs are means and log standard deviations of u side by side (the latter clamped to
    [-20, 2]); `low` and `high` are the bounds of each dimension.
    """

    @property
    def log_volume(self) -> float:
        """Minus the log-density of the uniform distribution within the bounds."""
        return sum(math.log(b - a) for a, b in zip(self.low, self.high, strict=True))

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.standard_normal((*shape, self.size), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self._normal(inputs)
        return self._squash(mean + log_std.exp() * noise)

    def sample_logp(self, inputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The action that the noise picks, and its log-density; both carry gradients."""
        mean, log_std = self._normal(inputs)
        u = mean + log_std.exp() * noise
        normal = -0.5 * noise * noise - log_std - 0.5 * math.log(2 * math.pi)
        return self._squash(u), (normal - self._log_slope(u)).sum(-1)

    def mode(self, inputs: Tensor) -> Tensor:
        """The action at the normal's mean (the median of each dimension)."""
        return self._squash(self._normal(inputs)[0])

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        mean, log_std = self._normal(inputs)
        centre, half = self._scale()
        u = torch.atanh(((action - centre) / half).clamp(-INSIDE, INSIDE))
        z = (u - mean) * (-log_std).exp()
        normal = -0.5 * z * z - log_std - 0.5 * math.log(2 * math.pi)
        return (normal - self._log_slope(u)).sum(-1)

    def entropy(self, inputs: Tensor) -> Tensor:
        """The normal's entropy plus the mean log-slope of the squashing, by Gauss-Hermite."""
        mean, log_std = self._normal(inputs)
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        z = torch.tensor(nodes, dtype=torch.float32)
        share = torch.tensor(weights / weights.sum(), dtype=torch.float32)
        u = mean[..., None] + log_std.exp()[..., None] * z
        slope = (self._log_slope(u.mT).mT * share).sum(-1)
        return (log_std + 0.5 * (1 + math.log(2 * math.pi)) + slope).sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        """That of the normals: squashing is one to one."""
        inputs = (torch.cat(self._normal(each), -1) for each in (old, new))
        return DiagGaussian(self.size).kl(*inputs)

    def _normal(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = inputs.chunk(2, -1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def _scale(self) -> tuple[Tensor | float, Tensor | float]:
        """Centre and half width; plain numbers where all dimensions are alike."""
        bounds = list(zip(self.low, self.high, strict=True))
        centre, half = [(b + a) / 2 for a, b in bounds], [(b - a) / 2 for a, b in bounds]
        if len(set(bounds)) == 1:
            return centre[0], half[0]
        return torch.tensor(centre), torch.tensor(half)

    def _squash(self, u: Tensor) -> Tensor:
        if set(self.low) == {-1.0} and set(self.high) == {1.0}:
            return torch.tanh(u)
        centre, half = self._scale()
        return centre + half * torch.tanh(u)

    def _log_slope(self, u: Tensor) -> Tensor:
        """``log(half (1 - tanh(u)^2))``, in the form that does not lose its digits at a bound."""
        slope = 2.0 * (math.log(2.0) - u - softplus(-2.0 * u))
        half = self._scale()[1]
        if isinstance(half, float):
            return slope + math.log(half) if half != 1.0 else slope
        return slope + half.log()
