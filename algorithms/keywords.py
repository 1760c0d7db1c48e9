"""What the methods of a configuration take, as data: which fields go where, and RLlib's keywords
that TuneRL does not have, each with the values that ask for nothing else than what happens anyhow,
and a sentence on what to use instead of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from algorithms.core.specs.spec import ALIASES
from tunerl.errors import InvalidConfig, Problem

METHODS: dict[str, tuple[str, ...]] = {
    "environment": (
        "env",
        "env_config",
        "observation_space",
        "action_space",
        "framestack",
        "is_atari",
        "clip_rewards",
        "action_mask_key",
        "clip_actions",
        "normalize_actions",
        "normalize_rewards",
    ),
    "framework": ("torch_compile_learner",),
    "resources": ("max_pack_size",),
    "env_runners": (
        "num_env_runners",
        "num_envs_per_env_runner",
        "num_cpus_per_env_runner",
        "sample_timeout_s",
        "gym_env_vectorize_mode",
        "env_to_module_connector",
        "module_to_env_connector",
        "env_step_timeout_s",
        "observation_filter",
        "rollout_fragment_length",
    ),
    "learners": ("num_learners", "num_gpus_per_learner"),
    "offline_data": (
        "input_",
        "input_read_method",
        "dataset_num_iters_per_learner",
        "output",
        "output_write_method",
        "output_max_rows_per_file",
        "output_max_file_size",
    ),
    "evaluation": (
        "evaluation_interval",
        "evaluation_duration",
        "evaluation_duration_unit",
        "evaluation_explore",
        "evaluation_config",
        "custom_evaluation_function",
    ),
    "debugging": ("seed",),
    "fault_tolerance": ("restart_failed_env_runners", "max_num_env_runner_restarts"),
    "reporting": (
        "min_sample_timesteps_per_iteration",
        "min_time_s_per_iteration",
        "metrics_num_episodes_for_smoothing",
        "keep_per_episode_custom_metrics",
    ),
    "callbacks": ("callbacks",),
    "checkpointing": (),
    "api_stack": (),
}
"""The fields that each method sets; `training` sets all the others."""

ONCE = {"num_cpus_per_env_runner": "resources"}
"""The methods that set a field in older generations."""

OLDER = {
    "callbacks_class": "callbacks",
    "num_workers": "num_env_runners",
    "evaluation_num_workers": "evaluation_num_env_runners",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "num_gpus_per_worker": "num_gpus_per_env_runner",
    "num_cpus_for_driver": "num_cpus_for_main_process",
    "num_cpus_for_local_worker": "num_cpus_for_main_process",
    "num_learner_workers": "num_learners",
    "num_cpus_per_learner_worker": "num_cpus_per_learner",
    "num_gpus": "num_gpus_per_learner",
    "num_gpus_per_learner_worker": "num_gpus_per_learner",
    "_enable_learner_api": "enable_rl_module_and_learner",
    "_enable_rl_module_api": "enable_rl_module_and_learner",
    "recreate_failed_workers": "restart_failed_env_runners",
    "recreate_failed_env_runners": "restart_failed_env_runners",
    "ignore_worker_failures": "ignore_env_runner_failures",
}
"""Older names of RLlib's, beside those of `algorithms.core.specs.spec.ALIASES`."""


@dataclass(frozen=True)
class Foreign:
    """A keyword of RLlib's. `means_nothing`: values that ask for what TuneRL does anyhow."""

    means_nothing: tuple[Any, ...]
    instead: str

    def check(self, name: str, value: Any) -> None:
        """Raise `InvalidConfig` unless `value` asks for nothing."""
        if any(type(value) is type(same) and value == same for same in self.means_nothing):
            return
        allowed = " or ".join(map(repr, self.means_nothing))
        only = f" (it may be left out, or be {allowed})" if allowed else ""
        raise InvalidConfig(Problem(name, f"{value!r} is not supported{only}: {self.instead}"))


def canonical(name: str) -> str:
    """Today's name of a setting that may go by an older one."""
    name = OLDER.get(name, name)
    return ALIASES.get(name, name)


_CPU = "a pack is one process, that trains many agents"
_GPU = "updates alone may run on a GPU: set num_gpus_per_learner"
_ONE_PROCESS = "an agent's environments are stepped in its pack's process"
_FAILURES = (
    "an environment that raises fails its trial, which FailureConfig(max_failures=...) starts "
    "again from its last checkpoint"
)
_SPACES = "the spaces are those of the environment; leave it out"
_EVALUATES = "evaluation plays in the pack's own process, in up to 10 environments at once"
_ITERATION = "an iteration is one batch of train_batch_size steps"
_STACK = "there is one API, which answers to the names of both stacks"
_OPTIMIZER = "the optimiser is Adam; set lr and adam_epsilon"
_SCHEDULE = "give the schedule itself as the value, such as lr=[[0, 1e-3], [100000, 1e-5]]"
_OWN_STEPS = "it learns from its own steps; BC, MARWIL, CQL and IQL learn from files"
_FILES = "the files are read once, and stay in memory"
_SHARE = "say it in the model: model={'vf_share_layers': True}"

FOREIGN: dict[str, Foreign] = {
    # environment
    "observation_space": Foreign((None,), _SPACES),
    "action_space": Foreign((None,), _SPACES),
    "render_env": Foreign((False, None), "render an environment of your own with the agent"),
    "disable_env_checking": Foreign((False,), "every environment is checked once"),
    # framework
    "framework": Foreign(("torch",), "the only framework is 'torch'"),
    "eager_tracing": Foreign((False, None), "there is no TensorFlow here"),
    "torch_compile_worker": Foreign((False,), "only the update is compiled: torch_compile_learner"),
    # resources, learners
    "num_cpus_for_main_process": Foreign((1,), _CPU),
    "placement_strategy": Foreign(("PACK",), "a pack is one worker, there is nothing to place"),
    "num_gpus_per_env_runner": Foreign((0, 0.0), _GPU),
    "custom_resources_per_env_runner": Foreign(({}, None), _ONE_PROCESS),
    "num_cpus_per_learner": Foreign(("auto", 1, 1.0), _CPU),
    "num_aggregator_actors_per_learner": Foreign((0,), _ONE_PROCESS),
    "local_gpu_idx": Foreign((0,), _GPU),
    # env_runners
    "explore": Foreign((True,), "while it learns an agent explores; see evaluation_explore"),
    "exploration_config": Foreign((None, {}), "an agent explores by sampling its own actions"),
    "rollout_fragment_length": Foreign(
        ("auto",), "a rollout has train_batch_size / sub-environments steps; set those"
    ),
    "batch_mode": Foreign(("truncate_episodes",), "a rollout has a fixed number of steps"),
    "create_env_on_local_worker": Foreign((False, True), _ONE_PROCESS),
    "create_local_env_runner": Foreign((False, True), _ONE_PROCESS),
    "create_env_on_driver": Foreign((False, True), _ONE_PROCESS),
    "remote_worker_envs": Foreign((False,), "use gym_env_vectorize_mode='async'"),
    "remote_env_batch_wait_ms": Foreign((0,), _ONE_PROCESS),
    "preprocessor_pref": Foreign((None,), "observations are flattened, discrete ones one-hot"),
    "compress_observations": Foreign((False,), "rollouts are kept as they are"),
    # training
    "optimizer": Foreign(({}, None), _OPTIMIZER),
    "vtrace": Foreign((True,), "it always corrects with v-trace"),
    "sample_async": Foreign((True,), "workers deliver in turn, each late by a known number"),
    "num_multi_gpu_tower_stacks": Foreign((1,), _GPU),
    "minibatch_buffer_size": Foreign((1,), "set learner_queue_size"),
    "timeout_s_sampler_manager": Foreign((0.0, 0), "set sample_timeout_s"),
    "learner_class": Foreign((None,), "write an algorithm with a loss of its own"),
    "learner_connector": Foreign((None,), "write an algorithm of its own; see learn_on_batch, too"),
    "add_default_connectors_to_learner_pipeline": Foreign((True,), "leave it out"),
    "vf_share_layers": Foreign((), _SHARE),
    "lr_schedule": Foreign((None,), _SCHEDULE),
    "entropy_coeff_schedule": Foreign((None,), _SCHEDULE),
    "shuffle_sequences": Foreign((), "it is called shuffle_batch_per_epoch now"),
    # offline_data
    "input_": Foreign(("sampler", None), _OWN_STEPS),
    "input_config": Foreign(({}, None), "give the files: offline_data(input_=...)"),
    "input_read_method": Foreign((), _OWN_STEPS),
    "input_read_method_kwargs": Foreign(({}, None), _FILES),
    "input_read_schema": Foreign(({}, None), "name the columns as RLlib does: obs, actions, ..."),
    "input_read_episodes": Foreign((False,), _FILES),
    "input_read_sample_batches": Foreign((False,), _FILES),
    "input_read_batch_size": Foreign((None,), _FILES),
    "input_filesystem": Foreign((None,), "give a URL, such as s3://bucket/data"),
    "input_filesystem_kwargs": Foreign(({}, None), "give a URL, such as s3://bucket/data"),
    "input_compress_columns": Foreign(([], ()), "columns that are packed are never opened"),
    "input_spaces_jsonable": Foreign((False, True), "the spaces are read from the files"),
    "materialize_data": Foreign((True, False), _FILES),
    "materialize_mapped_data": Foreign((True, False), _FILES),
    "map_batches_kwargs": Foreign(({}, None), _FILES),
    "iter_batches_kwargs": Foreign(({}, None), _FILES),
    "ignore_final_observation": Foreign((False,), _FILES),
    "prelearner_class": Foreign((None,), "write an algorithm of its own"),
    "prelearner_buffer_class": Foreign((None,), "write an algorithm of its own"),
    "prelearner_module_synch_period": Foreign((10,), _FILES),
    "dataset_num_iters_per_learner": Foreign((), _OWN_STEPS),
    "postprocess_inputs": Foreign((False, True), "what an algorithm needs is computed anyhow"),
    "actions_in_input_normalized": Foreign(
        (False,), "actions are read as the environment takes them; write them so"
    ),
    "output_compress_columns": Foreign(([], ()), "columns are written as they are"),
    "output_filesystem": Foreign((None,), "give a URL, such as s3://bucket/data"),
    "output_config": Foreign(({}, None), "give a directory or a URL: output=..."),
    "output_write_remaining_data": Foreign((False, True), "what remains is written at the end"),
    "output_write_episodes": Foreign((False,), "each row is a step"),
    # evaluation
    "evaluation_num_env_runners": Foreign((0, 1), _EVALUATES),
    "evaluation_parallel_to_training": Foreign((False,), _EVALUATES),
    "evaluation_force_reset_envs_before_iteration": Foreign((True,), "it always starts afresh"),
    "evaluation_sample_timeout_s": Foreign((120.0, 120, None), _EVALUATES),
    "always_attach_evaluation_results": Foreign((False, None), "set evaluation_interval=1"),
    # debugging, failures, reporting, checkpoints
    "log_sys_usage": Foreign((False,), "the use of the machine is not measured"),
    "logger_creator": Foreign((None,), "results go into the store of an experiment"),
    "logger_config": Foreign((None,), "results go into the store of an experiment"),
    "ignore_env_runner_failures": Foreign((False,), _FAILURES),
    "restart_failed_sub_environments": Foreign((False,), _FAILURES),
    "min_train_timesteps_per_iteration": Foreign((None, 0), _ITERATION),
    "export_native_model_files": Foreign((False,), "save get_module() with torch yourself"),
    "checkpoint_trainable_policies_only": Foreign((False,), "there is one policy"),
    # the API itself
    "enable_rl_module_and_learner": Foreign((True, False), _STACK),
    "enable_env_runner_and_connector_v2": Foreign((True, False), _STACK),
}


def foreign_to(parameters: type) -> Mapping[str, Foreign]:
    """The keywords that an algorithm with these hyperparameters does not have.

    Those that are foreign to it alone stand in its own attribute `FOREIGN`.
    """
    return {**FOREIGN, **getattr(parameters, "FOREIGN", {})}


MODEL: dict[str, Foreign] = {
    "use_attention": Foreign((False,), "use_lstm, use_gru, or stacked frames remember too"),
}
"""The same for settings of the network."""

MISSING_METHODS = {
    "multi_agent": "several agents in one environment are not supported yet",
    "exploration": "an agent explores by sampling its own actions; see evaluation(...)",
    "experimental": "there are no experimental settings",
    "python_environment": "use the environment of the process that trains",
    "build_learner_group": "an agent learns in its pack; use build_algo()",
    "build_learner": "an agent learns in its pack; use build_algo()",
}
"""Methods of RLlib's configuration that are not here, and why."""
