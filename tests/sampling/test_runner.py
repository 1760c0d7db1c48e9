"""A runner's episodes: what it samples, how it goes on, what it can be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.config import AlgorithmConfig
from algorithms.ppo import PPOConfig
from algorithms.sampling import EnvRunner, SampleBatch
from tests.algorithms.support import TINY
from tunerl.errors import Conflict, InvalidInput, TrainableError
from tunerl.registry import trainable


def runner(env: str = "probe/two-steps", **options: Any) -> EnvRunner:
    config = PPOConfig().update_from_dict({**TINY, "env": env, "seed": 3})
    return EnvRunner(config, **options)


def seen(episode: Any) -> list[float]:
    return [float(obs[0]) for obs in episode.get_observations()]


def test_steps_come_as_chunks_and_the_next_call_goes_on() -> None:
    made = runner()
    first = made.sample(num_timesteps=6)  # 3 steps in each of 2 environments of 2 steps
    assert [(seen(e), e.is_terminated, e.t_started) for e in first] == [
        ([0, 1, 1], True, 0),
        ([0, 1, 1], True, 0),
        ([0, 1], False, 0),
        ([0, 1], False, 0),
    ]
    assert [list(e.get_rewards()) for e in first] == [[0, 1], [0, 1], [0], [0]]
    second = made.sample(num_timesteps=2)
    assert [(seen(e), e.t_started, e.is_terminated) for e in second] == [([1, 1], 1, True)] * 2
    assert {e.id_ for e in second} == {e.id_ for e in first[2:]}
    assert len({e.id_ for e in first}) == 4
    first[2].concat_episode(next(e for e in second if e.id_ == first[2].id_))
    assert first[2].get_return() == 1.0


def test_so_many_episodes_begin_afresh_and_are_whole() -> None:
    made = runner()
    made.sample(num_timesteps=2)
    episodes = made.sample(num_episodes=3)
    assert [(len(e), e.is_done, e.t_started) for e in episodes] == [(2, True, 0)] * 3


def test_whole_episodes_are_kept_until_they_are_over() -> None:
    made = runner(batch_mode="complete_episodes")
    first = made.sample(num_timesteps=6)
    assert [len(e) for e in first] == [2, 2, 2, 2]
    assert all(e.is_done and e.t_started == 0 for e in first)
    assert [len(e) for e in made.sample(num_timesteps=1)] == [2, 2]


def test_cut_off_episodes_end_with_the_observation_they_came_to() -> None:
    first = runner("probe/endless").sample(num_timesteps=10)
    assert [(e.is_truncated, e.is_terminated, len(e)) for e in first] == [(True, False, 5)] * 2


def test_the_usual_number_of_steps() -> None:
    assert sum(map(len, runner().sample())) == TINY["train_batch_size"]
    assert sum(map(len, runner(num_workers=2).sample())) == TINY["train_batch_size"] // 2
    assert sum(map(len, runner(rollout_fragment_length=3).sample())) == 6


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "Blackjack-v1", "FrozenLake-v1"])
def test_episodes_replay_in_the_environment_itself(env: str) -> None:
    """Observations are the environment's own, actions those that it took."""
    made = runner(env)
    episodes = made.sample(num_timesteps=20)
    space = made.get_spaces()["__env__"][0]
    for episode in episodes:
        for obs in map(tuple if env == "Blackjack-v1" else np.asarray, zip_rows(episode)):
            value = tuple(int(part) for part in obs) if env == "Blackjack-v1" else obs
            assert space.contains(value), obs
    batch = SampleBatch.concat_samples(episodes)
    assert batch.count == 20
    assert ("actions_for_env" in batch) == (env == "Pendulum-v1")
    if env == "CartPole-v1":
        assert batch["obs"].dtype == np.float32
        chosen = batch["action_dist_inputs"][np.arange(20), batch["actions"]]
        total = np.log(np.exp(batch["action_dist_inputs"]).sum(1))
        assert np.allclose(batch["action_logp"], chosen - total, atol=1e-6)


def zip_rows(episode: Any) -> list[Any]:
    observations = episode.get_observations()
    if isinstance(observations, tuple):
        return list(zip(*observations, strict=True))
    return list(observations)


def test_equal_seeds_are_equal_and_runners_differ() -> None:
    def actions(**options: Any) -> list[int]:
        batch = SampleBatch.concat_samples(runner("CartPole-v1", **options).sample())
        return list(batch["actions"])

    assert actions() == actions()
    assert actions(worker_index=1) != actions()
    assert actions(seed=4) != actions()


def test_the_likeliest_and_random_actions() -> None:
    made = runner("probe/constant")
    likeliest = SampleBatch.concat_samples(made.sample(num_timesteps=20, explore=False))
    assert len(set(likeliest["actions"])) == 1
    made.set_weights({k: np.full_like(v, 50.0) for k, v in made.module.get_state().items()})
    random = SampleBatch.concat_samples(made.sample(num_timesteps=60, random_actions=True))
    assert set(random["actions"]) == {0, 1}
    continuous = runner("probe/target").sample(num_timesteps=60, random_actions=True)
    drawn = SampleBatch.concat_samples(continuous)["actions"]
    assert drawn.min() < -0.5
    assert drawn.max() > 0.5


def test_weights_state_and_metrics() -> None:
    one, other = runner("CartPole-v1"), runner("CartPole-v1", worker_index=1)
    other.set_weights(one.get_weights())
    assert np.array_equal(
        other.get_policy().get_weights()["value_head.bias"],
        one.module.get_state()["value_head.bias"],
    )
    one.sample(num_timesteps=100)
    state = one.get_state()
    after = SampleBatch.concat_samples(one.sample(num_timesteps=100))
    again = runner("CartPole-v1")
    again.set_state(state)
    same = SampleBatch.concat_samples(again.sample(num_timesteps=100))
    assert all(np.array_equal(after[name], same[name]) for name in ("obs", "actions", "eps_id"))
    metrics = one.get_metrics()
    assert metrics["env_runners/num_env_steps_sampled_lifetime"] == 200
    assert metrics["env_runners/episode_return_mean"] > 1
    assert (one.ping(), one.apply(lambda r, n: r.num_envs * n, 3)) == ("pong", 6)


@pytest.mark.parametrize("name", ["DQN", "SAC", "IMPALA", "A3C"])
def test_agents_of_other_algorithms_sample_too(name: str) -> None:
    spec = trainable(name)
    env = "Pendulum-v1" if name == "SAC" else "CartPole-v1"
    config = AlgorithmConfig.of(spec, {"env": env, "num_envs_per_env_runner": 2})
    assert SampleBatch.concat_samples(EnvRunner(config).sample(num_timesteps=20)).count == 20


def test_a_recurrent_agent_remembers_within_its_episodes() -> None:
    config = {**TINY, "env": "CartPole-v1", "model": {"use_lstm": True, "lstm_cell_size": 4}}
    one, other = (EnvRunner(PPOConfig().update_from_dict(config), seed=1) for _ in range(2))
    first = SampleBatch.concat_samples(one.sample(num_timesteps=40))
    parts = [other.sample(num_timesteps=20), other.sample(num_timesteps=20)]
    inputs = {(row["eps_id"], row["t"]): row["action_dist_inputs"][0] for row in first.rows()}
    for row in SampleBatch.concat_samples(parts[0]).rows():
        assert row["action_dist_inputs"][0] == inputs[row["eps_id"], row["t"]]
    assert len(set(inputs.values())) > 20


def test_a_forced_reset_begins_all_episodes_afresh() -> None:
    made = runner("CartPole-v1")
    made.sample(num_timesteps=10)
    assert [e.t_started for e in made.sample(num_timesteps=10)] == [5, 5]
    assert [e.t_started for e in made.sample(num_timesteps=10, force_reset=True)] == [0, 0]


def test_what_cannot_be_is_refused() -> None:
    made = runner()
    with pytest.raises(InvalidInput, match="not both"):
        made.sample(num_timesteps=1, num_episodes=1)
    with pytest.raises(InvalidInput, match="at least 1"):
        made.sample(num_episodes=0)
    with pytest.raises(InvalidInput, match="complete_episodes"):
        runner(batch_mode="complete")
    with pytest.raises(InvalidInput, match="fragment"):
        runner(rollout_fragment_length=0)


def test_a_failed_environment_is_told_and_the_runner_refuses_to_go_on() -> None:
    config = PPOConfig().update_from_dict(
        {**TINY, "env": "probe/grid", "env_config": {"faulty": 1.0, "fail": 3}}
    )
    made = EnvRunner(config)
    with pytest.raises(TrainableError, match="the floor gave way"):
        made.sample(num_timesteps=20)
    with pytest.raises(Conflict, match="make another one"):
        made.assert_healthy()
    made.stop()
