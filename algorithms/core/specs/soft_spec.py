"""What the tuner must know of soft actor-critics: what suits them, and what they cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces

from algorithms.core.specs.spec import AlgorithmSpec
from tunerl.errors import Problem
from tunerl.trial import Config

MODEL = {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"}
RATE: dict[str, Any] = {
    "low": 0.0,
    "schedule": True,
    "search": {"loguniform": [1e-5, 1e-2]},
}
"""What is known of a learning rate."""

RATES = ("actor_lr", "critic_lr", "alpha_lr", "value_lr")
UNUSED = {
    "use_lstm": False,
    "use_gru": False,
    "vf_share_layers": False,
    "custom_action_dist": None,
}


class SoftSpec(AlgorithmSpec):
    """An algorithm with a policy and critics; `lr` stands for those rates that are not given."""

    def __init__(self, name: str, parameters: type, pack: Any) -> None:
        super().__init__(name, parameters, pack, actions=(spaces.Box, spaces.Discrete))

    def resolve(self, config: Config) -> Config:
        full = super().resolve(with_defaults(config, self.parameters))
        if full["training_intensity"] is None:
            full["training_intensity"] = float(full["train_batch_size"])
        return full


def with_defaults(config: Mapping[str, Any], parameters: type) -> Config:
    """The configuration with networks of 256-256 and `lr` said in full."""
    config = dict(config)
    if config.get("model") is None or isinstance(config["model"], Mapping):
        config["model"] = MODEL | dict(config.get("model") or {})
    if config.get("lr") is not None:
        for name in RATES:
            if hasattr(parameters, name):
                config.setdefault(name, config["lr"])
    return config


def problems(config: Config) -> list[Problem]:
    """What is wrong with values that are each in range."""
    found = [
        Problem(f"model.{name}", "there are no such networks of a policy and critics; leave it out")
        for name, unused in UNUSED.items()
        if config["model"][name] != unused
    ]
    given = config.get("target_entropy", "auto")
    if given != "auto" and (isinstance(given, bool) or not isinstance(given, int | float)):
        found.append(Problem("target_entropy", f"got {given!r}; give a number or 'auto'"))
    return found
