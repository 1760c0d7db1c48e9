"""What the tuner must know of an algorithm that learns in turns (`turns.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.core.specs.spec import AlgorithmSpec
from tunerl.trial import Config

SMALL, FEW = 128, 16
"""Updates on fewer samples than `SMALL` gain nothing by compiling at more rows than `FEW`."""


def batch_steps(config: Config) -> int:
    """Environment steps of a batch: whole fragments of every sub-environment."""
    envs = max(1, config["num_env_runners"]) * config["num_envs_per_env_runner"]
    fragment: int = envs * config["rollout_fragment_length"]
    return fragment * max(1, -(-(config["train_batch_size"] or 1) // fragment))


class TurnSpec(AlgorithmSpec):
    """An algorithm whose pack is a `TurnPack`."""

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        """As `AlgorithmSpec.plan`; but for many members with small updates it does not pay."""
        if config["torch_compile_learner"] is None:
            rows = min(replicas, self.capacity(config))
            if rows > FEW and batch_steps(config) < SMALL:
                return config | {"torch_compile_learner": False}
        return super().plan(config, replicas=replicas, stop=stop)

    def updates_per_step(self, config: Config) -> float:
        batch = batch_steps(config)
        minibatch = min(config.get("minibatch_size") or batch, batch)
        return float(config.get("num_epochs", 1) / minibatch)
