"""Evaluation by a function of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms import PPO, BCConfig, DQNConfig, PPOConfig
from tests.algorithms.agents import TINY
from tests.algorithms.support import lone, open_pack, timeless, tiny
from tests.support import offline
from tunerl import RunConfig, TuneConfig, Tuner, registry
from tunerl.errors import InvalidConfig, InvalidInput, TrainableError
from tunerl.space import grid_search
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId


def by_runners(algorithm: Any, env_runner_group: Any) -> Any:
    """As RLlib's example has it: some episodes of the group's runners."""
    found = env_runner_group.foreach_env_runner(
        lambda runner: runner.sample(num_episodes=3, explore=False)
    )
    episodes = [episode for part in found for episode in part]
    steps = sum(map(len, episodes))
    returns = [episode.get_return() for episode in episodes]
    return {"env_runners": {"episode_return_mean": float(np.mean(returns))}}, steps, steps


def by_hand(algorithm: Any, env_runner_group: Any) -> dict[str, Any]:
    """In an environment of its own, with the agent alone."""
    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=7)
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(algorithm.compute_single_action(obs))
        total, over = total + float(reward), terminated or truncated
    env.close()
    return {"own": {"return": total}, "gamma": algorithm.config.gamma}


def broken(algorithm: Any, env_runner_group: Any) -> Any:
    raise ZeroDivisionError("nothing to divide by")


def config_with(function: Any, **settings: Any) -> PPOConfig:
    given = {"evaluation_interval": 1, "custom_evaluation_function": function}
    return PPOConfig().update_from_dict(TINY).evaluation(**given, **settings)


@pytest.mark.parametrize("kind", [PPOConfig, DQNConfig])
def test_it_plays_in_the_groups_environments_with_the_agents_weights(kind: Any) -> None:
    config = kind().environment("CartPole-v1").debugging(seed=3)
    config.rl_module(model_config={"fcnet_hiddens": [8]})
    config.evaluation(
        evaluation_interval=1,
        custom_evaluation_function=by_runners,
        evaluation_config={"env_config": {"sutton_barto_reward": True}},
    )
    if kind is PPOConfig:
        config.training(train_batch_size=64, minibatch_size=32)
    with config.build() as agent:
        found = agent.train()["evaluation"]["env_runners"]
        assert found["episode_return_mean"] == -1.0  # of evaluation's environment, not training's
        assert found["num_env_steps_sampled"] == found["num_agent_steps_sampled"] > 3
        assert agent.evaluate(seed=agent.record.seed)["env_runners"] == found
        usual = agent.evaluate(duration=3)["env_runners"]
        assert (usual["num_episodes"], usual["episode_return_mean"]) == (3, -1.0)


def test_the_agent_that_it_is_given_is_the_one_that_has_just_learned() -> None:
    with config_with(by_hand).training(lr=0.05, num_epochs=8).build() as agent:
        for _ in range(3):
            agent.compute_single_action(np.zeros(4, np.float32))  # the policy of before is kept
            found = agent.train()["evaluation"]
            assert found == by_nested(by_hand(agent, None))


def by_nested(metrics: dict[str, Any]) -> dict[str, Any]:
    from algorithms.results import ResultDict
    from tunerl.metrics import flatten

    return dict(ResultDict.nested(flatten(metrics)))


def test_members_of_a_pack_are_evaluated_each_for_itself_and_training_does_not_notice() -> None:
    config = tiny(evaluation_interval=2, custom_evaluation_function=by_runners)
    pack, plain, own = open_pack(config), ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(plain, config | {"custom_evaluation_function": None, "evaluation_duration": 1}, 1)
    pack.join(own, config, 1)
    reports = [pack.step() for _ in range(2)]
    pack.close()
    alone, _ = lone(config, 1, 2)
    assert [timeless(report[own]) for report in reports] == alone
    mean = "evaluation/env_runners/episode_return_mean"
    for report in reports:
        found = [timeless(report[id]) for id in (plain, own)]
        assert (mean in found[0]) == (mean in found[1])
        trained = [{n: v for n, v in f.items() if "evaluation" not in n} for f in found]
        assert trained[0] == trained[1]


def test_what_it_raises_fails_its_member_alone() -> None:
    config = tiny(evaluation_interval=1)
    pack = open_pack(config)
    pack.join(ReplicaId(0, 0), config, 0)
    pack.join(ReplicaId(1, 0), config | {"custom_evaluation_function": broken}, 0)
    found = pack.step()
    pack.close()
    failed = found[ReplicaId(1, 0)]
    assert isinstance(failed, Failure)
    assert "broken) raised ZeroDivisionError: nothing to divide by" in failed.error
    assert not isinstance(found[ReplicaId(0, 0)], Failure)


@pytest.mark.parametrize("given", [None, 5, ({"a": 1}, 2.5, 1)])
def test_what_is_no_metrics_is_told(given: Any) -> None:
    wrong = pytest.raises(TrainableError, match="is to return a dict of metrics")
    with config_with(lambda algorithm, group: given).build() as agent, wrong:
        agent.train()


def test_one_call_can_bring_a_function_or_durations_of_its_own() -> None:
    with PPO(TINY) as agent:
        assert agent.evaluate(evaluation_fn=lambda algorithm, group: {"a": 1.0}) == {"a": 1.0}
        found = agent.evaluate(duration_fn=lambda played: 2 if played < 5 else 0)
        assert found["env_runners"]["num_episodes"] == 6
        with pytest.raises(InvalidInput, match="evaluates by itself"):
            agent.evaluate(3, evaluation_fn=by_hand)


@pytest.mark.parametrize(
    ("given", "message"), [("mine", "'mine' is not known here"), (5, "5 is no function")]
)
def test_what_is_no_function_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=f"custom_evaluation_function: {message}"):
        config_with(given)
    with pytest.raises(InvalidConfig, match=f"custom_evaluation_function: {message}"):
        PPO({**TINY, "custom_evaluation_function": given})


def test_a_sweep_can_be_judged_by_it(tmp_path: Path) -> None:
    config = config_with(by_hand).training(gamma=grid_search([0.8, 0.9]))
    grid = Tuner(
        "PPO",
        param_space=config,
        tune_config=TuneConfig(metric="evaluation/own/return", mode="max"),
        run_config=RunConfig(verbose=0, stop={"training_iteration": 2}, runtime="local"),
    ).fit()
    assert not grid.errors
    assert sorted(result.metrics["evaluation/gamma"] for result in grid) == [0.8, 0.9]
    assert grid.get_best_result().metrics["evaluation/own/return"] >= 8


def test_a_checkpoint_finds_its_function_again_or_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with config_with(by_hand).build() as agent:
        agent.train()
        agent.save(tmp_path)
        name = agent.config["custom_evaluation_function"]
    with PPO.from_checkpoint(tmp_path) as again:
        assert again.evaluate()["gamma"] == 0.99
    monkeypatch.delitem(registry._shared, ("custom_evaluation_function", name))
    with PPO.from_checkpoint(tmp_path) as again:
        assert again.evaluate()["env_runners"]["num_episodes"] == 10
    assert "goes on without it" in caplog.text


def test_an_agent_that_learns_from_files_needs_no_environment_for_it(tmp_path: Path) -> None:
    env = gymnasium.make("CartPole-v1")
    columns = offline.play(env, 2, offline.balance)
    path = offline.write(tmp_path / "data.parquet", columns, offline.spaces(env))
    config = BCConfig().offline_data(input_=path, dataset_num_iters_per_learner=2)
    config.training(train_batch_size=8).evaluation(
        custom_evaluation_function=lambda algorithm, group: {"iteration": algorithm.iteration}
    )
    with config.build() as agent:
        assert agent.train()["evaluation"] == {"iteration": 1}
    config.environment("CartPole-v1").evaluation(custom_evaluation_function=by_runners)
    with config.build() as agent:
        assert agent.train()["evaluation"]["env_runners"]["episode_return_mean"] > 8
