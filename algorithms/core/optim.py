"""One agent's optimiser step on a flat parameter vector `[P]`: clip by global norm, then Adam.

Stock optimisers mix the members of a stack; these are lifted over the pack like the loss.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2 = 0.9, 0.999


class AdamState(NamedTuple):
    """First and second moments `[P]` and the number of steps taken `[]` (float)."""

    mean: Tensor
    square: Tensor
    steps: Tensor


def clip_by_global_norm(gradient: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient scaled down to norm `limit` where it is longer, and its norm before."""
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1.0), norm


def bias_corrected(lr: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Adam's step size and the scale of its second moment at step number `steps` (from 1)."""
    step = lr / -torch.expm1(steps * math.log(BETA1))
    return step, torch.rsqrt(-torch.expm1(steps * math.log(BETA2)))


def adam(
    parameters: Tensor,
    gradient: Tensor,
    state: AdamState,
    step: Tensor,
    scale: Tensor,
    epsilon: Tensor,
) -> tuple[Tensor, AdamState]:
    """One step of Adam (arXiv 1412.6980), as torch.optim.Adam takes it.

    `step` and `scale` are those of `bias_corrected`: worked out beforehand, since a compiler would
    work them out again for every few parameters.
    """
    mean = state.mean + (1 - BETA1) * (gradient - state.mean)
    square = BETA2 * state.square + (1 - BETA2) * gradient * gradient
    parameters = parameters - step * mean / (square.sqrt() * scale + epsilon)
    return parameters, AdamState(mean, square, state.steps + 1)
