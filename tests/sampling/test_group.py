"""Groups of environment runners: what is asked of all, weights, filters, deaths."""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms.ppo import PPOConfig
from algorithms.sampling import EnvRunnerGroup, SampleBatch
from tests.algorithms.support import TINY
from tests.support.actors import kill
from tunerl.errors import Conflict, InvalidInput, TrainableError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def config(**more: Any) -> PPOConfig:
    return PPOConfig().update_from_dict({**TINY, "env": "CartPole-v1", "seed": 3, **more})


@pytest.fixture(scope="module")
def group(ray_cluster: None) -> Any:
    made = EnvRunnerGroup(config(observation_filter="MeanStdFilter"), num_env_runners=2)
    yield made
    made.stop()


def actions(episodes: Any) -> list[int]:
    return list(SampleBatch.concat_samples(episodes)["actions"])


def test_all_are_asked_the_local_one_first(group: Any) -> None:
    assert group.num_remote_env_runners() == len(group.remote_workers()) == 2
    assert group.foreach_env_runner(lambda r: r.worker_index) == [0, 1, 2]
    assert group.foreach_worker(lambda r: r.worker_index, local_env_runner=False) == [1, 2]
    assert group.foreach_worker_with_id(lambda i, r: (i, r.num_envs)) == [(0, 2), (1, 2), (2, 2)]
    assert group.foreach_env_runner("ping", remote_worker_ids=[2]) == ["pong", "pong"]
    assert group.local_worker() is group.local_env_runner
    assert group.healthy_env_runner_ids() == [1, 2]


def test_an_actor_samples_what_it_would_here(group: Any) -> None:
    from algorithms.sampling import EnvRunner

    there = group.foreach_env_runner(
        lambda r: r.sample(num_timesteps=50, force_reset=True), local_env_runner=False
    )
    here = [
        EnvRunner(group.config, worker_index=index, num_workers=2).sample(
            num_timesteps=50, force_reset=True
        )
        for index in (1, 2)
    ]
    assert [actions(e) for e in there] == [actions(e) for e in here]
    assert actions(there[0]) != actions(there[1])


def test_weights_are_given_to_all(group: Any) -> None:
    weights = {
        "default_policy": {
            name: value + 1 for name, value in group.local_env_runner.module.get_state().items()
        }
    }
    group.sync_weights(weights=weights)
    for own in group.foreach_worker(lambda r: r.get_weights()["default_policy"]):
        assert all(np.array_equal(own[n], v) for n, v in weights["default_policy"].items())


def test_filters_merge_to_what_one_would_know_of_all(group: Any) -> None:
    group.sync_filters()

    def moments(runner: Any) -> Any:
        return runner.pack.obs_stats.read(0)

    before = group.foreach_worker(moments)[0]
    found = group.foreach_worker(lambda r: SampleBatch.concat_samples(r.sample(num_timesteps=60)))
    group.sync_filters()
    after = group.foreach_worker(moments)
    for own in after[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(own, after[0], strict=True))
    # what acted saw: of each of the 2 sub-environments its first observation and its 30 next ones
    assert after[0][2][0] == before[2][0] + 3 * 2 * 31
    assert len(found) == 3
    group.sync_filters()
    assert np.array_equal(group.foreach_worker(moments)[1][0], after[0][0])


def test_questions_without_waiting(group: Any) -> None:
    assert group.foreach_env_runner_async(lambda r: r.worker_index * 10) == 2
    found: list[Any] = []
    deadline = time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < deadline:
        found += group.fetch_ready_async_reqs(timeout_seconds=5.0)
    assert sorted(found) == [(1, 10), (2, 20)]
    assert group.fetch_ready() == []


def test_the_dead_are_made_anew_and_counted(group: Any) -> None:
    before = group.num_remote_worker_restarts()
    kill(group.fleet, 2)
    assert group.foreach_env_runner(lambda r: r.worker_index) == [0, 1, 2]
    assert group.num_remote_worker_restarts() == before + 1
    kill(group.fleet, 1)
    assert group.probe_unhealthy_env_runners() == [1]
    assert group.num_healthy_remote_env_runners() == 2
    own = group.foreach_worker(lambda r: r.get_weights()["default_policy"]["value_head.bias"])
    assert len({value.tobytes() for value in own}) == 1


def test_who_hangs_is_told_or_left_out() -> None:
    strict = EnvRunnerGroup(config(), num_env_runners=1, restart_failed_env_runners=False)
    with pytest.raises(TrainableError, match=r"runner 1 is lost \(no answer within 0.5 s\)"):
        strict.foreach_env_runner(lambda r: time.sleep(30), timeout_seconds=0.5)
    strict.stop()
    lenient = EnvRunnerGroup(
        config(),
        num_env_runners=1,
        restart_failed_env_runners=False,
        ignore_env_runner_failures=True,
    )
    kill(lenient.fleet, 1)
    assert lenient.foreach_env_runner(lambda r: r.worker_index) == [0]
    lenient.stop()
    lenient.stop()


def test_what_a_runner_raises_is_raised_here(group: Any) -> None:
    with pytest.raises(InvalidInput, match="not both"):
        group.foreach_env_runner(
            lambda r: r.sample(num_timesteps=1, num_episodes=1), local_env_runner=False
        )
    with pytest.raises(InvalidInput, match="policy_class"):
        EnvRunnerGroup()
    with pytest.raises(InvalidInput, match="from 0"):
        EnvRunnerGroup(config(), num_env_runners=-1)


class CustomPolicy:
    """As older programs write one: a linear policy that learns nothing much."""

    def __init__(self, observation_space: Any, action_space: Any, config: Any) -> None:
        self.action_space, self.weights, self.pids = action_space, np.zeros(4), set()

    def compute_actions(self, obs_batch: Any, **_: Any) -> Any:
        return [int(obs @ self.weights > 0) for obs in obs_batch], [], {}

    def learn_on_batch(self, batch: SampleBatch) -> None:
        self.weights = self.weights + batch["obs"].mean(0)

    def get_weights(self) -> Any:
        return self.weights

    def set_weights(self, weights: Any) -> None:
        self.weights = weights


def test_policy_evaluation_as_the_guide_has_it() -> None:
    """`EnvRunnerGroup(policy_class=..., env_creator=...)`; its loop ends here, and `CustomPolicy`,
    which the guide names but does not show, is given."""
    import ray

    env = gym.make("CartPole-v1")
    policy = CustomPolicy(env.observation_space, env.action_space, {})
    workers = EnvRunnerGroup(
        policy_class=CustomPolicy, env_creator=lambda c: gym.make("CartPole-v1"), num_env_runners=2
    )
    for _ in range(2):
        samples = SampleBatch.concat_samples(
            ray.get([w.sample.remote() for w in workers.remote_workers()])
        )
        assert samples.count == 2 * 200
        policy.learn_on_batch(samples)
        weights = ray.put({"default_policy": policy.get_weights()})
        for w in workers.remote_workers():
            w.set_weights.remote(weights)
    own = workers.foreach_worker(lambda w: w.policy.get_weights(), local_env_runner=False)
    assert all(np.array_equal(w, policy.get_weights()) for w in own)
    here = workers.local_env_runner
    assert [e.is_done for e in here.sample(num_episodes=2)] == [True, True]
    assert sum(map(len, here.sample(num_timesteps=7, random_actions=True))) == 7
    assert here.get_metrics()["env_runners/episode_return_mean"] > 1
    workers.stop()


def test_runners_live_in_processes_of_their_own(group: Any) -> None:
    pids = group.foreach_env_runner(lambda r: os.getpid())
    assert len(set(pids)) == 3
    with pytest.raises(Conflict):
        group.foreach_env_runner(_fail, local_env_runner=False)


def _fail(runner: Any) -> None:
    raise Conflict("no")
