"""Parts of the losses of actor-critics on time-major fragments, for one agent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from algorithms.core.lifting.stack import Batch


def mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the samples that count (steps that only reset an environment do not)."""
    return x.mean() if weights is None else (x * weights).sum() / weights.sum().clamp(min=1.0)


def centred(x: Tensor, weights: Tensor | None) -> Tensor:
    """`x` with mean 0 and deviation 1."""
    off = x - mean(x, weights)
    return off / (mean(off * off, weights).sqrt() + 1e-8)


def timewise(call: Any, obs: Tensor, *memory: Tensor) -> tuple[Tensor, Tensor]:
    """What a network says of observations `[T, M, D]`: the distributions' inputs `[T, M, A]`, and
    values `[T, M]`.

    `memory`: the states `[n, M, S]` in which n sequences of L steps begin, and `[n * L, M]`, 1
    where an episode begins; observations are missing at the end, if any.
    """
    if not memory:
        inputs, values = call(obs.flatten(0, 1))
        return inputs.unflatten(0, obs.shape[:2]), values.unflatten(0, obs.shape[:2])
    states, starts = memory
    number, columns = states.shape[:2]
    room = obs.new_zeros(len(starts) - len(obs), *obs.shape[1:])

    def cut(x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(0, (number, -1))  # type: ignore[no-untyped-call]
        return parts.transpose(1, 2).flatten(0, 1)

    def joined(x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(0, (number, columns))  # type: ignore[no-untyped-call]
        return parts.transpose(1, 2).flatten(0, 1)[: len(obs)]

    inputs, values = call(cut(torch.cat([obs, room])), states.flatten(0, 1), cut(starts))
    return joined(inputs), joined(values)


def remembered(batch: Batch) -> tuple[Tensor, ...]:
    """What `timewise` takes beside the observations of a batch."""
    return (batch["states"], batch["starts"]) if "states" in batch else ()


def evaluated(call: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """What a network says of the `obs` `[T + 1, M, D]` of a batch: the distributions' inputs of the
    first T, `[T, M, A]`, and the values of all, `[T + 1, M]`."""
    inputs, values = timewise(call, batch["obs"], *remembered(batch))
    return inputs[:-1], values


def following(values: Tensor, batch: Batch) -> Tensor:
    """What was worth what followed each step, `[T, M]`, from the values `[T + 1, M]`."""
    return torch.where(batch["ends"] > 0, batch["bootstrap"], values[1:]).detach()


def squared_error(values: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of the squares; a product is the same bits wherever it lies, a power would be not."""
    error = values - targets
    return mean(error * error, weights)


def explained(values: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """1 - Var[targets - values] / Var[targets]."""

    def variance(x: Tensor) -> Tensor:
        off = x - mean(x, weights)
        return mean(off * off, weights)

    return 1.0 - variance(targets - values) / variance(targets).clamp(min=1e-8)


def adapted(weight: float, kl: float, target: float) -> float:
    """The weight of a KL penalty (arXiv 1707.06347, section 4): more when the policy moved too far,
    less when hardly at all."""
    if kl > 2.0 * target:
        return weight * 1.5
    return weight * 0.5 if kl < 0.5 * target else weight
