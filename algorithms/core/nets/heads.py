"""Heads: from features to what a distribution needs, and to values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from algorithms.core.dists.distributions import DiagGaussian, Distribution
from algorithms.core.nets.layers import LogStd, layer, mlp


def head_layers(size: int, model: Mapping[str, Any]) -> tuple[nn.Sequential, int]:
    """The hidden layers of one head, and the size of their output."""
    return mlp(size, model["head_fcnet_hiddens"], model["head_fcnet_activation"])


def policy_head(size: int, distribution: Distribution, model: Mapping[str, Any]) -> nn.Module:
    """Features `[..., size]` to ``[..., num_inputs]``; small weights, so that all is likely."""
    hidden, size = head_layers(size, model)
    free = isinstance(distribution, DiagGaussian) and model["free_log_std"]
    outputs = distribution.num_inputs // 2 if free else distribution.num_inputs
    made = [*hidden, layer(size, outputs, 0.01), *([LogStd(outputs)] if free else [])]
    return nn.Sequential(*made) if len(made) > 1 else made[0]


def value_head(size: int, model: Mapping[str, Any]) -> nn.Module:
    """Features `[..., size]` to ``[..., 1]``."""
    hidden, size = head_layers(size, model)
    last = layer(size, 1, 1.0)
    return nn.Sequential(*hidden, last) if len(hidden) else last
