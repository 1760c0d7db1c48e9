"""Evaluation plays in environments of its own and leaves training alone."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms.core.evaluation import evaluate_member
from algorithms.core.on_policy import OnPolicyPack
from tests.algorithms.support import lone, open_pack, timeless, tiny, train
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
