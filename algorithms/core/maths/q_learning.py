"""Mathematics of Q-learning for one agent: acting on values, targets, distributional targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.dists.distributions import Distribution
from algorithms.core.nets.inputs import MASKED

FORBIDDEN = 0.5 * MASKED  # below it lie the values of actions that a mask forbids
DICE = 3  # uniform numbers behind one action: explore or not, at random, in proportion


def softly(values: Tensor, dice: Tensor, temperature: Tensor) -> Tensor:
    """Actions `[...]` drawn from the softmax of ``values / temperature`` by `dice` `[...]`."""
    shares = torch.softmax(values / temperature, -1).cumsum(-1)
    return (shares[..., :-1] <= dice.unsqueeze(-1) * shares[..., -1:]).sum(-1)


def among(values: Tensor, lot: Tensor) -> Tensor:
    """Of the actions whose values `[..., n]` no mask has lowered, the one that `lot` `[...]` (from
    0, below 1) falls on, all equally likely."""
    counted = (values > FORBIDDEN).float().cumsum(-1)
    total = counted[..., -1]
    place = torch.minimum((lot * total).floor(), total - 1).clamp(min=0)
    return (counted <= place.unsqueeze(-1)).sum(-1).clamp(max=values.shape[-1] - 1)


@dataclass(frozen=True)
class ActionValues(Distribution):
    """How an agent acts on what its network says of `n` actions: `epsilon`-greedily, or softly.

    Inputs are values `[..., n]`, or positions in the range of returns: value = low + span * input.
    """

    n: int
    epsilon: float
    temperature: float | None = None
    low: float = 0.0
    span: float = 1.0
    discrete = True
    action_shape = ()

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        return self.n

    def values(self, inputs: Tensor) -> Tensor:
        return self.low + self.span * inputs

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.random((*shape, DICE), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        values, temperature = self.values(inputs), self.temperature
        best = values.argmax(-1)
        if temperature is not None:
            best = softly(values, noise[..., 2], torch.tensor(temperature))
        random = among(inputs, noise[..., 1])
        return torch.where(noise[..., 0] < self.epsilon, random, best)

    def mode(self, inputs: Tensor) -> Tensor:
        return inputs.argmax(-1)

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Of each action when exploring, `[..., n]`."""
        values = self.values(inputs)
        best = torch.nn.functional.one_hot(values.argmax(-1), self.n).float()
        if self.temperature is not None:
            best = torch.softmax(values / self.temperature, -1)
        allowed = (inputs > FORBIDDEN).float()
        evenly = allowed / allowed.sum(-1, keepdim=True).clamp(min=1)
        found: Tensor = (1 - self.epsilon) * best + self.epsilon * evenly
        return found

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        own: Tensor = self.probabilities(inputs).gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return own.log()

    def entropy(self, inputs: Tensor) -> Tensor:
        found: Tensor = torch.special.entr(self.probabilities(inputs))
        return found.sum(-1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        p, q = self.probabilities(old), self.probabilities(new)
        return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def chosen(values: Tensor, action: Tensor) -> Tensor:
    """Of `[B, A, ...]` what belongs to the action `[B]`: `[B, ...]`."""
    index = action.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index).squeeze(1)


def clipped(error: Tensor, delta: Tensor) -> Tensor:
    """The gradient of the Huber loss of an error: it stops growing at `delta` (inf: never)."""
    return torch.minimum(torch.maximum(error, -delta), delta)


def huber(error: Tensor, slope: Tensor) -> Tensor:
    """Half the square up to where the `slope` (see `clipped`) stops growing, then a line."""
    return slope * (error - 0.5 * slope)


def project(probabilities: Tensor, returns: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
    """The distribution `[B, N]` of `returns` on the atoms of `support` (arXiv 1707.06887), and the
    share `[B]` of it that lies beyond them by more than half the way from atom to atom.

    `probabilities` `[B, N]` of the returns `[B, N]`; `support` `[N]` is evenly spaced. What lies
    beyond counts for the first or last atom.
    """
    count = len(support)
    low, high = support[0], support[-1]
    place = (torch.minimum(torch.maximum(returns, low), high) - low) / (high - low) * (count - 1)
    below = place.floor().clamp(0, count - 2)
    upper = (place - below).clamp(0.0, 1.0)
    index = below.long()
    found = torch.zeros_like(probabilities).scatter_add(1, index, probabilities * (1.0 - upper))
    half = 0.5 * (high - low) / (count - 1)
    beyond = (returns < low - half) | (returns > high + half)
    found = found.scatter_add(1, index + 1, probabilities * upper)
    return found, (probabilities * beyond).sum(-1)
