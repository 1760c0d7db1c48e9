"""Hyperparameters of the algorithms that learn in turns (`turns.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.core.lifting.optim import OPTIMISERS
from algorithms.core.specs.parameters import CommonParameters, Value, grad_clip_by
from algorithms.offline.trace import OutputParameters
from tunerl.trainable import fixed, vector


@dataclass(frozen=True)
class TurnParameters(OutputParameters, CommonParameters):
    """Fragments, batches, the optimiser."""

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
    grad_clip_by: str = grad_clip_by()
    entropy_coeff: Value = vector(
        0.0, "weight of the entropy bonus", low=0.0, schedule=True,
        search={"loguniform": [1e-8, 0.1]},
    )  # fmt: skip


@dataclass(frozen=True)
class ActorCriticParameters(TurnParameters):
    """Of those that learn values too."""

    vf_loss_coeff: float = vector(
        0.5, "weight of the value loss", low=0.0, search={"uniform": [0.2, 1.0]}
    )


@dataclass(frozen=True)
class LaggedParameters(ActorCriticParameters):
    """Of those whose acting weights and batches lag behind (`lagged.py`)."""

    rollout_fragment_length: int = fixed(
        32,
        "steps of each sub-environment in a fragment; returns are bootstrapped at its end",
        low=1,
    )
    min_sample_timesteps_per_iteration: int = fixed(
        4000, "environment steps of one agent per iteration, rounded up to whole batches", low=1
    )
    minibatch_size: int | None = fixed(
        None, "samples per update, in whole columns of a fragment's length; None: the whole batch",
        low=1, optional=True,
    )  # fmt: skip
    num_epochs: int = vector(1, "passes over each batch", low=1, search={"randint": [1, 5]})
    broadcast_interval: int = vector(
        1, "updates between two renewals of the weights that act", low=1,
        search={"randint": [1, 9]},
    )  # fmt: skip
    lr: Value = vector(
        1e-3, "learning rate", low=0.0, exclusive_low=True, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    grad_clip: float | None = vector(
        40.0, "largest global norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True, search={"choice": [0.5, 5.0, 10.0, 40.0]},
    )  # fmt: skip
    entropy_coeff: Value = vector(
        0.01, "weight of the entropy bonus", low=0.0, schedule=True,
        search={"loguniform": [1e-8, 0.1]},
    )  # fmt: skip
    lambda_: float = vector(
        1.0, "decay of v-trace's traces", low=0.0, high=1.0, search={"uniform": [0.8, 1.0]}
    )
    normalize_advantages: bool = vector(False, "mean 0 and deviation 1 in each minibatch")
    vtrace_clip_rho_threshold: float | None = vector(
        1.0, "largest importance ratio in the value targets; None: no limit", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
    vtrace_clip_pg_rho_threshold: float | None = vector(
        1.0, "largest importance ratio of the policy gradient; None: no limit", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
