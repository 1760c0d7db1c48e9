"""Every hyperparameter of PPO has an effect: change one, and the numbers change."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.core.nets.preprocessors import NoPreprocessor, register_preprocessor
from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.ppo import SPEC, PPOParameters
from tests.algorithms.support import APART, CONNECTORS, RUNNERS, lone, open_pack, tiny
from tunerl.errors import InvalidConfig
from tunerl.trainable import hyperparameters
from tunerl.trial import ReplicaId


def reported(result: Any, **kwargs: Any) -> None:
    result["told"] = True


def measured(episode: Any, **kwargs: Any) -> None:
    episode.custom_metrics["length"] = len(episode)


PENDULUM = {"env": "Pendulum-v1"}
PICTURE = {"env": "probe/picture", "conv_filters": [[3, 3, 1]]}
KL = {"use_kl_loss": True, "lr": 1e-2}
LSTM = {"use_lstm": True, "lstm_cell_size": 4}
EVALUATED = {"evaluation_interval": 1, "evaluation_duration": 2}
# field -> (another value, the base in which it matters)
EFFECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "env": ("Acrobot-v1", {}),
    "env_config": ({"sutton_barto_reward": True}, {}),
    "num_env_runners": (3, {}),
    "num_envs_per_env_runner": (4, {}),
    "framestack": (2, {}),
    "clip_rewards": (True, PENDULUM),
    "action_mask_key": ("flags", {"env": "probe/allowed", "env_config": {"key": "flags"}}),
    "clip_actions": (False, {"env": "probe/target"}),
    "normalize_actions": (True, PENDULUM),
    "observation_filter": ("MeanStdFilter", {}),
    "normalize_rewards": (True, PENDULUM),
    "model": ({"fcnet_hiddens": [8], "fcnet_activation": "relu"}, {}),
    "gamma": (0.9, {}),
    "evaluation_interval": (2, EVALUATED),
    "evaluation_duration": (3, EVALUATED),
    "evaluation_duration_unit": ("timesteps", EVALUATED | {"evaluation_duration": 30}),
    "evaluation_explore": (True, EVALUATED),
    "evaluation_config": ({"env_config": {"sutton_barto_reward": True}}, EVALUATED),
    "callbacks": ({"on_train_result": reported}, {}),
    "keep_per_episode_custom_metrics": (True, {"callbacks": {"on_episode_end": measured}}),
    "seed": (1, {}),
    "train_batch_size": (96, {}),
    "min_sample_timesteps_per_iteration": (65, {}),
    "metrics_num_episodes_for_smoothing": (1, {}),
    "minibatch_size": (16, {}),
    "num_epochs": (3, {}),
    "shuffle_batch_per_epoch": (False, {}),
    "lr": (1e-3, {}),
    "adam_epsilon": (1e-2, {}),
    "grad_clip": (0.01, {}),
    "grad_clip_by": ("value", {"grad_clip": 0.01}),
    "use_gae": (False, {}),
    "lambda_": (0.5, {}),
    "use_critic": (False, {}),
    "normalize_advantages": (False, {}),
    "clip_param": (0.01, {"lr": 1e-2}),
    "vf_clip_param": (1e-3, {}),
    "vf_loss_coeff": (0.1, {}),
    "entropy_coeff": (0.1, {}),
    "use_kl_loss": (True, {"kl_coeff": 10.0, "lr": 1e-2}),
    "kl_coeff": (10.0, KL),
    "kl_target": (1e-6, KL),
    "target_kl": (1e-9, {}),
}
MODEL_EFFECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "fcnet_hiddens": ([8, 8], {}),
    "fcnet_activation": ("relu", {}),
    "vf_share_layers": (True, {}),
    "free_log_std": (False, PENDULUM),
    "head_fcnet_hiddens": ([4], {}),
    "head_fcnet_activation": ("tanh", {"head_fcnet_hiddens": [4]}),
    "conv_filters": ([[2, 3, 2]], PICTURE),
    "conv_activation": ("tanh", PICTURE),
    "custom_action_dist": ("Beta", PENDULUM),
    "custom_preprocessor": ("tests-double", {}),
    "use_lstm": (True, {}),
    "use_gru": (True, {}),
    "lstm_cell_size": (5, LSTM),
    "max_seq_len": (4, LSTM),
    "lstm_use_prev_action": (True, LSTM),
    "lstm_use_prev_reward": (True, PENDULUM | LSTM),
    "custom_model": ("tests-linear", {}),
    "custom_model_config": ({"gain": 2.0}, {"custom_model": "tests-linear"}),
}
OUTPUT = {"output", "output_write_method", "output_max_rows_per_file", "output_max_file_size"}
EXECUTION = {
    *OUTPUT,
    *RUNNERS,
    *APART,
    *CONNECTORS,
    "env_step_timeout_s",  # this and the next: in tests/envs
    "is_atari",
    "gym_env_vectorize_mode",
    "torch_compile_learner",
    "max_pack_size",
}


_configs: dict[str, dict[str, Any]] = {}


@cache
def _trained(key: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    metrics, state = lone(_configs[key], 3, 2)
    return metrics, {name: array.tolist() for name, array in state.arrays.items()}


def trained(config: dict[str, Any]) -> Any:
    _configs[repr(config)] = config
    return _trained(repr(config))


def test_every_field_is_in_a_table() -> None:
    assert set(EFFECTS) | EXECUTION == set(hyperparameters(PPOParameters))
    assert not set(EFFECTS) & EXECUTION


@pytest.mark.parametrize("name", EFFECTS)
def test_a_hyperparameter_has_an_effect(name: str) -> None:
    value, base = EFFECTS[name]
    config = tiny(**base)
    assert SPEC.resolve(config)[name] != value
    assert trained(config | {name: value}) != trained(config)


class Double(NoPreprocessor):
    """Twice what there is."""

    def transform(self, observation: Any) -> Any:
        return 2 * observation


@pytest.mark.slow
def test_each_model_setting_has_an_effect() -> None:
    from algorithms.core.nets import MODEL_DEFAULTS, register_model

    def linear(inputs: int, outputs: int, gain: float = 1.0) -> torch.nn.Module:
        class Linear(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.both = torch.nn.Linear(inputs, outputs + 1)

            def forward(self, obs: torch.Tensor) -> Any:
                both = gain * self.both(obs)
                return both[..., :-1], both[..., -1]

        return Linear()

    register_model("tests-linear", linear)
    register_preprocessor("tests-double", Double)
    assert set(MODEL_EFFECTS) == set(MODEL_DEFAULTS)
    for name, (value, base) in MODEL_EFFECTS.items():
        more = {key: item for key, item in base.items() if key in MODEL_DEFAULTS}
        env = {key: item for key, item in base.items() if key not in MODEL_DEFAULTS}
        model = {"fcnet_hiddens": [8], **more}
        without, changed = (tiny(**env, model=m) for m in (model, model | {name: value}))
        assert trained(changed) != trained(without), name


SCHEDULED = [name for name, info in hyperparameters(PPOParameters).items() if info.schedule]


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_schedule_has_an_effect_and_a_flat_one_is_the_constant(name: str) -> None:
    base = tiny(lr=5e-2)
    flat = trained(base | {name: [[0, 0.1], [100, 0.1]]})
    assert flat == trained(base | {name: 0.1})
    assert trained(base | {name: [[0, 0.1], [100, 0.0]]}) != flat


@pytest.mark.parametrize(
    ("name", "value"),
    [(n, v) for n, (v, _) in EFFECTS.items() if n not in ("env", "env_config", "model")],
)
def test_vector_fields_share_a_pack_and_fixed_ones_need_another(name: str, value: Any) -> None:
    config = tiny()
    pack = open_pack(config)
    pack.join(ReplicaId(0, 0), config, 0)
    changed = SPEC.resolve(config | {name: value})
    if hyperparameters(PPOParameters)[name].vector:
        pack.configure(ReplicaId(0, 0), changed)
        assert pack.members[0].config[name] == value
    elif changed != SPEC.resolve(config):
        with pytest.raises(InvalidConfig, match="fixed"):
            pack.configure(ReplicaId(0, 0), changed)
    pack.close()


def test_max_pack_size_limits_the_pack() -> None:
    config = tiny(max_pack_size=2)
    assert SPEC.capacity(SPEC.resolve(config)) == 2
    pack = open_pack(config)
    for trial in range(2):
        pack.join(ReplicaId(trial, 0), config, 0)
    with pytest.raises(ValueError, match="full"):
        pack.join(ReplicaId(2, 0), config, 0)
    pack.close()


def test_torch_compile_learner_compiles_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []

    def note(graph: Any, args: Any) -> Any:
        compiled.append(len(args[0]))
        return graph

    monkeypatch.setattr("algorithms.core.lifting.stack.compiled", note)
    monkeypatch.setattr("algorithms.core.lifting.stack.any_length", lambda batch: False)
    monkeypatch.setattr("algorithms.core.lifting.kept._kinds", OrderedDict())
    monkeypatch.setattr("algorithms.core.lifting.stack.compiler_available", lambda: True)
    for wanted, counts in ((None, []), (False, []), (True, [2])):
        lone(tiny(torch_compile_learner=wanted), 0, 1)
        assert compiled == counts


def test_whether_compiling_pays_is_decided_by_the_size_of_the_experiment() -> None:
    config = SPEC.resolve({"env": "CartPole-v1"})
    wide = SPEC.resolve({"env": "CartPole-v1", "model": {"fcnet_hiddens": [256, 256]}})
    cases = [(config, 10_000, False), (config, 1_000_000, True), (wide, 10_000, True)]
    for given, steps, pays in cases:
        plan = SPEC.plan(given, replicas=32, stop={"num_env_steps_sampled_lifetime": steps})
        assert plan == given | {"torch_compile_learner": pays}
    given = config | {"torch_compile_learner": False}
    assert SPEC.plan(given, replicas=32, stop={"training_iteration": 10**6}) == given


def test_the_vectorize_mode_picks_the_backend_but_not_the_numbers() -> None:
    kinds = {
        mode: type(open_envs(tiny(env="MountainCar-v0", gym_env_vectorize_mode=mode)))
        for mode in ("auto", "batched", "sync")
    }
    assert kinds["auto"] is kinds["batched"] is not kinds["sync"]
    with pytest.raises(InvalidConfig, match="batched"):
        open_pack(tiny(env="probe/constant", gym_env_vectorize_mode="batched"))


def open_envs(config: dict[str, Any]) -> Any:
    pack: OnPolicyPack = open_pack(config)
    pack.close()
    return pack.envs


def test_a_lone_agent_may_have_one_environment_and_one_minibatch() -> None:
    metrics, state = lone(tiny(num_envs_per_env_runner=1, minibatch_size=None), 0, 1)
    assert metrics[0]["learners/default_policy/num_updates_lifetime"] == 2
    assert np.isfinite(state.arrays["parameters"]).all()


def test_older_names_mean_the_same_and_both_at_once_are_refused() -> None:
    older = SPEC.resolve({"env": "CartPole-v1", "num_sgd_iter": 3, "lambda": 0.5})
    assert older == SPEC.resolve({"env": "CartPole-v1", "num_epochs": 3, "lambda_": 0.5})
    with pytest.raises(InvalidConfig, match="older name"):
        SPEC.resolve({"env": "CartPole-v1", "num_sgd_iter": 3, "num_epochs": 3})
