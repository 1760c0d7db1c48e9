"""Who learns when: rounds, ratios, starts, targets, each member by its own steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms.core.packs.due import CARRIED, Due
from algorithms.core.packs.member import Episodes, Member

BASE = {
    "training_intensity": None,
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 0,
    "rollout_fragment_length": 1,
    "target_network_update_freq": 0,
}


def due(*changes: dict[str, Any], carried: dict[str, float] | None = None) -> Due:
    adaptive = dict.fromkeys(CARRIED, 0.0) | (carried or {})
    members = [
        Member(BASE | change, 0, np.random.default_rng(0), Episodes(1), adaptive=dict(adaptive))
        for change in changes
    ]
    return Due.of(members, capacity=100)


def updates(made: Due, ticks: int, envs: int = 1) -> list[list[int]]:
    rows, found = len(made.rate), []
    for _ in range(ticks):
        now = made.tick(np.full(rows, envs))
        found.append(made.round(now, made.sampled).tolist())
    return found


def test_without_an_intensity_each_round_is_one_update() -> None:
    made = due({}, {"rollout_fragment_length": 3})
    assert updates(made, 6, envs=4) == [[1, 0], [1, 0], [1, 1], [1, 0], [1, 0], [1, 1]]


def test_an_intensity_owes_updates_by_the_step_and_pays_whole_ones() -> None:
    made = due({"training_intensity": 4.0}, {"training_intensity": 12.0})  # 1/2, 3/2 a step
    assert updates(made, 4) == [[0, 1], [1, 2], [0, 1], [1, 2]]
    made = due({"training_intensity": 16.0, "rollout_fragment_length": 2})
    assert updates(made, 4, envs=3) == [[0], [12], [0], [12]]


def test_nothing_is_owed_for_steps_before_the_start() -> None:
    made = due({"num_steps_sampled_before_learning_starts": 3, "training_intensity": 8.0})
    assert updates(made, 5) == [[0], [0], [1], [1], [1]]


def test_nobody_waits_for_more_than_fits_into_the_buffer() -> None:
    assert due({"num_steps_sampled_before_learning_starts": 10**9}).starts.tolist() == [100]


def test_targets_follow_after_so_many_steps() -> None:
    made = due({"target_network_update_freq": 3}, {})
    found = []
    for _ in range(6):
        made.tick(np.ones(2, np.int64))
        found.append(made.targets(np.array([0, 1])).tolist())
    assert found == [[1], [1], [0, 1], [1], [1], [0, 1]]
    assert made.num_target_updates.tolist() == [2, 6]
    assert made.last_target_update_ts.tolist() == [6, 6]


def test_what_is_carried_goes_on_where_it_stood() -> None:
    change = {"training_intensity": 3.0, "rollout_fragment_length": 2}
    whole = due(change)
    wanted = updates(whole, 9)
    first = due(change)
    found = updates(first, 3)
    rest = due(change, carried=dict(first.carried(0)))
    rest.sampled = first.sampled
    assert found + updates(rest, 6) == wanted


def test_a_dropped_row_takes_nothing_of_the_others_along() -> None:
    made = due({}, {"rollout_fragment_length": 2}, {"rollout_fragment_length": 3})
    updates(made, 1)
    made.drop(0)
    assert updates(made, 5) == [[1, 0], [0, 1], [1, 0], [0, 0], [1, 1]]
