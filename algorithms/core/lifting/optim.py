"""One agent's optimiser step on a flat parameter vector `[P]`: clip, then a rule.

Stock optimisers mix the members of a stack; these are lifted over the pack like the loss. A rule is
an `Optimiser`; what it is called with is a row's, so each row has its own rate, decay and epsilon.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2 = 0.9, 0.999
CLIPS = ("global_norm", "norm", "value")


class AdamState(NamedTuple):
    """First and second moments `[P]` and the number of steps taken `[]` (float).

    RMSprop keeps its velocity in `mean`.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor


def clip_by_global_norm(gradient: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient scaled down to norm `limit` where it is longer, and its norm before."""
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1.0), norm


def clip_by_norms(gradient: Tensor, limit: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Each parameter's gradient (`sizes` elements of `[P]`) scaled down to norm `limit` where it
    is longer, and the norm of the whole before."""
    parts = [clip_by_global_norm(part, limit)[0] for part in torch.split(gradient, list(sizes))]
    return torch.cat(parts), torch.linalg.vector_norm(gradient)


def clip_by_value(gradient: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Each element brought into [-limit, limit], and the norm of the whole before."""
    return torch.clamp(gradient, -limit, limit), torch.linalg.vector_norm(gradient)


def clip(gradient: Tensor, limit: Tensor, by: str, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The gradient `[P]` clipped in one of the `CLIPS` ways, and its norm before.

    `sizes`: how many elements of it each parameter has. An infinite limit changes nothing.
    """
    if by == "norm":
        return clip_by_norms(gradient, limit, sizes)
    return clip_by_value(gradient, limit) if by == "value" else clip_by_global_norm(gradient, limit)


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


def rmsprop(
    parameters: Tensor,
    gradient: Tensor,
    state: AdamState,
    lr: Tensor,
    decay: Tensor,
    momentum: Tensor,
    epsilon: Tensor,
    inside: bool,
) -> tuple[Tensor, AdamState]:
    """One step of RMSprop, as torch.optim.RMSprop takes it.

    `inside`: epsilon under the square root, as TensorFlow has it.
    """
    square = decay * state.square + (1 - decay) * gradient * gradient
    root = (square + epsilon).sqrt() if inside else square.sqrt() + epsilon
    velocity = momentum * state.mean + gradient / root
    return parameters - lr * velocity, AdamState(velocity, square, state.steps + 1)


class Optimiser(ABC):
    """A rule for one agent. `vectors` names the hyperparameters that it takes from `hp`."""

    vectors: tuple[str, ...]

    def fresh(self, parameters: Tensor) -> AdamState:
        """The state before the first step on `parameters` `[..., P]`."""
        zeros = torch.zeros_like(parameters)
        return AdamState(zeros, zeros, torch.zeros(parameters.shape[:-1]))

    def prepared(self, hp: dict[str, Tensor], state: AdamState) -> dict[str, Tensor]:
        """`hp` `[K]` with what is better worked out once a row than once a parameter."""
        return hp

    def ahead(
        self, hp: dict[str, Tensor], state: AdamState, updates: int
    ) -> Iterable[dict[str, Tensor]]:
        """What `prepared` would give at each of the next `updates`."""
        return itertools.repeat(hp, updates)

    @abstractmethod
    def step(
        self, parameters: Tensor, gradient: Tensor, state: AdamState, hp: dict[str, Tensor]
    ) -> tuple[Tensor, AdamState]:
        """The parameters `[P]` after one step, and the state."""


class Adam(Optimiser):
    """Adam with each row's `lr` and `adam_epsilon`."""

    vectors = ("lr", "adam_epsilon")

    def prepared(self, hp: dict[str, Tensor], state: AdamState) -> dict[str, Tensor]:
        step, scale = bias_corrected(hp["lr"], state.steps + 1)
        return {**hp, "step": step, "scale": scale}

    def ahead(
        self, hp: dict[str, Tensor], state: AdamState, updates: int
    ) -> Iterable[dict[str, Tensor]]:
        steps = state.steps + torch.arange(1, updates + 1).unsqueeze(1)
        corrected = (part.unbind(0) for part in bias_corrected(hp["lr"], steps))
        return (
            {**hp, "step": step, "scale": scale} for step, scale in zip(*corrected, strict=True)
        )

    def step(
        self, parameters: Tensor, gradient: Tensor, state: AdamState, hp: dict[str, Tensor]
    ) -> tuple[Tensor, AdamState]:
        return adam(parameters, gradient, state, hp["step"], hp["scale"], hp["adam_epsilon"])


class RMSprop(Optimiser):
    """RMSprop with each row's `lr`, `decay`, `momentum` and `epsilon`.

    `like_tensorflow`: epsilon under the root, and mean squares that begin at 1, not 0: the first
    steps are then small (what A2C's published figures were made with).
    """

    vectors = ("lr", "decay", "momentum", "epsilon")

    def __init__(self, like_tensorflow: bool = False) -> None:
        self.like_tensorflow = like_tensorflow

    def fresh(self, parameters: Tensor) -> AdamState:
        state = super().fresh(parameters)
        return state._replace(square=state.square + 1.0) if self.like_tensorflow else state

    def step(
        self, parameters: Tensor, gradient: Tensor, state: AdamState, hp: dict[str, Tensor]
    ) -> tuple[Tensor, AdamState]:
        settings = (hp["lr"], hp["decay"], hp["momentum"], hp["epsilon"])
        return rmsprop(parameters, gradient, state, *settings, self.like_tensorflow)


OPTIMISERS: dict[str, Optimiser] = {
    "adam": Adam(),
    "rmsprop": RMSprop(),
    "rmsprop_tf": RMSprop(like_tensorflow=True),
}
"""The rules by the names that `opt_type` has."""
