"""How often something is reported, and over how many episodes it is averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import PPO, PPOConfig
from algorithms.core.packs.member import Episodes
from tests.algorithms import dqn_support, turns
from tests.algorithms.agents import TINY
from tests.algorithms.support import lone, tiny
from tunerl import RunConfig, Tuner
from tunerl.errors import InvalidConfig, InvalidSpec

STEPS = "env_runners/num_env_steps_sampled"
LIFETIME = "num_env_steps_sampled_lifetime"


def test_an_iteration_is_as_many_whole_batches_as_its_least_steps_need() -> None:
    single, state = lone(tiny(), 3, 4)
    double, same = lone(tiny(min_sample_timesteps_per_iteration=65), 3, 2)
    for number, report in enumerate(double):
        first, second = single[2 * number : 2 * number + 2]
        assert report["training_iteration"] == number + 1
        assert report[STEPS] == first[STEPS] + second[STEPS] == 128
        episodes = "env_runners/num_episodes"
        assert report[episodes] == first[episodes] + second[episodes]
        changed = {"training_iteration", STEPS, episodes}
        assert {n: v for n, v in report.items() if n not in changed}.items() <= second.items()
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(array, same.arrays[name])


def test_evaluation_and_callbacks_come_once_an_iteration() -> None:
    calls: list[int] = []
    config = (
        PPOConfig()
        .update_from_dict(TINY)
        .callbacks(
            on_train_result=lambda result, **kwargs: calls.append(result["training_iteration"])
        )
    )
    config.reporting(min_sample_timesteps_per_iteration=128)
    config.evaluation(evaluation_interval=2, evaluation_duration=1)
    with config.build() as agent:
        results = [agent.train() for _ in range(3)]
    assert calls == [1, 2, 3]
    assert ["evaluation" in result for result in results] == [False, True, False]


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_lone_agent_goes_on_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algorithms.core.packs.iteration.time.perf_counter", Clock())
    config = PPOConfig().update_from_dict(TINY).reporting(min_time_s_per_iteration=10)
    with config.build() as agent:
        first = agent.train()
        assert (first["training_iteration"], first[LIFETIME] % 64) == (1, 0)
        assert first[LIFETIME] == first[STEPS] >= 2 * 64
        assert first["time_this_iter_s"] == first["time_total_s"] > 0
        second = agent.train()
        assert second["training_iteration"] == agent.iteration == 2
        assert second[LIFETIME] == first[STEPS] + second[STEPS]


@pytest.mark.parametrize("name", ["DQN", "A2C"])
def test_a_time_holds_for_other_algorithms_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = dqn_support if name == "DQN" else turns
    spec = module.SPEC if name == "DQN" else turns.SPECS[name]
    steps = []
    for seconds in (None, 20.0):
        monkeypatch.setattr("algorithms.core.packs.iteration.time.perf_counter", Clock())
        algorithm = _class(spec)(module.tiny() | {"min_time_s_per_iteration": seconds, "seed": 1})
        with algorithm as agent:
            steps.append(agent.train()[STEPS])
    assert steps[1] >= 2 * steps[0]


def _class(spec: Any) -> Any:
    from algorithms.building import algorithm_class

    return algorithm_class(spec)


def test_a_step_of_ones_own_is_repeated_until_the_time_is_over() -> None:
    calls = []

    class Own(PPO):
        def training_step(self) -> Any:
            calls.append(self.iteration)
            return {"calls": len(calls)}

    with Own({**TINY, "min_time_s_per_iteration": 0.02}) as agent:
        result = agent.train()
    assert result["calls"] == len(calls) > 1
    assert set(calls) == {0}
    assert result["time_this_iter_s"] >= 0.02


def test_a_sweep_refuses_iterations_that_are_up_to_the_clock() -> None:
    space = {**TINY, "min_time_s_per_iteration": 5}
    run = RunConfig(verbose=0, stop={"training_iteration": 1}, runtime="local")
    with pytest.raises(InvalidSpec, match=r"min_time_s_per_iteration.*counted in steps"):
        Tuner("PPO", param_space=space, run_config=run).fit()


def test_returns_are_averaged_over_so_many_episodes() -> None:
    episodes = Episodes(1, 2)
    ends, valid = np.ones((3, 1), np.bool_), np.ones((3, 1), np.bool_)
    episodes.add(np.array([[1.0], [2.0], [4.0]], np.float32), ends, valid)
    assert episodes.metrics()["env_runners/episode_return_mean"] == 3.0
    episodes.keep(1)
    assert episodes.metrics()["env_runners/episode_return_mean"] == 4.0
    again = Episodes.from_json(episodes.to_json(), 1)
    episodes.keep(5)
    for one in (episodes, again):
        one.add(np.array([[8.0]], np.float32), ends[:1], valid[:1])
    assert episodes.metrics()["env_runners/episode_return_mean"] == 6.0
    assert again.metrics()["env_runners/episode_return_mean"] == 8.0


def test_the_window_is_a_members_own_and_goes_on_after_a_restore(tmp_path: Any) -> None:
    config = PPOConfig().update_from_dict(TINY).reporting(metrics_num_episodes_for_smoothing=1)
    with config.build() as agent:
        agent.train()
        assert agent.record.episodes.returns.maxlen == 1
        agent.save(tmp_path)
        with PPO.from_checkpoint(tmp_path) as again:
            assert again.record.episodes.returns == agent.record.episodes.returns
            assert again.record.episodes.returns.maxlen == 1
        agent.reset_config({"metrics_num_episodes_for_smoothing": 3})
        assert agent.record.episodes.returns.maxlen == 3
    with pytest.raises(InvalidConfig, match="metrics_num_episodes_for_smoothing"):
        config.reporting(metrics_num_episodes_for_smoothing=0)
