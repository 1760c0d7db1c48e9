"""A lone agent with environment runners in actors: the numbers that it has without them."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms import PPO, Algorithm, PPOConfig
from algorithms.callbacks import RLlibCallback
from algorithms.core.envs.shares import can_split, merged, split
from algorithms.impala import IMPALAConfig
from tests.algorithms.support import TINY, Grid, open_pack, tiny
from tests.support.actors import kill
from tunerl.errors import TrainableError
from tunerl.registry import register_env
from tunerl.trial import ReplicaId

pytestmark = pytest.mark.usefixtures("ray_cluster")

TURNS = {
    "env": "CartPole-v1",
    "num_env_runners": 2,
    "num_envs_per_env_runner": 2,
    "seed": 5,
    "rollout_fragment_length": 5,
    "train_batch_size": 20,
    "min_sample_timesteps_per_iteration": 60,
    "model": {"fcnet_hiddens": [8]},
}
BASE = {**TINY, "num_env_runners": 2, "seed": 5, "num_envs_per_env_runner": 2}


def build(algorithm: str = "PPO", **more: Any) -> Algorithm:
    if algorithm == "IMPALA":
        return IMPALAConfig().update_from_dict({**TURNS, **more}).build_algo()
    return PPOConfig().update_from_dict({**BASE, **more}).build_algo()


def numbers(algorithm: Algorithm) -> dict[str, Any]:
    found = algorithm.train().flat()
    clock = ("time_", "fault_tolerance/")
    return {k: v if v == v else "NaN" for k, v in found.items() if not k.startswith(clock)}


def state(algorithm: Algorithm) -> dict[str, Any]:
    return {name: a.tolist() for name, a in algorithm.get_state()["state"].arrays.items()}


@pytest.mark.parametrize(
    "more",
    [
        {"env": "probe/grid", "normalize_rewards": True, "num_envs_per_env_runner": 1},
        pytest.param({"env": "CartPole-v1"}, marks=pytest.mark.slow),
        pytest.param({"algorithm": "IMPALA"}, marks=pytest.mark.slow),
    ],
)
def test_two_actors_and_one_process_have_the_same_bits(more: dict[str, Any]) -> None:
    """Metrics, parameters, environments; across a restore in either direction."""
    spread, here = build(**more), build(**more)
    here.in_sweep = True
    assert [numbers(spread) for _ in range(2)] == [numbers(here) for _ in range(2)]
    assert state(spread) == state(here)
    assert spread.train()["fault_tolerance"] == {
        "num_healthy_workers": 2,
        "num_remote_worker_restarts": 0,
    }
    numbers(here)
    before = here.get_state()
    spread.set_state(before)
    assert numbers(spread) == numbers(here)
    before = spread.get_state()
    here.set_state(before)
    assert numbers(spread) == numbers(here)
    assert state(spread) == state(here)
    spread.stop()
    here.stop()


def ask_on(ray: Any, actor: Any) -> None:
    """Ask an actor until it answers no more, for its end takes a moment."""
    for _ in range(100):
        ray.get(actor.ping.remote())
        time.sleep(0.1)


def test_what_the_guide_asks_of_the_runners_and_a_death() -> None:
    """Access to the state of the runners, as the guide has it; then one of them dies."""
    heard: list[int] = []

    class Hears(RLlibCallback):
        def on_env_runners_recreated(self, *, algorithm: Any, **kwargs: Any) -> None:
            heard.append(algorithm.iteration)

    algo = build(observation_filter="MeanStdFilter", callbacks=Hears)
    before = algo.get_module().get_state()
    local = algo.env_runner.module.get_state()
    every = algo.env_runner_group.foreach_worker(lambda env_runner: env_runner.module.get_state())
    numbered = algo.env_runner_group.foreach_worker_with_id(
        lambda _id, env_runner: (_id, env_runner.module.get_state())
    )
    assert [number for number, _ in numbered] == [0, 1, 2]
    for own in [local, *every, *(weights for _, weights in numbered)]:
        assert all(np.array_equal(own[name], before[name]) for name in before)
    algo.train()
    after = algo.get_module().get_state()
    assert not np.array_equal(after["value_head.bias"], before["value_head.bias"])
    every = algo.env_runner_group.foreach_worker(lambda env_runner: env_runner.module.get_state())
    assert all(np.array_equal(w["value_head.bias"], after["value_head.bias"]) for w in every)
    # all that both saw is in the statistics: 4 first observations and 16 steps of 4, twice
    assert algo.pack.obs_stats.count[0, 0] == 4 * 17
    fleet = algo.env_runner_group.fleet
    assert fleet is not None
    kill(fleet, 1)
    result = algo.train()
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 1
    assert heard == [1]
    assert result["num_env_steps_sampled_lifetime"] == 2 * 64
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    actor, ray = fleet.actors[2], fleet.ray
    algo.stop()
    with pytest.raises(ray.exceptions.RayActorError):
        ask_on(ray, actor)
    assert ray.is_initialized()  # it was running before


class Sleepy(Grid):
    """Hangs in the third step of its second member."""

    def reward(self, action: Any) -> float:
        if self.config.vector_index == 2 and self.total == 3:
            time.sleep(60)
        return super().reward(action)


register_env("tests/sleepy", lambda config: Sleepy(config))


def test_an_environment_that_hangs_is_told() -> None:
    algo = build(env="tests/sleepy", sample_timeout_s=20.0, restart_failed_env_runners=False)
    with pytest.raises(TrainableError, match=r"runner 2 gave no samples .*sample_timeout_s"):
        algo.train()
    algo.stop()


def test_an_environment_that_raises_fails_the_agent() -> None:
    algo = build(env="probe/grid", env_config={"faulty": 1.0, "fail": 3})
    with pytest.raises(TrainableError, match="the floor gave way"):
        algo.train()
    algo.stop()


@pytest.mark.parametrize("env", ["CartPole-v1", "probe/grid"])
def test_the_state_of_environments_is_cut_and_joined(env: str) -> None:
    config = tiny(env=env, num_envs_per_env_runner=6)
    pack = open_pack(config)
    pack.join(ReplicaId(0, 0), config, 1)
    pack.step()
    whole = pack.envs.read(0)
    assert can_split(whole)
    parts = split(whole, 3)
    assert [len(arrays["obs"]) for arrays, _ in parts] == [2, 2, 2]
    joined = merged(parts)
    assert joined[1] == whole[1]
    assert joined[0].keys() == whole[0].keys()
    assert all(np.array_equal(joined[0][name], array) for name, array in whole[0].items())
    pack.close()
    assert not can_split(({"obs": np.zeros(2), "actions": np.zeros(0)}, {"seed": 1}))


def test_a_sweep_starts_no_actors() -> None:
    from tunerl.registry import trainable

    class Own(PPO):
        def training_step(self) -> Any:
            return super().training_step()

    spec = trainable(Own)
    config = spec.resolve({**BASE, "env": "CartPole-v1"})
    pack = spec.open(config)
    pack.join(ReplicaId(0, 0), config, 0)
    (report,) = pack.step().values()
    assert isinstance(report, dict)
    assert "fault_tolerance/num_healthy_workers" not in report
    pack.close()


def test_gymnasium_environments_count_their_sub_environments_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from algorithms.core.envs import factory

    found: list[int] = []

    def create(config: Any) -> Any:
        found.append(config.vector_index)
        return gym.make("CartPole-v1")

    monkeypatch.setattr(factory, "_first_index", 0)
    factory.count_from(4)
    factory.Factory("env", {}, creator=create)(1)
    assert found == [5]
