"""One agent by hand: its results, its actions, its life."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import PPO, Algorithm, PPOConfig
from algorithms.results import OLDER, ResultDict
from tests.algorithms.agents import TINY, same
from tunerl.errors import Conflict, InvalidConfig, InvalidInput, NotFound, TrainableError
from tunerl.metrics import flatten

# -- results ------------------------------------------------------------------------------------


def test_a_result_answers_to_nested_flat_and_older_names(trained: SimpleNamespace) -> None:
    result = trained.result
    mean = result["env_runners"]["episode_return_mean"]
    assert mean > 0
    assert result["env_runners/episode_return_mean"] == mean
    assert result["episode_reward_mean"] == result["episode_return_mean"] == mean
    assert result["sampler_results"]["episode_reward_mean"] == mean
    assert result["env_runners"]["episode_reward_mean"] == mean
    assert result["timesteps_total"] == result["num_env_steps_sampled_lifetime"] == 64
    kl = result["learners"]["default_policy"]["mean_kl_loss"]
    stats = result["info"]["learner"]["default_policy"]["learner_stats"]
    assert stats["kl"] == result["info/learner/default_policy/learner_stats/kl"] == kl
    assert all(name in result for name in OLDER)
    assert "episode_reward_mean" not in dict(result)
    assert result.get("nobody", 5) == 5
    assert "nobody" not in result
    with pytest.raises(KeyError, match="did you mean 'training_iteration'"):
        result["training_iteratio"]


def test_a_result_carries_the_configuration_in_plain_data(trained: SimpleNamespace) -> None:
    copy = pickle.loads(pickle.dumps(trained.result))
    assert flatten(copy)["config/train_batch_size"] == 64
    assert copy.pop("config")["model"]["fcnet_hiddens"] == [8]
    assert flatten(copy) == copy.flat() == trained.result.flat()


def test_an_agent_learns_like_the_same_one_in_a_pack(trained: SimpleNamespace) -> None:
    spec, id = PPO.spec, next(iter(trained.algorithm._pack.ids))
    config = spec.resolve(TINY)
    pack = spec.open(config)
    pack.join(id, config, 0)
    report = pack.step()[id]
    assert isinstance(report, dict)
    assert same(ResultDict.nested(report), trained.result)
    pack.close()


# -- acting and looking ---------------------------------------------------------------------------


def test_actions_are_the_likeliest_unless_exploring(trained: SimpleNamespace) -> None:
    algorithm = trained.algorithm
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = algorithm.compute_actions(observations)
    inputs = algorithm.get_module()(torch.from_numpy(observations))[0]
    assert actions.tolist() == inputs.argmax(-1).tolist()
    assert [algorithm.compute_single_action(obs) for obs in observations] == actions.tolist()
    assert algorithm.compute_actions({"a": observations[0]}) == {"a": actions[0]}
    tries = {int(algorithm.compute_single_action(observations[0], explore=True)) for _ in range(99)}
    assert tries == {0, 1}


def test_a_policy_tells_what_the_network_said(trained: SimpleNamespace) -> None:
    obs = [0.1, 0.2, 0.3, 0.4]
    action, states, extra = trained.algorithm.compute_single_action(obs, full_fetch=True)
    assert states == []
    logp = torch.log_softmax(torch.from_numpy(extra["action_dist_inputs"]), -1)
    assert extra["action_logp"] == pytest.approx(float(logp[action]))
    module = trained.algorithm.get_policy().model
    found = module.forward_inference({"obs": torch.tensor([obs])})
    assert torch.equal(found["action_dist_inputs"][0], torch.tensor(extra["action_dist_inputs"]))
    assert float(found["vf_preds"][0]) == extra["vf_preds"]


@pytest.mark.parametrize("wrong", [[1.0], "up", np.zeros((2, 4)), None])
def test_what_is_no_observation_is_refused(trained: SimpleNamespace, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="is no observation of Box"):
        trained.algorithm.compute_single_action(wrong)


def test_there_is_one_policy(trained: SimpleNamespace) -> None:
    with pytest.raises(NotFound, match="'default_policy'"):
        trained.algorithm.get_policy("other")


def test_evaluation_repeats_by_seed(trained: SimpleNamespace) -> None:
    algorithm = trained.algorithm
    first, again = algorithm.evaluate(3, seed=1), algorithm.evaluate(3, seed=1)
    assert first == again
    assert first["env_runners"]["num_episodes"] == 3
    assert first["episode_reward_mean"] == first["env_runners/episode_return_mean"]
    lengths = {algorithm.evaluate(3, seed=seed)["episode_len_mean"] for seed in range(5)}
    assert len(lengths) > 1
    steps = algorithm.evaluate(30, "timesteps", explore=True)["env_runners/num_env_steps_sampled"]
    assert steps >= 30
    with pytest.raises(InvalidConfig, match="evaluation_duration_unit"):
        algorithm.evaluate(3, "hours")
    with pytest.raises(InvalidConfig, match="evaluation_duration"):
        algorithm.evaluate(0)


# -- its life -------------------------------------------------------------------------------------


def test_ways_to_build_one() -> None:
    config = PPOConfig.from_dict({n: v for n, v in TINY.items() if n != "env"})
    with pytest.raises(InvalidConfig, match="env: missing"):
        config.build_algo()
    for algorithm in (
        config.build_algo(env="CartPole-v1"),
        config.build("CartPole-v1"),
        PPO(config=config, env="CartPole-v1"),
        Algorithm(config, "CartPole-v1"),
    ):
        assert algorithm.config.env == "CartPole-v1"
        assert algorithm.config.is_frozen
        assert algorithm.name == "PPO"
        algorithm.stop()
    assert "env" not in config.to_dict()
    with pytest.raises(InvalidConfig, match="use PPO"):
        Algorithm(TINY)
    with pytest.raises(InvalidConfig, match="did you mean 'lr'"):
        PPO({"lrr": 1.0})
    with pytest.raises(InvalidConfig, match="3 is no configuration"):
        PPO(config=3)


def test_a_subclass_is_built_and_restored_as_itself(trained: SimpleNamespace) -> None:
    class Mine(PPO):
        pass

    with Mine.from_checkpoint(trained.path) as mine:
        assert type(mine) is Mine
    assert PPOConfig().algo_class is PPO


def test_what_was_stopped_says_so() -> None:
    algorithm = PPO(TINY)
    algorithm.stop()
    algorithm.stop()
    for use in (algorithm.train, algorithm.save, algorithm.get_weights, algorithm.evaluate):
        with pytest.raises(Conflict, match="was stopped"):
            use()


def test_an_agent_that_failed_can_be_restored(tmp_path: Path) -> None:
    config = TINY | {"env": "test-algorithm/parts", "env_config": {"fails": 40}}
    with PPO(config) as algorithm:
        path = algorithm.save(tmp_path)
        algorithm.train()
        with pytest.raises(TrainableError, match="the floor gave way"):
            algorithm.train()
        with pytest.raises(Conflict, match=r"failed \(ValueError: the floor gave way\)"):
            algorithm.train()
        algorithm.restore(path)
        assert algorithm.train()["training_iteration"] == 1
