"""Evaluation plays in environments of its own and leaves training alone."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms import PPO, PPOConfig, register_env
from algorithms.core.packs.evaluation import evaluate_member
from algorithms.core.packs.on_policy import OnPolicyPack
from tests.algorithms.support import TINY, Probe, lone, open_pack, timeless, tiny, train
from tunerl.errors import InvalidConfig
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

RETURN, EPISODES = "env_runners/episode_return_mean", "env_runners/num_episodes"
STEPS = "env_runners/num_env_steps_sampled"


def two(config: dict[str, Any]) -> OnPolicyPack:
    pack = open_pack(config)
    for trial in range(2):
        pack.join(ReplicaId(trial, 0), config, trial)
    pack.step()
    return pack


@pytest.mark.parametrize("duration", [1, 4, 13])
def test_as_many_whole_episodes_are_played_as_asked_for(duration: int) -> None:
    pack = two(tiny(env="probe/two-steps"))
    found = evaluate_member(pack, 0, seed=0, duration=duration)
    assert (found[EPISODES], found[STEPS], found[RETURN]) == (duration, 2 * duration, 1.0)
    assert found["env_runners/episode_len_mean"] == 2.0
    pack.close()


def test_timesteps_are_filled_up_with_whole_episodes() -> None:
    pack = two(tiny(env="probe/endless"))
    found = evaluate_member(pack, 1, seed=0, duration=12, unit="timesteps")
    assert (found[STEPS], found[EPISODES], found[RETURN]) == (15, 3, 5.0)
    pack.close()


def test_equal_seeds_play_equal_episodes_and_other_seeds_others() -> None:
    pack = two(tiny(env="Pendulum-v1", observation_filter="MeanStdFilter"))
    found = [evaluate_member(pack, 0, seed=seed, explore=True) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert evaluate_member(pack, 1, seed=1, explore=True) != found[0]
    alone, _ = lone(
        tiny(env="Pendulum-v1", observation_filter="MeanStdFilter", evaluation_interval=1), 0, 1
    )
    among = evaluate_member(pack, 0, seed=0)
    assert {f"evaluation/{name}": value for name, value in among.items()}.items() <= alone[
        0
    ].items()
    pack.close()


def test_evaluating_does_not_touch_training_and_comes_at_its_interval() -> None:
    plain, state = lone(tiny(), 0, 4)
    config = tiny(evaluation_interval=2, evaluation_duration=3)
    found, evaluated = lone(config, 0, 4)
    assert all(
        (a == b).all()
        for a, b in zip(state.arrays.values(), evaluated.arrays.values(), strict=True)
    )
    for iteration, (with_it, without) in enumerate(zip(found, plain, strict=True), 1):
        extra = with_it.keys() - without.keys()
        assert bool(extra) is (iteration % 2 == 0)
        assert all(name.startswith("evaluation/env_runners/") for name in extra)
        assert {name: with_it[name] for name in without} == without


def test_the_likeliest_action_is_played_unless_asked_to_explore() -> None:
    config = tiny(env="probe/choice", lr=1e-2, train_batch_size=256, num_epochs=8)
    pack = two(config)
    train(pack, ReplicaId(0, 0), 8)
    best = evaluate_member(pack, 0, seed=0, duration=50)[RETURN]
    explored = evaluate_member(pack, 0, seed=0, duration=50, explore=True)[RETURN]
    assert best == 1.0
    assert 0.3 < explored <= best
    assert timeless(pack.step()[ReplicaId(1, 0)])["training_iteration"] == 10
    pack.close()


def test_evaluation_may_have_arguments_or_an_environment_of_its_own() -> None:
    shorter = {"evaluation_config": {"env_config": {"ends": True}}, "evaluation_interval": 1}
    other = {"evaluation_config": {"env": "probe/two-steps"}, "evaluation_interval": 1}
    lengths = []
    for own in ({"evaluation_interval": 1}, shorter, other):
        found, state = lone(tiny(env="probe/endless", **own), 0, 1)
        lengths.append(found[0]["evaluation/env_runners/episode_len_mean"])
        assert state.values["member"]["env_steps"] == 64
    assert lengths == [5.0, 5.0, 2.0]
    one, two = (lone(tiny(env="probe/endless", **own), 0, 1)[0][0] for own in ({}, shorter))
    assert {name: value for name, value in two.items() if "evaluation" not in name} == one


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": 1}, r"evaluation_config.lr: only 'explore', 'env' and 'env_config' may differ"),
        ({"env": "Pendulum-v1"}, "evaluation_config.env: its observation space is Box"),
        ({"env": "probe/choice"}, "evaluation_config.env: its observation space"),
        ({"env": "CartPoll-v1"}, r"evaluation_config.*did you mean 'CartPole-v\d'"),
        ({"env_config": {"wings": 2}}, "evaluation_config.*wings"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(given: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        PPO.spec.resolve(tiny(evaluation_config=given))


def test_explore_within_evaluation_config_is_taken_everywhere() -> None:
    given = {"explore": True, "env_config": {}}
    for config in (tiny(evaluation_config=given), {**TINY, "evaluation_config": given}):
        full = PPO.spec.resolve(config)
        assert (full["evaluation_explore"], full["evaluation_config"]) == (True, {"env_config": {}})
    chained = PPOConfig().evaluation(evaluation_config={"explore": True})
    assert chained.to_dict() == {"evaluation_explore": True}
    assert chained.evaluation_explore is True


def test_an_evaluation_that_raises_fails_its_member_alone() -> None:
    class Pit(Probe):
        steps = 0

        def step(self, action: Any) -> Any:
            self.steps += 1
            if self.steps == self.config.get("depth"):
                raise ValueError("fell in")
            return super().step(action)

    register_env("test-evaluation/pit", Pit)
    deep = {"evaluation_config": {"env_config": {"depth": 30}}, "evaluation_duration": 400}
    config = tiny(env="test-evaluation/pit", **deep)
    pack = open_pack(config)
    pack.join(ReplicaId(0, 0), config | {"evaluation_interval": 2}, 0)
    pack.join(ReplicaId(1, 0), config, 1)
    assert [timeless(report)["training_iteration"] for report in pack.step().values()] == [1, 1]
    reports = pack.step()
    failed, other = reports[ReplicaId(0, 0)], reports[ReplicaId(1, 0)]
    assert isinstance(failed, Failure)
    assert failed.error == "ValueError: fell in"
    assert timeless(other)["training_iteration"] == 2
    assert pack.ids == [ReplicaId(1, 0)]
    pack.close()


def test_how_much_is_played_may_be_a_function_of_what_was_played() -> None:
    pack = two(tiny(env="probe/two-steps"))
    asked: list[int] = []

    def more(played: int) -> int:
        asked.append(played)
        return 3 if played < 5 else 0

    assert evaluate_member(pack, 0, seed=0, more=more)[EPISODES] == 6
    assert asked == [0, 3, 6]
    assert evaluate_member(pack, 0, seed=0, more=lambda played: 0) == {EPISODES: 0, STEPS: 0}
    pack.close()
