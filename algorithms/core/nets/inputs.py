"""What comes into a network besides the observation itself: which actions are allowed, and what was
done last.

Invariant: an action that is not allowed has probability 0, and no gradient flows through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algorithms.core.dists.distributions import Distribution
from tunerl.errors import InvalidConfig, Problem

AnySpace: TypeAlias = gymnasium.Space[Any]
MASK_KEY = "action_mask"
MASKED = -1e30  # a logit: its exponential is 0, and differences of two such are finite


@dataclass(frozen=True)
class Inputs:
    """The vector `[D + extras]` that comes into a network.

    `space`: the observations' (without the mask). `mask`: where in the vector the flags of the
    allowed actions lie. `extras`: numbers after the observation (previous action and reward).
    `scaled` False: observations have been normalised, bytes are left as they are.
    """

    space: AnySpace
    action_space: AnySpace | None = None
    mask: slice | None = None
    extras: int = 0
    scaled: bool = True

    @property
    def size(self) -> int:
        """Numbers that are left for the network proper: without the mask, with the extras."""
        return int(spaces.flatdim(self.space)) + self.extras

    @classmethod
    def of(
        cls,
        space: AnySpace,
        action_space: AnySpace,
        distribution: Distribution,
        *,
        mask_key: str = MASK_KEY,
        extras: int = 0,
        scaled: bool = True,
    ) -> Inputs:
        """Looks for a mask: the part `mask_key` of a Dict, where actions are discrete.

        Raises `InvalidConfig` where it has not one number for each action.
        """
        found = isinstance(space, spaces.Dict) and mask_key in space.spaces
        if not (found and distribution.discrete):
            return cls(space, action_space, None, extras, scaled)
        start = 0
        for key, part in space.spaces.items():
            if key == mask_key:
                break
            start += int(spaces.flatdim(part))
        part = space.spaces[mask_key]
        size, kind = int(spaces.flatdim(part)), isinstance(part, spaces.Box | spaces.MultiBinary)
        if not kind or size != distribution.num_inputs:
            raise InvalidConfig(
                Problem(
                    "env",
                    f"the part {mask_key!r} of the observations is {part}; a mask of {action_space}"
                    f" must be a Box or MultiBinary of {distribution.num_inputs} numbers (or name "
                    f"another part as action_mask_key)",
                )
            )
        left = without_key(space, mask_key)
        return cls(left, action_space, slice(start, start + size), extras, scaled)


def without_key(space: AnySpace, key: str) -> AnySpace:
    """A Dict without one of its parts; of a single one that is left, that. Others as they are.

    Raises `InvalidConfig` where nothing is left.
    """
    if not isinstance(space, spaces.Dict) or key not in space.spaces:
        return space
    rest = {name: part for name, part in space.spaces.items() if name != key}
    if not rest:
        raise InvalidConfig(
            Problem("env", f"the observations hold nothing but {key!r}; add what to see")
        )
    return next(iter(rest.values())) if len(rest) == 1 else spaces.Dict(rest)


def mask_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """`logits` where `mask` is above 0.5, elsewhere so low that the action is never chosen."""
    return torch.where(mask > 0.5, logits, MASKED)


def without_mask(obs: Tensor, mask: slice | None) -> tuple[Tensor, Tensor | None]:
    """The observation proper, and the flags of the allowed actions, if there are any."""
    if mask is None:
        return obs, None
    return torch.cat([obs[..., : mask.start], obs[..., mask.stop :]], -1), obs[..., mask]


class Masked(nn.Module):
    """A network whose observations `[..., D]` carry the flags of the allowed actions."""

    def __init__(self, network: nn.Module, mask: slice) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def apart(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The observation proper, and the flags."""
        rest, flags = without_mask(obs, self.mask)
        assert flags is not None
        return rest, flags

    def policy(self, obs: Tensor) -> Tensor:
        rest, mask = self.apart(obs)
        own = getattr(self.network, "policy", None)
        return mask_logits(own(rest) if callable(own) else self.network(rest)[0], mask)

    def value(self, obs: Tensor) -> Tensor:
        rest, _ = self.apart(obs)
        own = getattr(self.network, "value", None)
        found: Tensor = own(rest) if callable(own) else self.network(rest)[1]
        return found

    def forward(self, obs: Tensor, *memory: Tensor) -> tuple[Tensor, Tensor]:
        rest, mask = self.apart(obs)
        inputs, values = self.network(rest, *memory)
        return mask_logits(inputs, mask), values
