"""Action distributions as pure functions of a network's output; batch dimensions come first.

Sampling is a function of the inputs and of noise drawn beforehand, so that the randomness of an
agent stays its own. `inputs` is `[..., num_inputs]`, an action `[...]` or `[..., n]`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Distribution(ABC):
    """What an algorithm asks of a distribution over actions."""

    num_inputs: int
    discrete: bool
    action_shape: tuple[int, ...]

    @abstractmethod
    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Noise for `shape` actions: ``[*shape, n]``, from the agent's own generator."""

    @abstractmethod
    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """The action that the noise picks."""

    @abstractmethod
    def mode(self, inputs: Tensor) -> Tensor:
        """The most likely action."""

    @abstractmethod
    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        """Log-probability (density) of the action, `[...]`."""

    @abstractmethod
    def entropy(self, inputs: Tensor) -> Tensor:
        """Entropy in nats, `[...]`."""

    @abstractmethod
    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        """KL(old || new) in nats, `[...]`."""


class Continuous(Distribution):
    """Actions of `size` numbers; the network gives two for each."""

    size: int
    discrete = False

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        return 2 * self.size

    @property
    def action_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.size,)


@dataclass(frozen=True)
class Bounded(Continuous):
    """Continuous actions between `low` and `high` (a bound for each dimension)."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def size(self) -> int:  # type: ignore[override]
        """Dimensions of an action."""
        return len(self.low)


def picked(x: Tensor, index: Tensor) -> Tensor:
    """Of `x` `[..., n]`, the element that `index` `[...]` tells. `gather` does not trace for
    unknown lengths."""
    if all(type(size) is int for size in x.shape):
        return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    *others, found = x.unbind(-1)
    for number, column in enumerate(others):
        found = torch.where(index == number, column, found)
    return found


@dataclass(frozen=True)
class Categorical(Distribution):
    """One of `n` actions; inputs are logits `[..., n]`, actions `[...]` int64."""

    n: int
    discrete = True
    action_shape = ()

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        return self.n

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.random((*shape, 1), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """Inverse CDF: the first action whose cumulative probability exceeds the noise.

        The noise is taken of the sum of all probabilities, so that rounding never brings it to an
        action of probability 0.
        """
        cumulative = torch.softmax(inputs, -1).cumsum(-1)
        return (cumulative[..., :-1] <= noise * cumulative[..., -1:]).sum(-1)

    def mode(self, inputs: Tensor) -> Tensor:
        return inputs.argmax(-1)

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        return picked(torch.log_softmax(inputs, -1), action)

    def entropy(self, inputs: Tensor) -> Tensor:
        logp = torch.log_softmax(inputs, -1)
        return -(logp.exp() * logp).sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        logp, logq = torch.log_softmax(old, -1), torch.log_softmax(new, -1)
        return (logp.exp() * (logp - logq)).sum(-1)


@dataclass(frozen=True)
class MultiCategorical(Distribution):
    """Independent categoricals: logits side by side, actions `[..., len(sizes)]`."""

    sizes: tuple[int, ...]
    discrete = True

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        return sum(self.sizes)

    @property
    def action_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (len(self.sizes),)

    def _parts(self, inputs: Tensor) -> list[tuple[Categorical, Tensor]]:
        parts = torch.split(inputs, list(self.sizes), -1)
        return [(Categorical(n), part) for n, part in zip(self.sizes, parts, strict=True)]

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.random((*shape, len(self.sizes)), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        picks = [
            part.sample(logits, noise[..., i : i + 1])
            for i, (part, logits) in enumerate(self._parts(inputs))
        ]
        return torch.stack(picks, -1)

    def mode(self, inputs: Tensor) -> Tensor:
        return torch.stack([logits.argmax(-1) for _, logits in self._parts(inputs)], -1)

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        terms = [
            part.logp(logits, action[..., i])
            for i, (part, logits) in enumerate(self._parts(inputs))
        ]
        return torch.stack(terms, -1).sum(-1)

    def entropy(self, inputs: Tensor) -> Tensor:
        return torch.stack([part.entropy(x) for part, x in self._parts(inputs)], -1).sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        pairs = zip(self._parts(old), self._parts(new), strict=True)
        return torch.stack([part.kl(x, y) for (part, x), (_, y) in pairs], -1).sum(-1)


@dataclass(frozen=True)
class DiagGaussian(Continuous):
    """Independent normals; inputs are means and log standard deviations side by side."""

    size: int

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.standard_normal((*shape, self.size), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = inputs.chunk(2, -1)
        return mean + log_std.exp() * noise

    def mode(self, inputs: Tensor) -> Tensor:
        return inputs.chunk(2, -1)[0]

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        mean, log_std = inputs.chunk(2, -1)
        z = (action - mean) * (-log_std).exp()
        return (-0.5 * z * z - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, inputs: Tensor) -> Tensor:
        log_std = inputs.chunk(2, -1)[1]
        return (log_std + 0.5 * (1 + math.log(2 * math.pi))).sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        mean_p, log_p = old.chunk(2, -1)
        mean_q, log_q = new.chunk(2, -1)
        variance_q = (2 * log_q).exp()
        square = (2 * log_p).exp() + (mean_p - mean_q) ** 2
        return (log_q - log_p + square / (2 * variance_q) - 0.5).sum(-1)
