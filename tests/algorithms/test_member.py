"""Schedules, derived seeds, and the bookkeeping of episodes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from algorithms.core.packs.member import WINDOW, Episodes, Member, derived_seed, scheduled


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 1.0), (25, 0.75), (50, 0.5), (100, 0.5), (150, 0.25), (200, 0.0), (999, 0)],
)
def test_a_schedule_is_linear_between_its_points_and_flat_outside(step: int, value: float) -> None:
    points = [[0, 1.0], [50, 0.5], [100, 0.5], [200, 0.0]]
    assert scheduled(points, step) == pytest.approx(value)
    assert scheduled(0.3, step) == 0.3


def test_a_members_schedule_runs_over_its_environment_steps() -> None:
    member = Member({"lr": [[0, 1.0], [100, 0.0]]}, 0, np.random.default_rng(0), Episodes(1))
    member.env_steps = 30
    assert member.hyperparameter("lr") == pytest.approx(0.7)


def test_seeds_of_two_purposes_and_of_two_members_differ_and_are_reproducible() -> None:
    seeds = {derived_seed(seed, purpose) for seed in range(100) for purpose in ("a", "b")}
    assert len(seeds) == 200
    assert derived_seed(3, "a") == derived_seed(3, "a")
    assert all(0 <= seed < 2**63 for seed in seeds)


def took(episodes: Episodes, rewards: Any, ends: Any, valid: Any = None) -> None:
    given = np.array(rewards, np.float32)
    kept = np.ones(given.shape, bool) if valid is None else np.array(valid, bool)
    episodes.add(given, np.array(ends, bool), kept)


def test_episodes_by_hand() -> None:
    episodes = Episodes(2)
    assert math.isnan(episodes.metrics()["env_runners/episode_return_mean"])
    took(episodes, [[1, 10], [2, 20], [3, 30]], [[0, 0], [1, 0], [0, 0]])
    # first: 1+2 in two steps, 3 under way; second: 60 under way
    assert (list(episodes.returns), list(episodes.lengths)) == ([3.0], [2])
    took(episodes, [[4, 40], [5, 50], [6, 60]], [[0, 1], [0, 0], [1, 1]])
    # in the order in which they ended: 60+40 in 4; then 3+4+5+6 in 4, and 50+60 in 2
    assert (list(episodes.returns), list(episodes.lengths)) == ([3, 100, 18, 110], [2, 4, 4, 2])
    assert episodes.metrics() == {
        "env_runners/episode_return_mean": 231 / 4,
        "env_runners/episode_return_min": 3.0,
        "env_runners/episode_return_max": 110.0,
        "env_runners/episode_len_mean": 3.0,
        "env_runners/num_episodes": 3,
        "env_runners/num_episodes_lifetime": 4,
    }


def test_several_episodes_of_one_environment_in_one_rollout_and_reset_steps_do_not_count() -> None:
    episodes = Episodes(1)
    took(
        episodes,
        [[1], [7], [2], [3], [7], [4]],
        [[1], [0], [0], [1], [0], [0]],
        [[1], [0], [1], [1], [0], [1]],
    )
    assert (list(episodes.returns), list(episodes.lengths)) == ([1.0, 5.0], [1, 2])
    assert (episodes.running_return.tolist(), episodes.running_length.tolist()) == ([4.0], [1])


def test_only_the_last_episodes_count() -> None:
    episodes = Episodes(1)
    number = WINDOW + 30
    took(episodes, [[i] for i in range(number)], [[1]] * number)
    metrics = episodes.metrics()
    assert metrics["env_runners/episode_return_min"] == 30
    assert metrics["env_runners/num_episodes_lifetime"] == number
    took(episodes, [[1.0]], [[0]])
    assert episodes.metrics()["env_runners/num_episodes"] == 0


def test_episodes_and_members_survive_json() -> None:
    episodes = Episodes(2)
    took(episodes, [[1, 10], [2, 20]], [[1, 0], [0, 0]])
    member = Member({"lr": 1.0}, 4, np.random.default_rng(9), episodes, 3, 40, 7, 1.5, {"a": 2.0})
    member.generator.random(5)
    saved = json.loads(json.dumps(member.to_json()))
    other = Member({"lr": 2.0}, 8, np.random.default_rng(0), Episodes(2))
    other.load(saved)
    assert (other.config, other.seed) == ({"lr": 2.0}, 8)  # these stay its own
    assert other.to_json() | {"config": 0, "seed": 0} == saved | {"config": 0, "seed": 0}
    assert other.generator.random() == member.generator.random()
    took(other.episodes, [[3, 30]], [[1, 1]])
    assert list(other.episodes.returns) == [1.0, 5.0, 60.0]
