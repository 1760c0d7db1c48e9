"""Networks of one agent: plain torch modules, which a pack lifts over its members.

A policy network maps encoded observations `[B, D]` to ``(dist_inputs [B, A], value [B])``. It may
offer methods `policy(obs)` and `value(obs)` to spare the half that is not needed. A recurrent one
(`recurrent.py`) carries a state from step to step.
"""

from __future__ import annotations

from algorithms.core.nets.catalogue import ActorCritic, build, register_model
from algorithms.core.nets.conv import Convolution, default_filters
from algorithms.core.nets.encoders import encoder, has_pixels, is_image
from algorithms.core.nets.inputs import (
    MASK_KEY,
    MASKED,
    Inputs,
    Masked,
    mask_logits,
    without_key,
    without_mask,
)
from algorithms.core.nets.layers import ACTIVATIONS, Dense, LogStd, Narrow, layer, mlp
from algorithms.core.nets.recurrent import RecurrentActorCritic
from algorithms.core.nets.settings import MODEL_DEFAULTS, check_no_memory, resolve_model

__all__ = [
    "ACTIVATIONS",
    "MASKED",
    "MASK_KEY",
    "MODEL_DEFAULTS",
    "ActorCritic",
    "Convolution",
    "Dense",
    "Inputs",
    "LogStd",
    "Masked",
    "Narrow",
    "RecurrentActorCritic",
    "build",
    "check_no_memory",
    "default_filters",
    "encoder",
    "has_pixels",
    "is_image",
    "layer",
    "mask_logits",
    "mlp",
    "register_model",
    "resolve_model",
    "without_key",
    "without_mask",
]
