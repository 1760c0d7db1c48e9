"""What the tuner must know of algorithms that act on values of actions; their default network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.core.nets import MODEL_DEFAULTS
from algorithms.core.specs.spec import AlgorithmSpec
from tunerl.trial import Config

RELU = {"fcnet_activation": "relu"}
WIDE = {"fcnet_hiddens": [256], "fcnet_activation": "tanh"}


class ValueSpec(AlgorithmSpec):
    """One wide layer on plain observations where nothing is said, else rectified units."""

    def resolve(self, config: Config) -> Config:
        model = config.get("model") or {}
        if isinstance(model, Mapping):
            config = {**config, "model": {**RELU, **model}}
        return super().resolve(config)

    def settled(self, config: Config, model: Mapping[str, Any] | None) -> Config:
        found = super().settled(config, model)
        pictures = found["fcnet_hiddens"] != MODEL_DEFAULTS["fcnet_hiddens"]
        return found if pictures or model != RELU else super().settled(config, WIDE)
