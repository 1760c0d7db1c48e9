"""Every hyperparameter of DQN has an effect: change one, and the numbers change."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from algorithms.dqn import SPEC, DQNParameters
from tests.algorithms.dqn_support import RAINBOW, lone, open_pack, tiny
from tests.algorithms.test_ppo_parameters import EXECUTION, measured, reported
from tunerl.errors import InvalidConfig
from tunerl.trainable import hyperparameters
from tunerl.trial import ReplicaId

EVALUATED = {"evaluation_interval": 1, "evaluation_duration": 2}
ATOMS = {"num_atoms": 5, "v_min": 0.0, "v_max": 20.0}
PRIORITIES = {"prioritized_replay": True}
SOFT = {"exploration": "SoftQ", "epsilon": 0.1}
# field -> (another value, the base in which it matters)
EFFECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "env": ("MountainCar-v0", {}),
    "env_config": ({"sutton_barto_reward": True}, {}),
    "num_env_runners": (3, {}),
    "num_envs_per_env_runner": (4, {}),
    "framestack": (2, {}),
    "clip_rewards": (True, {"env": "probe/single"}),
    "action_mask_key": ("flags", {"env": "probe/allowed", "env_config": {"key": "flags"}}),
    "observation_filter": ("MeanStdFilter", {}),
    "normalize_rewards": (True, {}),
    "model": ({"fcnet_hiddens": [8], "fcnet_activation": "tanh"}, {}),
    "gamma": (0.9, {}),
    "evaluation_interval": (2, EVALUATED),
    "evaluation_duration": (3, EVALUATED),
    "evaluation_duration_unit": ("timesteps", EVALUATED | {"evaluation_duration": 30}),
    "evaluation_explore": (True, EVALUATED),
    "evaluation_config": ({"env_config": {"sutton_barto_reward": True}}, EVALUATED),
    "callbacks": ({"on_train_result": reported}, {}),
    "keep_per_episode_custom_metrics": (True, {"callbacks": {"on_episode_end": measured}}),
    "seed": (1, {}),
    "train_batch_size": (9, {}),
    "min_sample_timesteps_per_iteration": (70, {}),
    "metrics_num_episodes_for_smoothing": (1, {}),
    "rollout_fragment_length": (2, {}),
    "training_intensity": (1.0, {}),
    "num_steps_sampled_before_learning_starts": (30, {}),
    "target_network_update_freq": (20, {}),
    "tau": (0.5, {}),
    "n_step": ([1, 3], {}),
    "replay_buffer_capacity": (30, {}),
    "prioritized_replay": (True, {}),
    "prioritized_replay_alpha": (0.1, PRIORITIES),
    "prioritized_replay_beta": (0.9, PRIORITIES),
    "prioritized_replay_eps": (1.0, PRIORITIES),
    "store_buffer_in_checkpoints": (False, {}),
    "lr": (1e-3, {}),
    "adam_epsilon": (1e-2, {}),
    "grad_clip": (0.01, {}),
    "grad_clip_by": ("value", {"grad_clip": 0.01}),
    "double_q": (False, {}),
    "dueling": (False, {}),
    "hiddens": ([5], {}),
    "td_error_loss_fn": ("mse", {}),
    "num_atoms": (7, ATOMS),
    "v_min": (-5.0, ATOMS),
    "v_max": (30.0, ATOMS),
    "noisy": (True, {}),
    "sigma0": (0.1, {"noisy": True}),
    "epsilon": (0.5, {}),
    "exploration": ("SoftQ", {"epsilon": 0.1}),
    "categorical_distribution_temperature": (0.01, SOFT),
}
REFUSED = {"clip_actions", "normalize_actions"}  # other values: test_dqn_pack.py
_configs: dict[str, dict[str, Any]] = {}


@cache
def _trained(key: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    metrics, state = lone(_configs[key], 3, 2)
    return metrics, {name: array.tolist() for name, array in state.arrays.items()}


def trained(config: dict[str, Any]) -> Any:
    _configs[repr(config)] = config
    return _trained(repr(config))


def test_every_field_is_in_a_table() -> None:
    assert set(EFFECTS) | EXECUTION | REFUSED == set(hyperparameters(DQNParameters))
    assert not set(EFFECTS) & (EXECUTION | REFUSED)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_hyperparameter_has_an_effect(name: str) -> None:
    value, base = EFFECTS[name]
    config = tiny(**base)
    assert SPEC.resolve(config)[name] != value
    assert trained(config | {name: value}) != trained(config)


SCHEDULED = [name for name, info in hyperparameters(DQNParameters).items() if info.schedule]


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_schedule_has_an_effect_and_a_flat_one_is_the_constant(name: str) -> None:
    base = tiny(**PRIORITIES)
    flat = trained(base | {name: [[0, 0.3], [100, 0.3]]})
    assert flat == trained(base | {name: 0.3})
    assert trained(base | {name: [[0, 0.3], [100, 0.1]]}) != flat


@pytest.mark.parametrize("name", [n for n in EFFECTS if n not in ("env", "env_config", "model")])
def test_vector_fields_share_a_pack_and_fixed_ones_need_another(name: str) -> None:
    value, base = EFFECTS[name]
    config = tiny(**base)
    if hyperparameters(DQNParameters)[name].vector:
        assert SPEC.pack_key(SPEC.resolve(config)) == SPEC.pack_key(
            SPEC.resolve(config | {name: value})
        )
        return
    pack = open_pack(config)
    pack.join(ReplicaId(0, 0), config, 0)
    with pytest.raises(InvalidConfig, match="fixed"):
        pack.configure(ReplicaId(0, 0), config | {name: value})
    pack.close()


def test_all_of_rainbow_at_once_learns_from_every_part_of_it() -> None:
    whole = trained(tiny(**RAINBOW))
    for name in RAINBOW:
        if name not in ("v_min", "v_max"):
            rest = {key: value for key, value in RAINBOW.items() if key != name}
            assert trained(tiny(**rest)) != whole, name
