"""The fluent configuration: names old and new, values checked at once, search spaces kept."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from typing import Any

import pytest
import torch
from ray import tune

from algorithms import PPO, AlgorithmConfig, PPOConfig, register_env
from algorithms.keywords import FOREIGN, METHODS, MODEL, OLDER
from algorithms.ppo import SPEC, PPOParameters
from tunerl import registry, space
from tunerl.errors import Conflict, InvalidConfig
from tunerl.hyperparameters import defaults


class Network(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(inputs, outputs)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.out(obs), obs.sum(-1)


def refusal(config: PPOConfig, method: str, **settings: Any) -> InvalidConfig:
    before = config.to_dict()
    with pytest.raises(InvalidConfig) as caught:
        getattr(config, method)(**settings)
    assert config.to_dict() == before
    return caught.value


def test_methods_chain_and_to_dict_holds_what_was_set() -> None:
    config = PPOConfig()
    same = (
        config.environment("CartPole-v1", env_config={"sutton_barto_reward": False})
        .framework("torch")
        .env_runners(num_env_runners=2, num_envs_per_env_runner=4)
        .learners(num_learners=0)
        .resources(num_gpus=0)
        .training(lr=1, train_batch_size=512, model={"fcnet_hiddens": [32]})
        .evaluation(evaluation_interval=5, evaluation_config={"explore": True})
        .debugging(seed=7)
        .fault_tolerance(restart_failed_env_runners=False)
        .reporting(metrics_num_episodes_for_smoothing=100)
        .checkpointing(export_native_model_files=False)
        .api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)
    )
    assert same is config
    assert config.to_dict() == {
        "env": "CartPole-v1",
        "env_config": {"sutton_barto_reward": False},
        "num_env_runners": 2,
        "num_envs_per_env_runner": 4,
        "lr": 1.0,
        "train_batch_size": 512,
        "model": {"fcnet_hiddens": [32]},
        "evaluation_interval": 5,
        "evaluation_explore": True,
        "seed": 7,
        "restart_failed_env_runners": False,
        "metrics_num_episodes_for_smoothing": 100,
        "num_learners": 0,
        "num_gpus_per_learner": 0.0,
    }
    assert type(config.lr) is float


def test_older_names_mean_the_new_ones() -> None:
    config = (
        PPOConfig()
        .environment(env="CartPole-v1")
        .rollouts(num_rollout_workers=2, num_envs_per_worker=4, rollout_fragment_length="auto")
        .resources(num_cpus_per_worker=1, num_gpus_per_worker=0)
        .training(num_sgd_iter=3, sgd_minibatch_size=16, train_batch_size_per_learner=128)
    )
    config.update_from_dict({"lambda": 0.9, "num_workers": 1, "framework": "torch"})
    assert config.to_dict() == {
        "env": "CartPole-v1",
        "num_env_runners": 1,
        "num_envs_per_env_runner": 4,
        "num_cpus_per_env_runner": 1.0,
        "num_epochs": 3,
        "minibatch_size": 16,
        "train_batch_size": 128,
        "lambda_": 0.9,
    }
    assert config["sgd_minibatch_size"] == config.minibatch_size == 16


def test_what_was_not_set_reads_as_its_default() -> None:
    config = PPOConfig()
    assert config.to_dict() == {}
    assert (
        config.gamma == config["gamma"] == config.get("gamma") == defaults(PPOParameters)["gamma"]
    )
    assert dict(config.items()) == defaults(PPOParameters)
    assert list(config.keys()) == list(config) == list(defaults(PPOParameters))
    assert config.get("nothing", 3) == 3
    with pytest.raises(KeyError, match="did you mean 'gamma'"):
        config["gama"]
    with pytest.raises(AttributeError, match="did you mean 'gamma'"):
        _ = config.gama


def test_every_field_can_be_set_by_exactly_the_method_that_the_table_names() -> None:
    fields = defaults(PPOParameters)
    listed = [name for names in METHODS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(fields) | set(FOREIGN)
    for name, value in fields.items():
        home = next((method for method, names in METHODS.items() if name in names), "training")
        if value is not None:
            assert name in getattr(PPOConfig(), home)(**{name: value}).to_dict()
        other = "training" if home != "training" else "debugging"
        assert f"setting of .{home}()" in str(refusal(PPOConfig(), other, **{name: value}))


def test_the_tables_do_not_hide_fields_of_the_algorithm() -> None:
    fields = set(defaults(PPOParameters))
    assert not fields & set(FOREIGN)
    assert not fields & set(OLDER)
    assert set(OLDER.values()) <= fields | set(FOREIGN)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    error = refusal(PPOConfig(), "training", learning_rte=1e-3, clip_parm=0.1, lr=1e-3)
    assert [problem.path for problem in error.problems] == ["learning_rte", "clip_parm"]
    assert "did you mean 'clip_param'?" in error.problems[1].message


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("training", {"lr": -1.0}, "out of range; allowed: > 0"),
        ("training", {"lr": "0.1"}, "without quotes"),
        ("training", {"lr": [[5, 0.1]]}, "the first step is 5"),
        ("training", {"gamma": 1.5}, "allowed: >= 0 and <= 1"),
        ("training", {"num_epochs": 0}, "allowed: >= 1"),
        ("training", {"model": {"fcnet_hidden": [8]}}, "did you mean 'fcnet_hiddens'"),
        ("training", {"model": {"fcnet_hiddens": [0]}}, "list of positive integers"),
        ("training", {"model": {"use_attention": True}}, "use_lstm, use_gru, or stacked"),
        ("env_runners", {"observation_filter": "MeanStd"}, "did you mean 'MeanStdFilter'"),
        ("env_runners", {"rollout_fragment_length": 200}, "train_batch_size"),
        ("framework", {"framework": "tf2"}, "the only framework is 'torch'"),
        ("resources", {"num_gpus": -1}, "allowed: >= 0"),
        ("env_runners", {"num_gpus_per_env_runner": 1}, "set num_gpus_per_learner"),
        ("environment", {"render_env": True}, "render an environment of your own"),
        ("training", {"lr_schedule": [[0, 0.1]]}, "give the schedule itself"),
        ("fault_tolerance", {"ignore_env_runner_failures": True}, "max_failures"),
        ("api_stack", {"enable_rl_module_and_learner": "no"}, "one API"),
        ("debugging", {"log_level": "VERBOSE"}, "log_level"),
    ],
)
def test_a_wrong_value_is_refused_at_once(
    method: str, settings: dict[str, Any], message: str
) -> None:
    assert message in str(refusal(PPOConfig(), method, **settings))


def test_foreign_keywords_are_taken_only_with_values_that_ask_for_nothing() -> None:
    for name, foreign in FOREIGN.items():
        for value in foreign.means_nothing:
            assert PPOConfig().update_from_dict({name: value}).to_dict() == {}
        problem = refusal(PPOConfig(), "update_from_dict", config_dict={name: object()}).problems[0]
        assert problem.path == name
        assert foreign.instead in problem.message
    for name, foreign in MODEL.items():
        with pytest.raises(InvalidConfig, match=f"model.{name}: "):
            PPOConfig().training(model={name: object()})
        for value in foreign.means_nothing:
            assert PPOConfig().training(model={name: value}).to_dict() == {"model": {}}


@pytest.mark.parametrize("method", ["multi_agent", "exploration"])
def test_a_method_that_is_missing_says_why(method: str) -> None:
    with pytest.raises(AttributeError, match=rf"there is no {method}\(\): \w+"):
        getattr(PPOConfig(), method)


def test_search_spaces_are_kept_ours_and_rays_and_nested_ones() -> None:
    config = (
        PPOConfig()
        .environment("CartPole-v1", env_config={"size": space.choice([1, 2])})
        .training(
            lr=space.loguniform(1e-5, 1e-2),
            gamma=tune.uniform(0.9, 0.99),
            num_epochs=tune.grid_search([1, 2]),
            model={
                "fcnet_hiddens": tune.choice([[8], [16, 16]]),
                "fcnet_activation": space.grid_search(["relu", "tanh"]),
            },
        )
    )
    tree = space.Space(config.to_dict())
    assert set(tree.domains) == {
        "env_config/size",
        "lr",
        "gamma",
        "num_epochs",
        "model/fcnet_hiddens",
        "model/fcnet_activation",
    }
    assert tree.grid_size == 4
    with pytest.raises(InvalidConfig, match="lr: is a search space; give it to a Tuner"):
        config.build_algo()


def test_validate_checks_the_plain_part_and_the_environment() -> None:
    PPOConfig().environment("CartPole-v1").training(lr=tune.uniform(0, 1)).validate()
    with pytest.raises(InvalidConfig, match="did you mean 'CartPole"):
        PPOConfig().environment("CartPol-v1").validate()
    with pytest.raises(InvalidConfig, match="env: missing"):
        PPOConfig().validate()
    mixed = {"fcnet_hiddens": tune.choice([[8]]), "custom_model": "nobody"}
    with pytest.raises(InvalidConfig, match="not registered"):
        PPOConfig().environment("CartPole-v1").training(model=mixed)


def test_settings_of_the_network_add_up() -> None:
    config = PPOConfig().training(model={"fcnet_hiddens": [8]})
    config.training(model={"fcnet_activation": "relu"})
    config.rl_module(model_config={"vf_share_layers": True}, module_class=Network)
    assert config.model == {
        "fcnet_hiddens": [8],
        "fcnet_activation": "relu",
        "vf_share_layers": True,
        "custom_model": Network,
    }
    assert "RLModuleSpec" in str(refusal(config, "rl_module", rl_module_spec=object()))


def test_a_model_config_object_gives_what_differs_from_its_defaults() -> None:
    @dataclasses.dataclass
    class DefaultModelConfig:
        fcnet_hiddens: tuple[int, ...] = (256, 256)
        vf_share_layers: bool = True
        use_attention: bool = False

    config = PPOConfig().rl_module(model_config=DefaultModelConfig(fcnet_hiddens=(64,)))
    assert config.to_dict() == {"model": {"fcnet_hiddens": (64,)}}
    with pytest.raises(InvalidConfig, match="use_attention"):
        PPOConfig().rl_module(model_config=DefaultModelConfig(use_attention=True))


def test_a_frozen_configuration_changes_only_as_a_copy() -> None:
    config = PPOConfig().training(lr=0.1, model={"fcnet_hiddens": [8]})
    config.freeze()
    with pytest.raises(Conflict, match="copy_frozen=False"):
        config.lr = 0.2
    assert config.copy().is_frozen
    changed = config.copy(copy_frozen=False)
    changed["lr"] = 0.2
    changed.model["fcnet_hiddens"].append(9)
    assert (config.lr, changed.lr) == (0.1, 0.2)
    assert config.model == {"fcnet_hiddens": [8]}


def test_attributes_and_items_are_checked_like_keywords() -> None:
    config = PPOConfig()
    config.lr = 1e-3
    config["num_sgd_iter"] = 2
    assert config.to_dict() == {"lr": 1e-3, "num_epochs": 2}
    with pytest.raises(InvalidConfig, match="did you mean 'lr'"):
        config.lrr = 1.0


def test_a_dict_and_back() -> None:
    settings = {"env": "CartPole-v1", "lr": 0.5, "model": {"fcnet_hiddens": [8]}}
    assert PPOConfig.from_dict(settings).to_dict() == settings


def test_the_log_level_holds_at_once() -> None:
    loggers = [logging.getLogger("tunerl"), logging.getLogger("algorithms")]
    before = [logger.level for logger in loggers]
    try:
        PPOConfig().debugging(log_level="ERROR", seed=3)
        assert [logger.level for logger in loggers] == [logging.ERROR] * 2
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def test_the_general_configuration_needs_an_algorithm() -> None:
    with pytest.raises(InvalidConfig, match="names no algorithm"):
        AlgorithmConfig()
    assert AlgorithmConfig(PPO).training(lr=0.1).algo_class is PPO
    assert type(AlgorithmConfig.of(SPEC)) is PPOConfig


def test_the_class_of_an_algorithm_is_a_trainable() -> None:
    assert registry.trainable(PPO) is registry.trainable("PPO") is SPEC


def test_an_environment_by_class_or_name_is_kept() -> None:
    def make(config: dict[str, Any]) -> Any:
        raise NotImplementedError

    register_env("test-config/never-made", make)
    assert PPOConfig().environment("test-config/never-made").env == "test-config/never-made"
    assert PPOConfig().environment(make).env is make


def test_import_of_algorithms_loads_nothing_heavy() -> None:
    script = (
        "import sys, algorithms; print(*sys.modules)\n"
        "try: algorithms.Nobody\n"
        "except AttributeError as error: print(error)\n"
        "from algorithms import PPOConfig; assert PPOConfig.spec.name == 'PPO'"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules, error = done.stdout.strip().split("\n")
    assert not {"torch", "gymnasium", "numpy"} & set(modules.split())
    assert error == "module 'algorithms' has no attribute 'Nobody'"
