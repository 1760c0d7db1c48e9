"""What the tuner must know of algorithms that act on values of actions; their default network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.core.nets import MODEL_DEFAULTS
from algorithms.core.specs.spec import AlgorithmSpec
from tunerl.errors import Problem
from tunerl.trial import Config

RELU = {"fcnet_activation": "relu"}
WIDE = {"fcnet_hiddens": [256], "fcnet_activation": "tanh"}


UNUSED: dict[str, Any] = {"custom_action_dist": None, "head_fcnet_hiddens": []}
LAYERS: dict[str, Any] = {"noisy": False, "hiddens": []}
"""Settings of layers that a network of one's own does not have."""


def problems(config: Config) -> Iterator[Problem]:
    """What is wrong with values that are each in range."""
    for name, none in UNUSED.items():
        if config["model"][name] != none:
            yield Problem(f"model.{name}", "DQN has no such network; leave it out")
    for name, usual in (("clip_actions", True), ("normalize_actions", False)):
        if config[name] is not usual:
            yield Problem(name, "is for continuous actions; DQN's are discrete")
    if config["model"]["custom_model"] is None:
        return
    for name, none in LAYERS.items():
        if config[name] != none:
            yield Problem(name, "is of TuneRL's own layers, not of a custom_model; leave it out")
    if config["num_atoms"] > 1 and config["dueling"]:
        what = "a custom_model gives one value of a state; set dueling=False with num_atoms"
        yield Problem("dueling", what)


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
