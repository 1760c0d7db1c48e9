"""What a first user's programs have in common: a small agent, one iteration, in this process."""

from __future__ import annotations

from typing import Any

from tunerl import RunConfig

SMALL: dict[str, Any] = {"train_batch_size": 256, "minibatch_size": 128, "num_epochs": 2}
BASE: dict[str, Any] = {"env": "CartPole-v1", **SMALL, "torch_compile_learner": False}


def here(**more: Any) -> RunConfig:
    """One iteration in this process, quietly."""
    return RunConfig(
        **{"runtime": "local", "verbose": 0, "stop": {"training_iteration": 1}, **more}
    )
