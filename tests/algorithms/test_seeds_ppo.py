"""Programs that people wrote for RLlib, of three generations of its API, run as they stand with the
import line changed. Only the batches and the loops are smaller here.
"""

from __future__ import annotations

from pathlib import Path
from pprint import pprint
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from algorithms import PPO, PPOConfig
from tunerl.space import grid_search

pytestmark = pytest.mark.usefixtures("ray_cluster")

BATCH = 256


def test_three_ways_first_way(capsys: pytest.CaptureFixture[str]) -> None:
    from algorithms.ppo import PPOConfig

    config = PPOConfig().environment(env="CartPole-v1").training(train_batch_size=BATCH)

    # Build.
    algo = config.build()

    # Train.
    print(algo.train())

    assert "'episode_return_mean'" in capsys.readouterr().out
    assert algo.iteration == 1


def test_basic_rl_training(capsys: pytest.CaptureFixture[str]) -> None:
    config = (
        PPOConfig()
        .environment(env="CartPole-v1")
        .rollouts(num_rollout_workers=2)
        .training(lr=0.0001, train_batch_size=BATCH)
        .evaluation(evaluation_interval=2)
    )

    # Build algorithm
    algo = config.build()

    # Training loop
    for i in range(2):
        result = algo.train()
        print(f"Iteration {i}: reward={result['episode_reward_mean']}")

        # Save checkpoint every 10 iterations
        if i % 10 == 0:
            checkpoint_path = algo.save()
            print(f"Checkpoint saved at {checkpoint_path}")

    # Clean up
    algo.stop()

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("=")[0].split(" at ")[0] for line in lines] == [
        "Iteration 0: reward",
        "Checkpoint saved",
        "Iteration 1: reward",
    ]
    assert result["evaluation"]["env_runners"]["episode_return_mean"] > 0
    assert result["evaluation"]["episode_reward_mean"] > 0
    assert result["timesteps_total"] == 2 * BATCH


def test_getting_started_with_the_python_api(capsys: pytest.CaptureFixture[str]) -> None:
    config = (
        PPOConfig()
        .api_stack(
            enable_rl_module_and_learner=True,
            enable_env_runner_and_connector_v2=True,
        )
        .environment("CartPole-v1")
        .env_runners(num_env_runners=1)
    )
    config.training(train_batch_size=BATCH)

    algo = config.build()

    for i in range(2):
        result = algo.train()
        result.pop("config")
        pprint(result)

        if i % 5 == 0:
            checkpoint_dir = algo.save_to_path()
            print(f"Checkpoint saved in directory {checkpoint_dir}")

    assert Path(checkpoint_dir).is_dir()
    assert "num_env_steps_sampled_lifetime" in capsys.readouterr().out
    algo.stop()


def test_restoring_both_ways_and_the_module(tmp_path: Path) -> None:
    config = PPOConfig().environment("CartPole-v1").training(train_batch_size=BATCH)
    with config.build() as trained:
        checkpoint_path = str(trained.save(tmp_path / "checkpoint"))
        wanted = trained.get_module().get_state()

    from algorithms.algorithm import Algorithm

    algo = Algorithm.from_checkpoint(checkpoint_path)

    state = algo.get_module().get_state()
    assert all(np.array_equal(state[name], wanted[name]) for name in wanted)

    from algorithms.ppo import PPO

    algo = PPO(config=config, env="CartPole-v1")
    algo.restore(checkpoint_path)

    state = algo.get_module().get_state()
    assert all(np.array_equal(state[name], wanted[name]) for name in wanted)


def test_playing_an_episode_with_the_module() -> None:
    algo = PPOConfig().environment("CartPole-v1").training(train_batch_size=BATCH).build()
    env = gym.make("CartPole-v1")
    rl_module = algo.get_module("default_policy")

    episode_return = 0
    terminated = truncated = False
    obs, _info = env.reset(seed=1)

    while not terminated and not truncated:
        # Compute the next action from a batch (B=1) of observations.
        torch_obs_batch = torch.from_numpy(np.array([obs]))
        action_logits = rl_module.forward_inference({"obs": torch_obs_batch})["action_dist_inputs"]
        # The default RLModule used here produces action logits (from which
        # we'll have to sample an action or use the max-likelihood one).
        action = torch.argmax(action_logits[0]).numpy()
        assert action == algo.compute_single_action(obs)
        obs, reward, terminated, truncated, _info = env.step(action)
        episode_return += reward

    assert episode_return > 0


def test_loading_and_using_trained_agent(tmp_path: Path) -> None:
    from algorithms.ppo import PPO

    with PPO(config={"env": "CartPole-v1"}) as untrained:
        path = untrained.save(tmp_path / "checkpoint")

    # Restore trained algorithm
    algo = PPO.from_checkpoint(path)

    # Create environment for evaluation
    env = gym.make("CartPole-v1")

    # Run episodes with trained agent
    for _ in range(2):
        obs, _ = env.reset()
        done = False
        total_reward = 0

        while not done:
            action = algo.compute_single_action(obs)
            obs, reward, terminated, truncated, _info = env.step(action)
            done = terminated or truncated
            total_reward += reward

        assert total_reward > 0

    env.close()
    algo.stop()


def test_custom_environment() -> None:
    from algorithms import register_env

    class CustomEnv(gym.Env):
        def __init__(self, config: Any) -> None:
            self.action_space = gym.spaces.Discrete(2)
            self.observation_space = gym.spaces.Box(-1, 1, shape=(4,))
            self.config = config

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.np_random.uniform(-1, 1, 4).astype(np.float32), {}

        def step(self, action: Any) -> Any:
            obs = self.np_random.uniform(-1, 1, 4).astype(np.float32)
            reward = 1.0 if action == 1 else 0.0
            return obs, reward, self.np_random.random() < 0.2, False, {}

    register_env("custom_env", lambda config: CustomEnv(config))

    config = (
        PPOConfig()
        .environment(env="custom_env", env_config={"param": "value"})
        .training(lr=0.001, train_batch_size=BATCH)
    )
    algo = config.build()
    result = algo.train()
    assert 0 < result["episode_reward_mean"] < result["episode_len_mean"]
    algo.stop()


@pytest.mark.slow
def test_ppo_config_step_by_step() -> None:
    from algorithms.ppo import PPOConfig

    config = PPOConfig()
    config.environment("CartPole-v1")
    config.env_runners(num_env_runners=1)
    config.training(gamma=0.9, lr=0.01, kl_coeff=0.3, train_batch_size_per_learner=256)

    # Build a Algorithm object from the config and run 1 training iteration.
    algo = config.build_algo()
    result = algo.train()

    assert result["env_runners"]["num_env_steps_sampled"] == 256
    assert algo.config["gamma"] == 0.9
    del algo


@pytest.mark.slow
def test_resources_to_dict_and_env_at_last(capsys: pytest.CaptureFixture[str]) -> None:
    config = PPOConfig().training(gamma=0.9, lr=0.01, train_batch_size=BATCH)
    config = config.resources(num_gpus=0)
    config = config.env_runners(num_env_runners=4)
    print(config.to_dict())
    # Build a Algorithm object from the config and run 1 training iteration.
    algo = config.build_algo(env="CartPole-v1")
    algo.train()

    assert "'num_env_runners': 4" in capsys.readouterr().out
    assert algo.iteration == 1


def test_a_sweep_and_the_agent_of_its_best_checkpoint() -> None:
    from algorithms.algorithm import Algorithm
    from tunerl import CheckpointConfig, RunConfig, Tuner

    config = (
        PPOConfig()
        .api_stack(
            enable_rl_module_and_learner=True,
            enable_env_runner_and_connector_v2=True,
        )
        .environment("CartPole-v1")
        .training(
            lr=grid_search([0.01, 0.0001]),
        )
    )
    config.training(train_batch_size=BATCH)

    tuner = Tuner(
        PPO,
        param_space=config,
        run_config=RunConfig(
            stop={"num_env_steps_sampled_lifetime": 2 * BATCH},
            checkpoint_config=CheckpointConfig(checkpoint_at_end=True),
            runtime="local",
            verbose=0,
        ),
    )

    results = tuner.fit()

    # Get the best result based on a particular metric.
    best_result = results.get_best_result(metric="env_runners/episode_return_mean", mode="max")

    # Get the best checkpoint corresponding to the best result.
    best_checkpoint = best_result.checkpoint
    algo = Algorithm.from_checkpoint(best_checkpoint)

    assert algo.config.lr == best_result.config["lr"]
    assert algo.iteration == 2
    algo.stop()


def test_spaces_for_a_sweep() -> None:
    config = PPOConfig()
    # Update the config object.
    config = config.training(lr=grid_search([0.01, 0.001, 0.0001]), clip_param=0.2)
    # Set the config object's env.
    config = config.environment(env="CartPole-v1")
    # Use to_dict() to get the old-style python config dict when running with tune.
    assert config.to_dict() == {
        "lr": {"grid_search": [0.01, 0.001, 0.0001]},
        "clip_param": 0.2,
        "env": "CartPole-v1",
    }
