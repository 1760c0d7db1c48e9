"""Hyperparameters that every algorithm has which learns from offline data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from algorithms.core.specs.parameters import AgentParameters
from algorithms.keywords import Foreign
from algorithms.offline.files import METHODS
from tunerl.trainable import fixed, vector


def normalize_returns() -> Any:
    """The field of every algorithm that learns values of offline data."""
    return vector(
        True, "learn values in units of the mean and deviation of the data's discounted returns"
    )


def observation_filter() -> Any:
    """The field of every algorithm whose critics see observations beside actions."""
    return fixed(
        "auto",
        "MeanStdFilter: observations with the data's mean 0 and deviation 1, clipped at 10; auto: "
        "so where they are vectors of numbers",
        choices=("auto", "NoFilter", "MeanStdFilter"),
    )


@dataclass(frozen=True)
class OfflineParameters(AgentParameters):
    """The data, how much of them an iteration takes, and the spaces where no environment tells."""

    FOREIGN = {  # noqa: RUF012
        name: Foreign(values, "it takes no steps of its own to learn from; leave it out")
        for name, values in {
            "num_env_runners": (0,),
            "num_envs_per_env_runner": (1,),
            "gym_env_vectorize_mode": ("auto",),
            "normalize_rewards": (False,),
            "output": (None,),
            "env_to_module_connector": (None,),
            "module_to_env_connector": (None,),
            "min_sample_timesteps_per_iteration": (None, 0),
            "metrics_num_episodes_for_smoothing": (100,),
            "keep_per_episode_custom_metrics": (False,),
        }.items()
    }

    env: Any = fixed(
        None, "environment to evaluate in; None: there is no evaluation", optional=True
    )
    input_: Any = fixed(
        None, "files to learn from: a path, a glob, a directory, a URL, or a list", optional=True
    )
    input_read_method: str = fixed(
        "auto", "what the files are; auto: as their names end", choices=METHODS
    )
    dataset_num_iters_per_learner: int = vector(
        200, "updates in one iteration", low=1, search={"choice": [100, 200, 400, 800]}
    )
    train_batch_size: int = fixed(
        256, "transitions per update", low=2, search={"choice": [64, 128, 256, 512, 1024]}
    )
    observation_space: Any = fixed(
        None, "None: the environment's, else what the files say", optional=True
    )
    action_space: Any = fixed(
        None, "None: the environment's, else what the files say", optional=True
    )
    normalize_actions: bool = fixed(True, "learn actions in [-1, 1], stretched to the bounds")
    evaluation_interval: int | None = vector(
        1, "evaluate after every so many iterations, where there is an environment", low=1,
        optional=True,
    )  # fmt: skip
