"""Hyperparameters that every algorithm has, and those of every one that steps environments; RLlib's
names wherever RLlib has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from algorithms.core.envs import VECTORIZE_MODES
from algorithms.core.lifting.optim import CLIPS
from algorithms.offline.trace import OutputParameters
from tunerl.errors import Problem
from tunerl.trainable import fixed, vector
from tunerl.trial import Config

Value = float | list[Any]
"""A number, or the schedule of one."""


def grad_clip_by() -> Any:
    """The field that every algorithm with a `grad_clip` has."""
    return fixed(
        "global_norm",
        "what grad_clip limits: the norm of the whole gradient, that of "
        "each parameter's, or each element",
        choices=CLIPS,
    )


@dataclass(frozen=True)
class AgentParameters:
    """Environment, network, evaluation, execution: what an agent has, however it learns."""

    env: Any = fixed(None, "Gymnasium id, or a name given to register_env", optional=True)
    env_config: dict[str, Any] = fixed({}, "keyword arguments of the environment")
    clip_actions: bool = fixed(True, "clip continuous actions to the bounds of the action space")
    normalize_actions: bool = fixed(False, "stretch actions from [-1, 1] to the bounds")
    observation_filter: str = fixed(
        "NoFilter",
        "MeanStdFilter: observations with running mean 0 and deviation 1, clipped at 10",
        choices=("NoFilter", "MeanStdFilter"),
    )
    model: dict[str, Any] = fixed(
        {}, "network: fcnet_hiddens, fcnet_activation, vf_share_layers, ..."
    )
    evaluation_interval: int | None = vector(
        None, "evaluate after every so many iterations", low=1, optional=True
    )
    evaluation_duration: int = vector(10, "how much to evaluate, in episodes or timesteps", low=1)
    evaluation_duration_unit: str = vector(
        "episodes", "what evaluation_duration counts", choices=("episodes", "timesteps")
    )
    evaluation_explore: bool = vector(
        False, "evaluate with sampled instead of the likeliest actions"
    )
    evaluation_config: dict[str, Any] | None = vector(
        None, "env and env_config of evaluation, where they differ from training's", optional=True
    )
    min_time_s_per_iteration: float | None = vector(
        None, "a lone agent's: go on until so many seconds are over, and report that as one "
        "iteration (its length is then up to the clock)", low=0.0, optional=True,
    )  # fmt: skip
    custom_evaluation_function: Any = vector(
        None, "called instead, as (algorithm, env_runner_group): the metrics of evaluation",
        optional=True,
    )  # fmt: skip
    callbacks: Any = fixed(
        None, "classes of callbacks, or functions by the name of their hook", optional=True
    )
    seed: int | None = vector(None, "mixed into the seed of each replica", low=0, optional=True)
    torch_compile_learner: bool | None = fixed(
        None,
        "compile the update (seconds, then two to three times as fast); None: where it pays",
        optional=True,
    )
    num_gpus_per_learner: float | None = fixed(
        None, "above 0: updates run on a GPU, of which a pack reserves so much", low=0.0,
        optional=True,
    )  # fmt: skip
    max_pack_size: int = fixed(32, "how many agents one worker trains at once, at most", low=1)


@dataclass(frozen=True)
class CommonParameters(AgentParameters):
    """What an agent has that learns from its own steps."""

    keep_per_episode_custom_metrics: bool = vector(
        False, "report an episode's custom_metrics as lists, not as mean, least and largest"
    )
    metrics_num_episodes_for_smoothing: int = vector(
        100, "over how many of the last episodes returns and lengths are averaged", low=1
    )
    num_env_runners: int = fixed(
        0,
        "multiplies the sub-environments of one agent (0 counts as 1); a lone agent's are then "
        "stepped in so many Ray actors",
        low=0,
    )
    num_envs_per_env_runner: int = fixed(8, "sub-environments of one agent", low=1)
    env_to_module_connector: Any = fixed(
        None, "makes what observations go through before the agent sees them", optional=True
    )
    module_to_env_connector: Any = fixed(
        None, "makes what actions go through before the environment gets them", optional=True
    )
    gym_env_vectorize_mode: str = fixed(
        "auto", "how sub-environments are stepped", choices=VECTORIZE_MODES
    )
    env_step_timeout_s: float | None = fixed(
        None,
        "with gym_env_vectorize_mode='async': how long a step or reset may take before the replica "
        "fails; None: for ever",
        low=0.0,
        exclusive_low=True,
        optional=True,
    )
    num_cpus_per_env_runner: float = vector(1.0, "what each such actor reserves", low=0.0)
    sample_timeout_s: float | None = vector(
        60.0,
        "how long such an actor may take for its part of a rollout; None: for ever",
        low=0.0,
        exclusive_low=True,
        optional=True,
    )
    restart_failed_env_runners: bool = vector(
        True, "make an actor anew that died or took too long; False: the agent fails"
    )
    max_num_env_runner_restarts: int = vector(1000, "how often, all in all", low=0)
    num_learners: int = vector(
        0,
        "a lone agent's: above 1, so many Ray actors each take the gradient of their part of a "
        "minibatch",
        low=0,
    )
    framestack: int = fixed(1, "so many of the last observations (a Box) are one", low=1)
    is_atari: bool | None = fixed(
        None,
        "the usual preprocessing of Atari games; None: where the id is one, False: raw frames",
        optional=True,
    )
    clip_rewards: bool | None = fixed(
        None, "learn from the rewards' signs; None: in Atari games only", optional=True
    )
    action_mask_key: str = fixed(
        "action_mask", "part of a Dict observation that flags the allowed actions"
    )
    normalize_rewards: bool = fixed(
        False, "divide rewards by the running deviation of the discounted return, clip at 10"
    )
    gamma: float = vector(
        0.99, "discount factor", low=0.0, high=1.0, search={"uniform": [0.9, 0.999]}
    )


@dataclass(frozen=True)
class OffPolicyParameters(OutputParameters, CommonParameters):
    """What every algorithm has that learns from a replay buffer."""

    num_envs_per_env_runner: int = fixed(1, "sub-environments of one agent", low=1)
    train_batch_size: int = fixed(
        32, "transitions per update", low=1, search={"choice": [16, 32, 64, 128, 256]}
    )
    min_sample_timesteps_per_iteration: int = fixed(
        1000, "environment steps of one agent per iteration", low=1
    )
    rollout_fragment_length: int = vector(
        1, "steps of each sub-environment between rounds of updates", low=1
    )
    training_intensity: float | None = vector(
        None, "transitions trained on per environment step; None: one update a round", low=0.0,
        exclusive_low=True, optional=True,
    )  # fmt: skip
    num_steps_sampled_before_learning_starts: int = vector(
        1000, "transitions in the buffer before the first update", low=0
    )
    target_network_update_freq: int = vector(
        0, "environment steps between updates of the target network", low=0
    )
    tau: float = vector(
        1.0, "how far the target network goes to the network in one update", low=0.0, high=1.0
    )
    n_step: Any = vector(
        1, "steps of reward before bootstrapping; [lo, hi]: drawn for each sample, both included",
        low=1, search={"randint": [1, 6]},
    )  # fmt: skip
    replay_buffer_capacity: int = fixed(50_000, "transitions that an agent remembers", low=1)
    prioritized_replay: bool = fixed(False, "sample by TD error, not uniformly")
    prioritized_replay_alpha: float = vector(
        0.6, "exponent of the priorities; 0: uniform", low=0.0, search={"uniform": [0.0, 1.0]}
    )
    prioritized_replay_beta: Value = vector(
        0.4, "exponent of the importance weights", low=0.0, high=1.0, schedule=True
    )
    prioritized_replay_eps: float = vector(
        1e-6, "added to each TD error", low=0.0, exclusive_low=True
    )
    store_buffer_in_checkpoints: bool = vector(
        True, "the replay buffer is part of the state; without it learning waits, after a restore, "
        "until num_steps_sampled_before_learning_starts transitions are there again",
    )  # fmt: skip
    adam_epsilon: float = vector(1e-8, "epsilon of Adam", low=0.0, exclusive_low=True)
    grad_clip: float | None = vector(
        None, "largest global norm of a gradient; None: no limit", low=0.0, exclusive_low=True,
        optional=True,
    )  # fmt: skip

    @staticmethod
    def problems(config: Config) -> list[Problem]:
        """What is wrong with values that are each in range."""
        n = config["n_step"]
        one = isinstance(n, int) and not isinstance(n, bool)
        two = isinstance(n, list | tuple) and len(n) == 2 and all(type(x) is int for x in n)
        if n is None or one or (two and 1 <= n[0] <= n[1]):
            return []
        wanted = "give a number of steps from 1, or [lo, hi] with 1 <= lo <= hi"
        return [Problem("n_step", f"got {n!r}; {wanted}")]
