"""Every hyperparameter of those that learn in turns has an effect on their numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from algorithms.core.specs.turn_spec import batch_steps
from tests.algorithms.turns import SPECS, lone, tiny
from tunerl.errors import InvalidConfig
from tunerl.trainable import hyperparameters

PENDULUM = {"env": "Pendulum-v1"}
EVALUATED = {"evaluation_interval": 1, "evaluation_duration": 2}
RMSPROP = {"opt_type": "rmsprop"}
ADAM = {"opt_type": "adam"}
KL = {"use_kl_loss": True, "kl_target": 1e-9}
Effects = dict[str, tuple[Any, dict[str, Any]]]
# field -> (another value, the base in which it matters)
EVERY: Effects = {
    "num_envs_per_env_runner": (3, {}),
    "clip_actions": (False, {"env": "probe/target"}),
    "normalize_rewards": (True, PENDULUM),
    "gamma": (0.9, {}),
    "rollout_fragment_length": (6, {}),
    "train_batch_size": (20, {}),
    "min_sample_timesteps_per_iteration": (150, {}),
    "lr": (1e-3, {}),
    "opt_type": ("rmsprop_tf", RMSPROP),
    "adam_epsilon": (1e-2, ADAM),
    "epsilon": (1e-2, RMSPROP),
    "decay": (0.5, RMSPROP),
    "momentum": (0.9, RMSPROP),
    "grad_clip": (1e-3, {}),
    "grad_clip_by": ("value", {"grad_clip": 1e-3}),
    "entropy_coeff": (0.5, {}),
    "evaluation_duration": (3, EVALUATED),
}
VALUES: Effects = {"vf_loss_coeff": (0.1, {})}
ACTOR_CRITIC: Effects = {
    "use_gae": (False, {"lambda_": 0.5}),
    "lambda_": (0.5, {}),
    "use_critic": (False, {}),
    "normalize_advantages": (True, {}),
}
LAGGED: Effects = {
    "lambda_": (0.5, {}),
    "minibatch_size": (8, {}),
    "num_epochs": (2, {}),
    "broadcast_interval": (2, {}),
    "normalize_advantages": (True, {}),
    "vtrace_clip_rho_threshold": (0.5, {}),
    "vtrace_clip_pg_rho_threshold": (0.5, {}),
}
OWN: dict[str, Effects] = {
    "A2C": VALUES | ACTOR_CRITIC | {"microbatch_size": (4, {"normalize_advantages": True})},
    "A3C": VALUES | ACTOR_CRITIC | {"num_env_runners": (2, {})},
    "IMPALA": VALUES | LAGGED | {"learner_queue_size": (1, {})},
    "APPO": VALUES
    | LAGGED
    | {
        "use_gae": (False, {"lambda_": 0.5}),
        "circular_buffer_num_batches": (2, {}),
        "circular_buffer_iterations_per_batch": (3, {}),
        "clip_param": (0.001, {}),
        "target_worker_clipping": (0.9, {}),
        "target_network_update_freq": (1, {}),
        "tau": (0.5, {}),
        "use_kl_loss": (True, {}),
        "kl_coeff": (9.0, KL),
        "kl_target": (1e3, KL),
    },
    "VPG": {"normalize_returns": (False, {})},
}
# of all algorithms, and under test with PPO
COMMON = {
    "env", "env_config", "num_env_runners", "gym_env_vectorize_mode", "normalize_actions", "model",
    "observation_filter", "seed", "torch_compile_learner", "max_pack_size",
}  # fmt: skip


@cache
def _trained(name: str, key: str) -> Any:
    metrics, state = lone(name, eval(key), 3, 2)
    return metrics, {part: array.tolist() for part, array in state.arrays.items()}


def trained(name: str, config: dict[str, Any]) -> Any:
    return _trained(name, repr(config))


@pytest.mark.parametrize("name", SPECS)
def test_every_field_is_in_a_table(name: str) -> None:
    from algorithms.core.specs.parameters import CommonParameters
    from algorithms.offline.trace import OutputParameters

    common = {*hyperparameters(CommonParameters), *hyperparameters(OutputParameters)}
    own = set(hyperparameters(SPECS[name].parameters)) - common
    changed = common & (EVERY.keys() | OWN[name].keys())
    assert own | changed == EVERY.keys() | OWN[name].keys()


CASES = [(name, field) for name in SPECS for field in OWN[name]]
CASES += [("IMPALA", field) for field in EVERY]
CASES += [("A2C", field) for field in ("rollout_fragment_length", "train_batch_size", "momentum")]


@pytest.mark.parametrize(("name", "field"), CASES)
def test_a_hyperparameter_has_an_effect(name: str, field: str) -> None:
    value, base = (EVERY | OWN[name])[field]
    config = tiny(**base)
    assert SPECS[name].resolve(config)[field] != value
    assert trained(name, config | {field: value}) != trained(name, config)


def test_a_schedule_runs_over_environment_steps() -> None:
    flat = trained("A2C", tiny(lr=[[0, 1e-2], [100, 1e-2]]))
    assert flat == trained("A2C", tiny(lr=1e-2))
    assert trained("A2C", tiny(lr=[[0, 1e-2], [100, 1e-4]])) != flat


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 40),
        ({"n_steps": 8}, 64),
        ({"train_batch_size": 100}, 120),
        ({"num_env_runners": 2}, 80),
    ],
    ids=["the defaults", "n_steps", "train_batch_size", "runners"],
)
def test_an_update_is_on_whole_fragments(settings: dict[str, Any], steps: int) -> None:
    config = SPECS["A2C"].resolve({"env": "CartPole-v1", **settings})
    assert batch_steps(config) == steps
    metrics, _ = lone("A2C", {**config, "model": {"fcnet_hiddens": [4]}}, 0, 1)
    sampled = metrics[0]["env_runners/num_env_steps_sampled"]
    assert sampled == -(-2000 // steps) * steps
    assert metrics[0]["learners/default_policy/num_updates_lifetime"] == sampled / steps


def test_whether_compiling_pays_is_decided_by_updates_and_rows() -> None:
    config = SPECS["A2C"].resolve({"env": "CartPole-v1"})

    def pays(replicas: int, **stop: float) -> Any:
        return SPECS["A2C"].plan(config, replicas=replicas, stop=stop)["torch_compile_learner"]

    assert pays(1, num_env_steps_sampled_lifetime=1_000_000) is True
    assert pays(1, num_env_steps_sampled_lifetime=100_000) is False
    assert pays(1, training_iteration=500) is True
    assert pays(32, num_env_steps_sampled_lifetime=1_000_000) is False  # its updates are too small


def test_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(InvalidConfig, match="opt_type"):
        SPECS["IMPALA"].resolve(tiny(opt_type="sgd"))
    with pytest.raises(InvalidConfig, match="learner_queue_size"):
        SPECS["IMPALA"].resolve(tiny(learner_queue_sise=1))
