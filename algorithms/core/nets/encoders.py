"""From encoded observations `[..., D]` to features: pictures go through convolutions.

Invariant: an encoder takes any number of leading axes and never looks across them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algorithms.core.nets.conv import Convolution, default_filters
from algorithms.core.nets.layers import ACTIVATIONS
from tunerl.errors import InvalidConfig, Problem

AnySpace: TypeAlias = gymnasium.Space[Any]


def is_image(space: AnySpace) -> bool:
    """A Box of three axes: height, width, channels (or channels first, where they are fewest)."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def parts_of(space: AnySpace) -> list[AnySpace]:
    """The leaves of a Dict or Tuple, in the order in which Gymnasium flattens them."""
    if isinstance(space, spaces.Dict):
        return [leaf for part in space.spaces.values() for leaf in parts_of(part)]
    if isinstance(space, spaces.Tuple):
        return [leaf for part in space.spaces for leaf in parts_of(part)]
    return [space]


def has_pixels(space: AnySpace) -> bool:
    return any(map(is_image, parts_of(space)))


class Pixels(nn.Module):
    """Convolutions over a picture that comes as a vector; bytes are divided by 255 (`scaled`)."""

    def __init__(self, space: spaces.Box, model: Mapping[str, Any], scaled: bool) -> None:
        super().__init__()
        self.shape = tuple(space.shape)
        first = self.shape[0] < min(self.shape[1:])
        self.order = (0, 1, 2, 3) if first else (0, 3, 1, 2)
        channels, height, width = self.shape if first else (self.shape[2], *self.shape[:2])
        self.scale = 1 / 255 if scaled and np.dtype(space.dtype) == np.uint8 else 1.0
        filters = model["conv_filters"]
        filters = default_filters(height, width) if filters is None else filters
        layers: list[nn.Module] = []
        for i, (outputs, kernel, stride, *padding) in enumerate(filters):
            how = padding[0] if padding else ("valid" if i == len(filters) - 1 else "same")
            made = Convolution(channels, (height, width), outputs, pair(kernel), pair(stride), how)
            if min(made.size) < 1:
                raise InvalidConfig(
                    Problem(
                        "model.conv_filters",
                        f"the kernel {kernel} of layer {i + 1} is larger than what comes to it, "
                        f"{height} x {width}; give smaller kernels or strides for pictures of "
                        f"{self.shape}",
                    )
                )
            layers += [made, ACTIVATIONS[model["conv_activation"]]()]
            channels, (height, width) = outputs, made.size
        self.layers = nn.Sequential(*layers)
        self.size = channels * height * width

    def forward(self, obs: Tensor) -> Tensor:
        lead = obs.shape[:-1]
        picture = obs.reshape(-1, *self.shape).permute(self.order)
        if self.scale != 1.0:
            picture = picture * self.scale
        return self.layers(picture.contiguous()).reshape(*lead, self.size)  # type: ignore[no-any-return]


class Parts(nn.Module):
    """A Dict or Tuple with pictures in it: each goes its own way, all features side by side."""

    def __init__(self, leaves: list[AnySpace], model: Mapping[str, Any], scaled: bool) -> None:
        super().__init__()
        self.sizes = [int(spaces.flatdim(leaf)) for leaf in leaves]
        self.ways = nn.ModuleList(
            Pixels(leaf, model, scaled) if is_image(leaf) else nn.Identity() for leaf in leaves
        )
        pairs = zip(self.ways, self.sizes, strict=True)
        self.size = sum(way.size if isinstance(way, Pixels) else size for way, size in pairs)

    def forward(self, obs: Tensor) -> Tensor:
        parts = torch.split(obs, self.sizes, -1)
        return torch.cat([way(part) for way, part in zip(self.ways, parts, strict=True)], -1)


def encoder(
    space: AnySpace | int, model: Mapping[str, Any], *, scaled: bool = True
) -> tuple[nn.Module | None, int]:
    """What turns vectors of this space into features, and their number; None: they are features.

    `space` may be a plain number of inputs. `scaled` False: bytes are left as they are (a filter
    has brought them to mean 0). Raises `InvalidConfig` for filters that do not fit.
    """
    if isinstance(space, int):
        return None, space
    if not has_pixels(space):
        if model["conv_filters"] is not None:
            raise InvalidConfig(
                Problem(
                    "model.conv_filters",
                    f"there is no picture in {space}; leave it out, or use an environment whose "
                    f"observations have three axes",
                )
            )
        return None, int(spaces.flatdim(space))
    made: Pixels | Parts
    if isinstance(space, spaces.Box):
        made = Pixels(space, model, scaled)
    else:
        made = Parts(parts_of(space), model, scaled)
    return made, made.size


def pair(value: Any) -> tuple[int, int]:
    """A number or two of them, as two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
