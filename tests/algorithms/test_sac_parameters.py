"""Every hyperparameter of SAC has an effect: change one, and the numbers change."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from algorithms.sac import SPEC, SACParameters
from tests.algorithms.soft import lone, same, tiny
from tests.algorithms.test_ppo_parameters import EXECUTION as ANYWHERE
from tunerl.errors import InvalidConfig
from tunerl.registry import register_env
from tunerl.trainable import hyperparameters

CARTPOLE = {"env": "CartPole-v1"}
PRIORITIZED = {"prioritized_replay": True}
EVALUATED = {"evaluation_interval": 1, "evaluation_duration": 1}
# field -> (another value, the base in which it matters)
EFFECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "env": ("MountainCarContinuous-v0", {}),
    "env_config": ({"g": 5.0}, {}),
    "num_env_runners": (3, {}),
    "num_envs_per_env_runner": (2, {}),
    "normalize_actions": (False, {}),
    "observation_filter": ("MeanStdFilter", {}),
    "normalize_rewards": (True, {}),
    "model": ({"fcnet_hiddens": [8], "fcnet_activation": "tanh"}, {}),
    "gamma": (0.9, {}),
    "framestack": (2, {}),
    "clip_rewards": (True, {}),
    "action_mask_key": ("flags", {"env": "probe/allowed", "env_config": {"key": "flags"}}),
    "evaluation_interval": (2, EVALUATED),
    "evaluation_duration": (2, EVALUATED),
    "evaluation_duration_unit": ("timesteps", EVALUATED | {"evaluation_duration": 201}),
    "evaluation_explore": (True, EVALUATED),
    "evaluation_config": ({"env_config": {"g": 5.0}}, EVALUATED),
    "seed": (1, {}),
    "twin_q": (False, {}),
    "actor_lr": (1e-3, {}),
    "critic_lr": (1e-3, {}),
    "alpha_lr": (1e-2, {}),
    "lr": (1e-2, {}),
    "adam_epsilon": (1e-2, {}),
    "grad_clip": (0.01, {"adam_epsilon": 1.0}),
    "initial_alpha": (0.1, {}),
    "target_entropy": (-3.0, {}),
    "target_entropy_ratio": (0.9, CARTPOLE),
    "td_error_loss_fn": ("huber", {}),
    "train_batch_size": (16, {}),
    "tau": (0.5, {}),
    "target_network_update_freq": (7, {"tau": 0.5}),
    "n_step": ([2, 3], {}),
    "training_intensity": (16.0, {}),
    "rollout_fragment_length": (3, {}),
    "num_steps_sampled_before_learning_starts": (12, {}),
    "replay_buffer_capacity": (12, {}),
    "min_sample_timesteps_per_iteration": (30, {}),
    "prioritized_replay": (True, {}),
    "prioritized_replay_alpha": (0.1, PRIORITIZED),
    "prioritized_replay_beta": (1.0, PRIORITIZED),
    "prioritized_replay_eps": (10.0, PRIORITIZED),
    "store_buffer_in_checkpoints": (False, {}),
}
EXECUTION = ANYWHERE | {
    "clip_actions",  # has one value
    "callbacks",  # this and the next: in test_callbacks
    "keep_per_episode_custom_metrics",
    "metrics_num_episodes_for_smoothing",  # in test_reporting
}
MODEL_EFFECTS: dict[str, Any] = {
    "fcnet_hiddens": [8, 8],
    "fcnet_activation": "tanh",
    "head_fcnet_hiddens": [4],
}


@cache
def _trained(key: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    metrics, state = lone("SAC", eval(key))
    return metrics, {name: array.tolist() for name, array in state.arrays.items()}


def trained(config: dict[str, Any]) -> Any:
    return _trained(repr(config))


def test_every_field_is_in_a_table() -> None:
    assert set(EFFECTS) | EXECUTION == set(hyperparameters(SACParameters))
    assert not set(EFFECTS) & EXECUTION


@pytest.mark.parametrize("name", EFFECTS)
def test_a_hyperparameter_has_an_effect(name: str) -> None:
    value, base = EFFECTS[name]
    config = tiny(**base)
    assert SPEC.resolve(config)[name] != value
    assert trained(config | {name: value}) != trained(config)


@pytest.mark.parametrize("name", MODEL_EFFECTS)
def test_a_setting_of_the_networks_has_an_effect(name: str) -> None:
    model = {"fcnet_hiddens": [8]}
    changed = tiny(model=model | {name: MODEL_EFFECTS[name]})
    assert trained(changed) != trained(tiny(model=model))


@pytest.mark.parametrize("name", ["actor_lr", "critic_lr", "alpha_lr", "prioritized_replay_beta"])
def test_a_schedule_has_an_effect_and_a_flat_one_is_the_constant(name: str) -> None:
    base = tiny(**PRIORITIZED)
    flat = trained(base | {name: [[0, 0.1], [40, 0.1]]})
    assert flat == trained(base | {name: 0.1})
    assert trained(base | {name: [[0, 0.1], [40, 0.0]]}) != flat


def test_lr_stands_for_the_rates_that_are_not_given() -> None:
    found = SPEC.resolve(tiny(lr=1e-2, critic_lr=1e-3))
    assert [found[f"{name}_lr"] for name in ("actor", "critic", "alpha")] == [1e-2, 1e-3, 1e-2]
    assert SPEC.resolve(found) == found


def test_by_default_there_is_an_update_for_each_environment_step() -> None:
    for envs in (1, 4):
        metrics, _ = lone("SAC", tiny(num_envs_per_env_runner=envs), iterations=2)
        updates = metrics[1]["learners/default_policy/num_updates_lifetime"]
        assert updates - metrics[0]["learners/default_policy/num_updates_lifetime"] == 20


def test_an_alpha_lr_of_0_holds_the_temperature() -> None:
    metrics, _ = lone("SAC", tiny(alpha_lr=0.0, initial_alpha=0.2))
    assert metrics[1]["learners/default_policy/alpha_value"] == pytest.approx(0.2)


@pytest.mark.parametrize(("base", "usual"), [({}, 1), (CARTPOLE, [2, 5])], ids=["box", "choices"])
def test_choices_look_several_steps_ahead_unless_told_otherwise(
    base: dict[str, Any], usual: Any
) -> None:
    (_, found), (_, wanted) = (lone("SAC", tiny(**base, n_step=n)) for n in (None, usual))
    same(found, wanted)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"env": "probe/choices"}, "env", "MultiDiscrete"),
        ({"env": "soft/unbounded"}, "env", "finite bounds"),
        ({"target_entropy": "low"}, "target_entropy", "'auto'"),
        ({"target_entropy": True}, "target_entropy", "'auto'"),
        ({"n_step": [3, 2]}, "n_step", "lo <= hi"),
        ({"clip_actions": True}, "clip_actions", "False"),
        ({"model": {"use_lstm": True}}, "model.use_lstm", "leave it out"),
        ({"model": {"vf_share_layers": True}}, "model.vf_share_layers", "leave it out"),
    ],
)
def test_what_it_cannot_take_is_refused_before_it_begins(
    change: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(InvalidConfig, match=words) as caught:
        SPEC.resolve(tiny() | change)
    assert caught.value.problems[0].path.startswith(path)


def unbounded(config: dict[str, Any]) -> Any:
    from gymnasium import spaces

    from tests.algorithms.support import Probe

    made = Probe(config)
    made.action_space = spaces.Box(-float("inf"), float("inf"), (1,))
    return made


register_env("soft/unbounded", unbounded)
