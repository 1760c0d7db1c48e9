"""Connectors by hand, and agents that train through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from algorithms import PPOConfig, SACConfig
from algorithms.ppo import SPEC
from algorithms.sampling.connectors import (
    ConnectorPipeline,
    FlattenObservations,
    FrameStacking,
    NormalizeAndClipActions,
    PrevActionsPrevRewards,
    connected,
)
from algorithms.sampling.episode import SingleAgentEpisode
from tests.algorithms import soft
from tests.algorithms.support import TwoSteps, lone, open_pack, timeless, tiny
from tunerl import RunConfig, TuneConfig, Tuner
from tunerl.errors import InvalidConfig, InvalidInput
from tunerl.space import grid_search
from tunerl.trial import ReplicaId

EMPTY = SingleAgentEpisode()


def double(value: Any, episode: Any) -> Any:
    return value * 2


def add_one(value: Any, episode: Any) -> Any:
    return value + 1


def test_pieces_run_in_order_and_are_found_by_name() -> None:
    pipeline = ConnectorPipeline([double])
    pipeline.append(add_one)
    assert pipeline(3, EMPTY) == 7
    pipeline.prepend(add_one)
    assert pipeline(3, EMPTY) == 9
    pipeline.remove("add_one")
    pipeline.insert_before("double", add_one)
    pipeline.insert_after(double.__name__, FrameStacking(2))
    assert [type(p).__name__ for p in pipeline] == [
        "function",
        "function",
        "FrameStacking",
        "function",
    ]
    pipeline.remove(FrameStacking)
    assert len(pipeline) == 3
    with pytest.raises(InvalidInput, match="did you mean 'double'"):
        pipeline.remove("duble")


def test_frames_are_stacked_from_zeros_and_forgotten_at_the_end() -> None:
    stack = FrameStacking(3)
    assert stack.space(spaces.Box(1.0, 2.0, (2,)), None).shape == (6,)
    assert stack(np.array([1.0, 2.0]), EMPTY).tolist() == [0, 0, 0, 0, 1, 2]
    assert stack(np.array([3.0, 4.0]), EMPTY).tolist() == [0, 0, 1, 2, 3, 4]
    stack.begin()
    assert stack(np.array([5.0, 6.0]), EMPTY).tolist() == [0, 0, 0, 0, 5, 6]
    with pytest.raises(InvalidInput, match="Box with axes"):
        stack.space(spaces.Discrete(2), None)


def test_last_actions_and_rewards_beside_the_observation() -> None:
    piece = PrevActionsPrevRewards(n_prev_actions=2, n_prev_rewards=1)
    space = piece.space(spaces.Discrete(3), spaces.Discrete(2))
    episode = SingleAgentEpisode()
    episode.add_env_reset(0)
    first = piece(0, episode)
    assert first["prev_n_actions"].tolist() == [0, 0, 0, 0]
    episode.add_env_step(1, 1, 0.5)
    second = piece(1, episode)
    assert second["prev_n_actions"].tolist() == [0, 0, 0, 1]
    assert second["prev_n_rewards"].tolist() == [0.5]
    assert all(space.contains(value) for value in (first, second))


def test_actions_are_stretched_and_clipped() -> None:
    piece = NormalizeAndClipActions()
    assert piece.space(spaces.Box(0.0, 4.0, (1,)), None) == spaces.Box(-1.0, 1.0, (1,))
    assert [piece(np.array([a]), EMPTY).tolist() for a in (-1.0, 0.5, 3.0)] == [[0], [3], [4]]
    plain = NormalizeAndClipActions(normalize_actions=False, clip_actions=False)
    plain.space(spaces.Box(0.0, 4.0, (1,)), None)
    assert plain(np.array([9.0]), EMPTY).tolist() == [9]


def test_observations_are_flattened() -> None:
    piece = FlattenObservations()
    space = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))})
    assert piece.space(space, None).shape == (4,)
    assert piece({"a": 1, "b": np.array([0.5, 0])}, EMPTY).tolist() == [0, 1, 0.5, 0]


def test_an_agent_trains_through_connectors_and_is_resumed_exactly() -> None:
    env = connected(
        lambda config: TwoSteps(dict(config)),
        lambda: [PrevActionsPrevRewards(), FlattenObservations(), FrameStacking(2)],
    )
    config = tiny(env=env)
    pack = open_pack(config)
    assert pack.obs_codec.D == 2 * (1 + 2 + 1)
    id = ReplicaId(0, 0)
    pack.join(id, config, 4)
    pack.step()
    again = open_pack(config)
    again.join(id, config, 4, pack.read(id))
    assert timeless(again.step()[id]) == timeless(pack.step()[id])
    pack.close()
    again.close()
    bounded = connected("Pendulum-v1", module_to_env=lambda: [NormalizeAndClipActions()])
    assert SPEC.resolve(tiny(env=bounded))["env"] is bounded
    lone(tiny(env=bounded), 0, 1)


def pieces() -> list[Any]:
    return [PrevActionsPrevRewards(), FlattenObservations(), FrameStacking(2)]


def stretched(env: Any) -> Any:
    assert env.action_space.shape == (1,)
    return NormalizeAndClipActions()


def test_they_are_settings_too_and_evaluation_has_them() -> None:
    other = {"evaluation_config": {"env_config": {"sutton_barto_reward": True}}}
    config = PPOConfig().update_from_dict(tiny()).debugging(seed=5)
    config.evaluation(evaluation_interval=1, evaluation_duration=2, **other)
    by_hand = config.copy().environment(connected("CartPole-v1", pieces))
    config.env_runners(env_to_module_connector=pieces)
    reports = []
    for one in (config, by_hand):
        with one.build() as agent:
            assert agent.pack.obs_codec.D == 2 * (4 + 2 + 1)
            found = agent.train().flat()
            assert found["evaluation/env_runners/episode_return_mean"] == -1.0
            reports.append(timeless({n: v for n, v in found.items() if not n.startswith("config")}))
    assert reports[0] == reports[1]


def first_sizes(algorithm: Any, env_runner_group: Any) -> dict[str, Any]:
    """How long the runners' observations are, and what they reach."""
    (episodes,) = env_runner_group.foreach_env_runner(lambda runner: runner.sample(num_episodes=2))
    sizes = {len(one.observations[0]) for one in episodes}
    return {"size": max(sizes), "return": sum(one.get_return() for one in episodes)}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_they_and_an_evaluation_of_ones_own_go_along_to_actors_and_sweeps_on_ray() -> None:
    config = PPOConfig().update_from_dict(tiny()).debugging(seed=5)
    config.env_runners(env_to_module_connector=pieces)
    config.evaluation(evaluation_interval=1, custom_evaluation_function=first_sizes)
    reports = []
    for runners, envs in ((0, 4), (2, 2)):
        config.env_runners(num_env_runners=runners, num_envs_per_env_runner=envs)
        with config.build() as agent:
            found = [timeless(agent.train().flat()) for _ in range(2)][-1]
        told = ("learners/", "env_runners/", "evaluation/size")
        reports.append({name: found[name] for name in found if name.startswith(told)})
    assert reports[0] == reports[1]
    assert reports[0]["evaluation/size"] == 14
    config.env_runners(num_env_runners=0)
    grid = Tuner(
        "PPO",
        param_space=config.training(lr=grid_search([1e-3, 1e-2])),
        tune_config=TuneConfig(metric="evaluation/return", mode="max"),
        run_config=RunConfig(verbose=0, stop={"training_iteration": 2}, runtime="ray"),
    ).fit()
    assert not grid.errors
    assert [result.metrics["evaluation/size"] for result in grid] == [14, 14]


def test_actions_go_through_settings_of_off_policy_agents() -> None:
    config = SACConfig().update_from_dict(soft.tiny(normalize_actions=False))
    plain = config.copy().build()
    with config.env_runners(module_to_env_connector=stretched).build() as agent, plain:
        assert agent.get_policy().action_space.high.tolist() == [1.0]
        assert plain.get_policy().action_space.high.tolist() == [2.0]
        agent.train()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mine", "'mine' is not known here"),
        (5, "5 is no function"),
        (lambda: 5, "env_to_module_connector gave 5, which is no piece"),
        (lambda: 1 / 0, r"'<connected CartPole-v1>' .* \(<lambda>\) raised ZeroDivisionError"),
    ],
)
def test_what_makes_no_connectors_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        PPOConfig().update_from_dict(tiny(env_to_module_connector=given)).build()


def test_atari_games_with_the_usual_preprocessing_have_none() -> None:
    with pytest.raises(InvalidConfig, match=r"env_to_module_connector: .*is_atari=False"):
        SPEC.resolve(tiny(env="ALE/Pong-v5", env_to_module_connector=pieces))
