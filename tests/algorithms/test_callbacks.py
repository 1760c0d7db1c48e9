"""What callbacks are told, in which order, with which arguments; what of it is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from algorithms import PPO, Algorithm, DefaultCallbacks, PPOConfig, RLlibCallback
from tests.algorithms.agents import TINY, timeless
from tests.algorithms.support import Probe
from tunerl.errors import TrainableError

SMALL = {**TINY, "env": "probe/two-steps", "num_envs_per_env_runner": 2, "train_batch_size": 8}
SMALL |= {"minibatch_size": 4}


def built(callbacks: Any = None, **functions: Any) -> Algorithm:
    config = PPOConfig.from_dict(SMALL)
    return config.callbacks(callbacks, **functions).build_algo()


class Diary(RLlibCallback):
    """Writes down what it is told."""

    lines: ClassVar[list[str]] = []

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.lines.append(f"init {algorithm.iteration}")

    def on_environment_created(self, *, env_runner: Any, env: Any, **kwargs: Any) -> None:
        self.lines.append(f"envs {env.num_envs} {len(env.envs)} {env_runner.num_envs}")

    def on_episode_created(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        self.lines.append(f"created {env_index} {len(episode)}")

    def on_episode_start(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        self.lines.append(f"start {env_index} {episode.get_observations(-1)[0]:g}")

    def on_episode_step(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        seen, reward = episode.get_observations(-1)[0], episode.get_rewards(-1)
        self.lines.append(f"step {env_index} {seen:g} {reward:g}")

    def on_episode_end(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        self.lines.append(f"end {env_index} {episode.length} {episode.get_return():g}")

    def on_sample_end(self, *, samples: Any, **kwargs: Any) -> None:
        self.lines.append(f"sampled {sum(map(len, samples))}")

    def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
        self.lines.append(f"result {result['training_iteration']} {algorithm.iteration}")

    def on_evaluate_start(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.lines.append("evaluating")

    def on_evaluate_end(self, *, evaluation_metrics: Any, **kwargs: Any) -> None:
        self.lines.append(f"evaluated {evaluation_metrics['env_runners']['num_episodes']}")

    def on_checkpoint_loaded(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.lines.append(f"loaded {algorithm.iteration}")


@pytest.fixture
def diary() -> list[str]:
    Diary.lines.clear()
    return Diary.lines


def test_hooks_come_in_their_order_with_what_happened(diary: list[str]) -> None:
    with built(Diary) as agent:
        assert diary == ["envs 2 2 2", "init 0"]
        diary.clear()
        agent.train()
        begun = [f"{what} {e} 0" for e in (0, 1) for what in ("created", "start")]
        first = [f"step {e} 1 0" for e in (0, 1)]
        second = [
            line
            for e in (0, 1)
            for line in (f"step {e} 1 1", f"end {e} 2 1", f"created {e} 0", f"start {e} 0")
        ]
        assert diary == [*begun, *(first + second) * 2, "sampled 8", "result 1 1"]
        diary.clear()
        agent.train()
        assert diary[0] == "step 0 1 0"  # its episodes had begun
        diary.clear()
        agent.evaluate(3)
        assert diary == ["evaluating", "evaluated 3"]


def test_evaluation_at_its_interval_is_told_of_and_what_is_changed_counts(diary: list[str]) -> None:
    class Doubled(Diary):
        def on_evaluate_end(self, *, evaluation_metrics: Any, **kwargs: Any) -> None:
            evaluation_metrics["twice"] = 2 * evaluation_metrics["env_runners"]["num_episodes"]

    config = PPOConfig.from_dict({**SMALL, "evaluation_interval": 2, "evaluation_duration": 3})
    with config.callbacks(Doubled).build_algo() as agent:
        assert "evaluation" not in agent.train()
        assert agent.train()["evaluation"]["twice"] == 6
    assert diary.count("evaluating") == 1


def test_a_checkpoint_that_is_loaded_is_told_of(diary: list[str], tmp_path: Path) -> None:
    with built(Diary) as agent:
        agent.train()
        path = agent.save(tmp_path)
        diary.clear()
        agent.restore(path)
        assert [line for line in diary if line.startswith(("init", "loaded"))] == ["loaded 1"]
        diary.clear()
        with Algorithm.from_checkpoint(path) as again:
            loaded = [line for line in diary if line.startswith(("init", "loaded"))]
            assert loaded == ["init 0", "loaded 1"]
            diary.clear()
            again.train()
            assert diary[:2] == ["created 0 0", "start 0 0"]


def test_an_episode_goes_on_after_a_restore_with_its_return(tmp_path: Path) -> None:
    ends: list[tuple[int, float]] = []

    def on_episode_end(episode: Any) -> None:
        ends.append((episode.length, episode.get_return()))

    config = PPOConfig.from_dict({**SMALL, "env": "probe/endless", "train_batch_size": 6})
    with config.callbacks(on_episode_end=on_episode_end).build_algo() as agent:
        agent.train()
        path = agent.save(tmp_path)
        with Algorithm.from_checkpoint(path) as again:
            again.train()
    assert ends == [(5, 5.0)] * 2


# -- what is reported ---------------------------------------------------------------------------


class Angles(DefaultCallbacks):
    """The example of RLlib's guide, of old and of today."""

    def on_episode_start(self, *, worker: Any, base_env: Any, policies: Any, episode: Any,
                         env_index: Any, **kwargs: Any) -> None:  # fmt: skip
        assert set(policies) == {"default_policy"}
        assert episode.length == 0
        episode.user_data["angles"] = []
        episode.hist_data["angles"] = []

    def on_episode_step(self, *, episode: Any, env_index: Any, **kwargs: Any) -> None:
        episode.user_data["angles"].append(abs(episode.last_observation_for()[0]))

    def on_episode_end(
        self, *, episode: Any, metrics_logger: Any, env: Any, rl_module: Any, **kwargs: Any
    ) -> None:
        assert rl_module.get_state()
        angle = np.mean(episode.user_data["angles"])
        episode.custom_metrics["angle"] = angle
        episode.hist_data["angles"] = episode.user_data["angles"]
        metrics_logger.log_value("longest", len(episode), reduce="max")

    def on_train_result(self, *, algorithm: Any, result: Any, metrics_logger: Any, **kwargs: Any) -> None:  # fmt: skip  # noqa: E501
        result["callback_ok"] = True
        metrics_logger.log_value(("mine", "iteration"), algorithm.iteration, reduce="item")


def test_custom_metrics_are_in_the_result() -> None:
    with built(Angles) as agent:
        result = agent.train()
        assert result["custom_metrics"] == {"angle_mean": 1.0, "angle_min": 1.0, "angle_max": 1.0}
        assert result["hist_stats"]["angles"] == [1.0] * 8
        assert result["env_runners"]["longest"] == 2
        assert result["callback_ok"] is True
        assert result["mine/iteration"] == 1
        assert agent.train()["mine/iteration"] == 2
    config = PPOConfig.from_dict(SMALL).reporting(keep_per_episode_custom_metrics=True)
    with config.callbacks(Angles).build_algo() as agent:
        assert agent.train()["custom_metrics"] == {"angle": [1.0] * 4}


def test_logged_numbers_go_on_after_a_restore(tmp_path: Path) -> None:
    def log(algorithm: Any, metrics_logger: Any) -> None:
        metrics_logger.log_value("trend", algorithm.iteration**2)

    with built(on_train_result=log) as agent:
        agent.train()
        path = agent.save(tmp_path)
        with Algorithm.from_checkpoint(path) as again:
            assert timeless(agent.train()) == timeless(again.train())
            assert again.train()["trend"] == pytest.approx(0.99 * 1.03 + 0.01 * 9)


def test_a_metric_of_the_algorithms_own_cannot_be_logged() -> None:
    def log(metrics_logger: Any) -> None:
        metrics_logger.log_value("training_iteration", 7)

    with (
        built(on_train_result=log) as agent,
        pytest.raises(TrainableError, match="'training_iteration', which the algorithm reports"),
    ):
        agent.train()


def test_infos_of_the_environment_reach_the_episode() -> None:
    class Told(Probe):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:4], {"right": int(action)}

    found: list[bool] = []

    def on_episode_end(episode: Any) -> None:
        found.append(episode.get_infos(-1)["right"] == episode.get_actions(-1))

    config = PPOConfig.from_dict(SMALL).environment(Told).callbacks(on_episode_end=on_episode_end)
    with config.build_algo() as agent:
        agent.train()
    assert len(found) == 8
    assert all(found)


def test_callbacks_change_no_number_of_training() -> None:
    config = {**TINY, "env": "test-algorithm/parts"}
    with PPO(config) as plain, PPO({**config, "callbacks": Angle}) as told:
        for _ in range(2):
            one, other = timeless(plain.train()), timeless(told.train())
            assert {name: other[name] for name in one} == one
            assert other["custom_metrics/place_max"] <= 2


class Angle(RLlibCallback):
    def on_episode_end(self, *, episode: Any, **kwargs: Any) -> None:
        assert set(episode.get_observations(0)) == {"place", "speed"}
        episode.custom_metrics["place"] = float(episode.get_observations(-1)["place"])
