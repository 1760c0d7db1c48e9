"""RLModules, RLlib's older models, and states of recurrent agents apart from training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algorithms import (
    ActionDistribution,
    Columns,
    DefaultModelConfig,
    ModelCatalog,
    PPOConfig,
    RLModule,
    RLModuleSpec,
    TorchModelV2,
    TorchRLModule,
    ValueFunctionAPI,
)
from algorithms.algorithm import Algorithm
from algorithms.core.nets.models import ModelV2Network, ModuleNetwork
from algorithms.core.nets.preprocessors import NoPreprocessor
from tests.algorithms.support import lone, tiny
from tunerl.errors import InvalidConfig, InvalidInput

OBS, ACTIONS = spaces.Box(-1.0, 1.0, (4,)), spaces.Discrete(2)


class Plain(TorchRLModule):
    """RLlib's guide's example."""

    def setup(self) -> None:
        width = self.model_config["hidden_dim"]
        inputs, outputs = self.observation_space.shape[0], self.action_space.n
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU())
        self.pi = nn.Linear(width, int(outputs))

    def _forward(self, batch: Any, **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.body(batch[Columns.OBS]))}


class Critic(Plain, ValueFunctionAPI):
    """One that values, and keeps what its policy saw."""

    def setup(self) -> None:
        super().setup()
        self.vf = nn.Linear(self.model_config["hidden_dim"], 1)

    def _forward_train(self, batch: Any, **kwargs: Any) -> dict[str, Any]:
        features = self.body(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: self.pi(features), Columns.EMBEDDINGS: features}

    def compute_values(self, batch: Any, embeddings: Any = None) -> Tensor:
        features = self.body(batch[Columns.OBS]) if embeddings is None else embeddings
        return self.vf(features).squeeze(-1)  # type: ignore[no-any-return]


class Halved(NoPreprocessor):
    """Half of what there is."""

    def transform(self, observation: Any) -> Any:
        return 0.5 * observation


class Sharper(ActionDistribution):
    """A categorical of doubled logits."""

    def __init__(self, inputs: Tensor, model: Any = None) -> None:
        super().__init__(inputs, model)
        self.dist = torch.distributions.Categorical(logits=2.0 * inputs)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return int(action_space.n)


def small() -> PPOConfig:
    return PPOConfig().environment("CartPole-v1").training(
        train_batch_size=64, minibatch_size=32, num_epochs=2
    ).env_runners(num_envs_per_env_runner=2)  # fmt: skip


def test_a_users_module_has_three_forward_passes_and_distributions() -> None:
    module = RLModuleSpec(Critic, OBS, ACTIONS, model_config={"hidden_dim": 8}).build()
    batch = {"obs": torch.randn(5, 4)}
    inputs = module.forward_inference(batch)["action_dist_inputs"]
    assert inputs.shape == (5, 2)
    assert not inputs.requires_grad
    assert torch.equal(module.forward_exploration(batch)["action_dist_inputs"], inputs)
    trained = module.forward_train(batch)
    assert trained["embeddings"].requires_grad
    dist = module.get_inference_action_dist_cls().from_logits(inputs)
    assert torch.equal(dist.to_deterministic().sample(), inputs.argmax(-1))
    chances = dist.logp(torch.zeros(5, dtype=torch.int64)).exp()
    np.testing.assert_allclose(chances, torch.softmax(inputs, -1)[:, 0], rtol=1e-5)
    assert dist.sample().shape == (5,)
    assert (module.is_stateful(), module.get_initial_state()) == (False, {})
    other = RLModuleSpec(Critic, OBS, ACTIONS, model_config={"hidden_dim": 8}).build()
    other.set_state(module.get_state())
    assert torch.equal(other.forward_inference(batch)["action_dist_inputs"], inputs)


@pytest.mark.parametrize("kind", [Plain, Critic])
def test_ppo_trains_a_users_module(kind: Any) -> None:
    spec = RLModuleSpec(module_class=kind, model_config={"hidden_dim": 8})
    algo = small().rl_module(rl_module_spec=spec).build_algo()
    before = algo.get_module().unwrapped().get_state()
    algo.train()
    module = algo.get_module()
    assert isinstance(module, RLModule)
    assert isinstance(module.network, ModuleNetwork)
    after = module.unwrapped().get_state()
    assert isinstance(module.unwrapped(), kind)
    assert all((before[name] != after[name]).any() for name in before)
    algo.stop()


def test_a_users_module_keeps_its_numbers_in_a_pack() -> None:
    model = {"custom_model": Critic, "custom_model_config": {"hidden_dim": 8}}
    assert lone(tiny(model=model), 3, 2)[0] == lone(tiny(model=model, max_pack_size=5), 3, 2)[0]


class Stateful(Plain):
    def get_initial_state(self) -> dict[str, Any]:
        return {"h": np.zeros(3)}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (RLModuleSpec(Stateful, model_config={"hidden_dim": 8}), "recurrent state"),
        (RLModuleSpec("Plain"), "give a class derived from RLModule"),
        (object(), "give an RLModuleSpec"),
    ],
)
def test_a_module_that_cannot_be_trained_is_refused(spec: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        small().rl_module(rl_module_spec=spec).build_algo()


def test_a_spec_without_spaces_builds_nothing() -> None:
    with pytest.raises(InvalidInput, match="observation_space, action_space"):
        RLModuleSpec(Plain).build()


def test_default_model_config_sets_what_it_names() -> None:
    given = DefaultModelConfig(fcnet_hiddens=[9], vf_share_layers=True)
    config = small().rl_module(model_config=given)
    assert config.to_dict()["model"] == {"fcnet_hiddens": [9], "vf_share_layers": True}


@pytest.mark.parametrize("inside", [(), ("learner_group", "learner", "rl_module")])
def test_a_module_comes_back_from_a_checkpoint(inside: tuple[str, ...], tmp_path: Path) -> None:
    algo = small().training(model={"fcnet_hiddens": [8]}).build_algo()
    algo.train()
    obs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    wanted = algo.get_module().forward_inference({"obs": torch.from_numpy(obs)})
    path = algo.save(str(tmp_path / "c"))
    algo.stop()
    module = RLModule.from_checkpoint(Path(path, *inside))["default_policy"]
    found = module.forward_inference({"obs": torch.from_numpy(obs)})
    assert torch.equal(found["action_dist_inputs"], wanted["action_dist_inputs"])
    assert torch.equal(found["vf_preds"], wanted["vf_preds"])
    with pytest.raises(KeyError, match="default_policy"):
        module["other"]


class Old(TorchModelV2, nn.Module):
    """The seeds' custom model."""

    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str,
        width: int = 8,
    ) -> None:  # fmt: skip
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.shared_layers = nn.Sequential(nn.Linear(obs_space.shape[0], width), nn.ReLU())
        self.policy_head = nn.Linear(width, num_outputs)
        self.value_head = nn.Linear(width, 1)
        self._value: Any = None

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        features = self.shared_layers(input_dict["obs"])
        self._value = self.value_head(features).squeeze(1)
        return self.policy_head(features), state

    def value_function(self) -> Any:
        return self._value


def test_the_seeds_custom_model_trains_by_its_name() -> None:
    ModelCatalog.register_custom_model("tests-old", Old)
    algo = small().training(model={"custom_model": "tests-old"}).build()
    before = algo.get_weights()["default_policy"]
    algo.train()
    after = algo.get_weights()["default_policy"]
    assert all((before[name] != after[name]).any() for name in before)
    network = algo.get_module().network
    assert isinstance(network, ModelV2Network)
    assert network.model._value is None
    algo.stop()


def test_the_catalog_names_distributions_and_preprocessors() -> None:
    kind, size = ModelCatalog.get_action_dist(ACTIONS)
    logits = torch.tensor([[0.0, 1.0]])
    assert (kind.__name__, size) == ("Categorical", 2)
    assert kind(logits).deterministic_sample().tolist() == [1]
    found = ModelCatalog.get_preprocessor_for_space(spaces.Discrete(3))
    assert found.transform(2).tolist() == [0, 0, 1]


def test_a_policys_distribution_is_queried_as_in_the_seeds() -> None:
    algo = small().training(model={"fcnet_hiddens": [8]}).build()
    policy = algo.get_policy()
    logits, _ = policy.model(torch.zeros(1, 4))
    dist = policy.dist_class(logits, policy.model)
    assert dist.sample().shape == (1,)
    assert dist.logp(torch.tensor([1])).shape == (1,)
    algo.stop()


LSTM = {"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 4, "lstm_use_prev_action": True}


def test_a_recurrent_agent_is_asked_with_its_state() -> None:
    algo: Algorithm = small().training(model=LSTM).build()
    env, policy = gym.make("CartPole-v1"), algo.get_policy()
    obs, _ = env.reset(seed=0)
    state, action, reward, seen = policy.get_initial_state(), None, None, []
    for _ in range(3):
        action, state, extra = algo.compute_single_action(
            obs, state, prev_action=action, prev_reward=reward, full_fetch=True
        )
        seen.append(extra["action_dist_inputs"])
        assert state[0].shape == (8,)
    assert not np.allclose(seen[1], seen[2])
    module = algo.get_module()
    assert module.is_stateful()
    first = module.forward_inference({"obs": obs[None]})
    np.testing.assert_allclose(first["action_dist_inputs"][0], seen[0], rtol=1e-5)
    following = module.forward_inference({"obs": obs[None], "state_in": first["state_out"]})
    assert not np.allclose(following["action_dist_inputs"][0], seen[0])
    with pytest.raises(InvalidInput, match=r"shape \[1, 3\], not \[1, 8\]"):
        algo.compute_single_action(obs, [np.zeros(3)])
    assert algo.compute_single_action(obs) in (0, 1)
    algo.stop()


def test_classes_in_the_settings_of_a_network_outlive_a_checkpoint(tmp_path: Path) -> None:
    model = {"custom_preprocessor": Halved, "custom_action_dist": Sharper, "fcnet_hiddens": [8]}
    algo = small().training(model=model).build()
    algo.train()
    obs = np.array([0.1, -0.2, 0.3, 0.4], np.float32)
    wanted = algo.get_policy().compute_single_action(obs)[2]
    path = algo.save(str(tmp_path / "c"))
    algo.stop()
    again = Algorithm.from_checkpoint(path)
    assert again.config["model"]["custom_preprocessor"] is Halved
    found = again.get_policy().compute_single_action(obs)[2]
    assert found["vf_preds"] == wanted["vf_preds"]
    again.stop()
