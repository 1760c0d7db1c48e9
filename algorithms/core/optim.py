"""One agent's optimiser step on a flat parameter vector `[P]`: clip by global norm, then Adam.

Stock optimisers mix the members of a stack; these are lifted over the pack like the loss.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class AdamState(NamedTuple):
    """First and second moments `[P]` and the number of steps taken `[]` (float)."""

    mean: Tensor
    square: Tensor
    steps: Tensor


def clip_by_global_norm(gradient: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient scaled down to norm `limit` where it is longer, and its norm before."""
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1.0), norm


def adam(
    parameters: Tensor,
    gradient: Tensor,
    state: AdamState,
    lr: Tensor,
    epsilon: Tensor,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> tuple[Tensor, AdamState]:
    """One step of Adam (arXiv 1412.6980) with bias correction, as torch.optim.Adam takes it."""
    steps = state.steps + 1
    mean = state.mean + (1 - beta1) * (gradient - state.mean)
    square = beta2 * state.square + (1 - beta2) * gradient * gradient
    step = lr / -torch.expm1(steps * math.log(beta1))
    scale = torch.rsqrt(-torch.expm1(steps * math.log(beta2)))
    parameters = parameters - step * mean / (square.sqrt() * scale + epsilon)
    return parameters, AdamState(mean, square, steps)
