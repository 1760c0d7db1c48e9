"""What the tuner must know of an algorithm that learns in turns (`turns.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.core.spec import AlgorithmSpec
from tunerl.trial import Config


def batch_steps(config: Config) -> int:
    """Environment steps per update: whole fragments of every sub-environment."""
    envs = max(1, config["num_env_runners"]) * config["num_envs_per_env_runner"]
    fragment: int = envs * config["rollout_fragment_length"]
    return fragment * max(1, -(-(config["train_batch_size"] or 1) // fragment))


class TurnSpec(AlgorithmSpec):
    """An algorithm whose pack is a `TurnPack`."""

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        """As `AlgorithmSpec.plan`, with what a batch is here."""
        batch = batch_steps(config)
        rounds = float(stop.get("training_iteration") or 0)
        turns = -(-config["min_sample_timesteps_per_iteration"] // batch)
        steps = stop.get("num_env_steps_sampled_lifetime") or rounds * turns * batch
        sized = config | {"train_batch_size": batch}
        found = super().plan(
            sized, replicas=replicas, stop={"num_env_steps_sampled_lifetime": steps}
        )
        return config | {"torch_compile_learner": found["torch_compile_learner"]}
