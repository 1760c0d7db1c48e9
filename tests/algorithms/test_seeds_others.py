"""Programs that people wrote for RLlib's other algorithms, run with the import line changed (and
batches smaller where they only cost time). Where each snippet of the four guides is:

- three ways to train, basic training, a custom environment, loading and playing, PPO's
  configuration, spaces for a sweep, a sweep and its best checkpoint: `test_seeds_ppo.py`
- ``tune.run("PPO", config=config)``: here; `tune.run` itself is gone, its arguments are `Tuner`'s
- BC, MARWIL, their sweeps, episode traces (``--output``): `test_seeds_offline.py`
- env runners, their groups, `synchronous_parallel_sample`, the weights of all runners:
  ``tests/sampling``; `training_step`: `test_training_step.py`, VPG
- custom models (`TorchModelV2`), preprocessors, `RLModule.from_checkpoint`: `test_rl_module.py`
- `rollout` and the command line (``rllib train``): `test_rollout_video.py`
- DQN, SAC, APPO, IMPALA, their sweeps, a policy's action distribution, Q values: here
- several agents in one environment, DreamerV3, Keras: not of this list

What was broken: gym's reset and step of old give too few values (`custom_environment`); APPO's
agent had no environment to sample from, for it was named after the build began; MARWIL's
``__file__`` in a notebook; a `SampleBatch` written with the names of a printed one.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import tunerl as tune
from algorithms import DQNConfig, PPOConfig, register_env
from tunerl.errors import InvalidConfig
from tunerl.space import grid_search


def here(**more: Any) -> tune.RunConfig:
    return tune.RunConfig(runtime="local", verbose=0, **more)


def test_the_second_way_to_train() -> None:
    config = PPOConfig().environment(env="CartPole-v1").training(train_batch_size=256)

    # Train via Ray Tune.
    with pytest.raises(AttributeError, match=r"use Tuner\(trainable, param_space=config"):
        tune.run("PPO", config=config)
    grid = tune.Tuner(
        "PPO", param_space=config, run_config=here(stop={"training_iteration": 1})
    ).fit()

    assert grid[0].metrics["num_env_steps_sampled_lifetime"] == 256


def test_a_sweep_of_ppo() -> None:
    config = (
        PPOConfig()
        # Set the config object's env.
        .environment(env="CartPole-v1")
        # Update the config object's training parameters.
        .training(lr=0.001, clip_param=0.2, train_batch_size=256)
    )

    grid = tune.Tuner(
        "PPO",
        run_config=here(stop={"training_iteration": 1}),
        param_space=config,
    ).fit()

    assert grid[0].config["clip_param"] == 0.2


class CustomEnv(gym.Env[Any, Any]):
    def __init__(self, config: Any) -> None:
        self.action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.spaces.Box(-1, 1, shape=(4,))
        self.config = config

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        obs = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        reward = 1.0 if action == 1 else 0.0
        self.time += 1
        return obs, reward, False, self.time == 20, {}


def test_dqn_in_a_custom_environment() -> None:
    register_env("custom_env_of_dqn", lambda config: CustomEnv(config))

    # Train on custom environment
    config = (
        DQNConfig()
        .environment(env="custom_env_of_dqn", env_config={"param": "value"})
        .training(lr=0.001)
    )

    algo = config.build()

    result = algo.train()
    assert 0 <= result["episode_reward_mean"] <= 20

    algo.stop()


def test_dqn_with_a_prioritised_buffer() -> None:
    from algorithms.dqn import DQNConfig

    config = (
        DQNConfig()
        .environment("CartPole-v1")
        .training(
            replay_buffer_config={
                "type": "PrioritizedEpisodeReplayBuffer",
                "capacity": 60000,
                "alpha": 0.5,
                "beta": 0.5,
            }
        )
        .env_runners(num_env_runners=1)
    )
    algo = config.build_algo()
    algo.train()
    assert (algo.config.prioritized_replay, algo.config.replay_buffer_capacity) == (True, 60000)
    assert algo.config.prioritized_replay_alpha == algo.config.prioritized_replay_beta == 0.5
    algo.stop()


def test_a_buffer_that_does_not_exist_is_refused() -> None:
    for given, message in (
        ({"type": "FifoReplayBuffer"}, "'FifoReplayBuffer' is no buffer to learn from"),
        ({"capacities": 3}, "did you mean 'capacity'"),
        (3, "3 is no dict"),
    ):
        with pytest.raises(InvalidConfig, match=message):
            DQNConfig().training(replay_buffer_config=given)
        with pytest.raises(InvalidConfig, match=message):
            DQNConfig.spec.resolve({"env": "CartPole-v1", "replay_buffer_config": given})


def test_a_sweep_of_dqn() -> None:
    config = (
        DQNConfig()
        .environment("CartPole-v1")
        .training(
            num_atoms=grid_search([1]),
        )
    )
    grid = tune.Tuner(
        "DQN",
        run_config=here(stop={"training_iteration": 1}),
        param_space=config,
    ).fit()

    assert not grid.errors
    assert grid[0].config["num_atoms"] == 1


def test_querying_a_policys_action_distribution() -> None:
    algo = (
        DQNConfig()
        .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        .framework("torch")
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0)
        .training(
            replay_buffer_config={
                "type": "MultiAgentPrioritizedReplayBuffer",
            }
        )
    ).build()
    policy = algo.get_policy()
    # Run a forward pass to get model output logits. Note that complex observations
    # must be preprocessed as in the above code block.
    logits, _ = policy.model({"obs": torch.from_numpy(np.array([[0.1, 0.2, 0.3, 0.4]]))})
    # Compute action distribution given logits
    dist = policy.dist_class(logits, policy.model)
    # Query the distribution for samples, sample logps
    assert dist.sample().shape == (1,)
    assert dist.logp(torch.tensor([1])).shape == (1,)
    # The values of DQN are those of its actions: there is none of the state alone to ask for, as
    # `value_function` does; and its streams are `streams`, not `advantage_module` and such.
    assert logits.shape == (1, 2)
    assert len(list(policy.model.parameters())) > 0
    assert "streams" in str(policy.model)
    algo.stop()


def test_sac() -> None:
    from algorithms.sac import SACConfig

    config = (
        SACConfig()
        .environment("Pendulum-v1")
        .env_runners(num_env_runners=1)
        .training(
            gamma=0.9,
            actor_lr=0.001,
            critic_lr=0.002,
            train_batch_size_per_learner=32,
        )
    )
    # Build the SAC algo object from the config and run 1 training iteration.
    algo = config.build_algo()
    assert algo.train()["num_env_steps_sampled_lifetime"] > 0
    algo.stop()


def test_appo() -> None:
    from algorithms.appo import APPOConfig

    config = APPOConfig().training(lr=0.01, grad_clip=30.0, train_batch_size_per_learner=50)
    config = config.learners(num_learners=1)
    config = config.env_runners(num_env_runners=1)
    config = config.environment("CartPole-v1")

    # Build an Algorithm object from the config and run 1 training iteration.
    algo = config.build_algo()
    assert algo.train()["episode_reward_mean"] > 0
    del algo


def test_a_sweep_of_appo() -> None:
    from algorithms.appo import APPOConfig

    config = APPOConfig()
    # Update the config object.
    config = config.training(lr=grid_search([0.001]))
    # Set the config object's env.
    config = config.environment(env="CartPole-v1")
    # Use to_dict() to get the old-style python config dict when running with tune.
    grid = tune.Tuner(
        "APPO",
        run_config=here(stop={"training_iteration": 1}),
        param_space=config.to_dict(),
    ).fit()

    assert not grid.errors


@pytest.mark.slow
def test_impala_and_its_sweep() -> None:
    from algorithms.impala import IMPALAConfig

    config = (
        IMPALAConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=1)
        .training(lr=0.0003, train_batch_size_per_learner=512)
        .learners(num_learners=1)
    )
    # Build a Algorithm object from the config and run 1 training iteration.
    algo = config.build_algo()
    algo.train()
    del algo

    config = config.copy().training(lr=grid_search([0.0001, 0.0002]), grad_clip=20.0)
    # Run with tune.
    grid = tune.Tuner(
        "IMPALA",
        param_space=config,
        run_config=here(stop={"training_iteration": 1}),
    ).fit()

    assert sorted(result.config["lr"] for result in grid) == [0.0001, 0.0002]
