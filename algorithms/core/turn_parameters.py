"""Hyperparameters of the algorithms that learn in turns (`turns.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from algorithms.core.optim import OPTIMISERS
from algorithms.core.parameters import CommonParameters
from tunerl.trainable import fixed, vector

Value = float | list[Any]


@dataclass(frozen=True)
class TurnParameters(CommonParameters):
    """Fragments, batches, the optimiser, and the coefficients of an actor-critic's loss."""

    rollout_fragment_length: int = fixed(
        5, "steps of each sub-environment in a fragment (n-step returns end with it)", low=1
    )
    train_batch_size: int | None = fixed(
        None, "environment steps per update, rounded up to whole fragments; None: one fragment of "
        "each sub-environment", low=1, optional=True,
    )  # fmt: skip
    min_sample_timesteps_per_iteration: int = fixed(
        2000, "environment steps of one agent per iteration, rounded up to whole batches", low=1
    )
    lr: Value = vector(
        7e-4, "learning rate", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    opt_type: str = fixed(
        "adam", "rmsprop_tf: RMSprop as TensorFlow has it", choices=tuple(OPTIMISERS)
    )
    adam_epsilon: float = vector(1e-5, "epsilon of Adam", low=0.0, exclusive_low=True)
    epsilon: float = vector(1e-5, "epsilon of RMSprop", low=0.0, exclusive_low=True)
    decay: float = vector(0.99, "decay of RMSprop's mean squares", low=0.0, high=1.0)
    momentum: float = vector(0.0, "momentum of RMSprop", low=0.0, high=1.0)
    grad_clip: float | None = vector(
        0.5, "largest global norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True, search={"choice": [0.3, 0.5, 1.0, 5.0]},
    )  # fmt: skip
    vf_loss_coeff: float = vector(
        0.5, "weight of the value loss", low=0.0, search={"uniform": [0.2, 1.0]}
    )
    entropy_coeff: Value = vector(
        0.0, "weight of the entropy bonus", low=0.0, schedule=True,
        search={"loguniform": [1e-8, 0.1]},
    )  # fmt: skip
