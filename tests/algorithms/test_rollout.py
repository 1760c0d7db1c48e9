"""The arrays of a rollout, and what is collected into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.packs.on_policy import OnPolicyPack
from tests.algorithms.support import open_pack, tiny
from tunerl.trial import ReplicaId


def test_dropping_a_row_moves_the_others_up_with_their_final_observations() -> None:
    made = Rollout.empty((3, 2, 1), 4, 2, np.zeros((), np.int64))
    made.raw_rewards[:, 0, 0] = [0, 1, 2]
    made.final_index = [(0, 1, 0), (1, 1, 0), (2, 0, 0)]
    made.final_obs = [np.full(4, row) for row in range(3)]
    made.drop(1)
    assert made.obs.shape == (2, 2, 1, 4)
    assert made.last_obs.shape == (2, 1, 4)
    assert made.raw_rewards[:, 0, 0].tolist() == [0, 2]
    assert made.final_index == [(0, 1, 0), (1, 0, 0)]
    assert [obs[0] for obs in made.final_obs] == [0, 2]


def test_an_episode_ends_by_either_flag() -> None:
    made = Rollout.empty((1, 1, 3), 1, 1, np.zeros((), np.int64))
    made.terminated[0, 0] = [True, False, False]
    made.truncated[0, 0] = [False, True, False]
    assert made.ends[0, 0].tolist() == [True, True, False]


def collected(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> list[Rollout]:
    """The rollouts of two iterations of two agents."""
    found: list[Rollout] = []
    collect = OnPolicyPack._collect

    def spy(pack: OnPolicyPack) -> Rollout:
        found.append(collect(pack))
        return found[-1]

    monkeypatch.setattr(OnPolicyPack, "_collect", spy)
    pack = open_pack(config)
    for trial in range(2):
        pack.join(ReplicaId(trial, 0), config, trial)
    pack.step()
    pack.step()
    pack.close()
    return found


def test_a_rollout_goes_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = collected(monkeypatch, tiny(env="probe/two-steps", train_batch_size=6))
    assert first.obs.shape == (2, 3, 2, 1)
    # observations 0, 1, 0 | 1, 0, 1 with reward 1 and the end in each observation 1
    assert first.obs[0, :, 0, 0].tolist() == [0, 1, 0]
    assert np.array_equal(first.last_obs, second.obs[:, 0])
    assert second.obs[0, :, 0, 0].tolist() == [1, 0, 1]
    assert np.array_equal(first.rewards, first.obs[..., 0])
    assert np.array_equal(first.terminated, first.obs[..., 0] == 1)
    assert not first.truncated.any()


def test_truncated_episodes_leave_their_last_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = collected(monkeypatch, tiny(env="probe/endless", train_batch_size=12))
    assert np.argwhere(first.truncated).tolist() == [[k, 4, e] for k in (0, 1) for e in (0, 1)]
    assert first.final_index == [(k, 4, e) for k in (0, 1) for e in (0, 1)]
    assert not first.terminated.any()


def test_members_act_by_dice_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = collected(monkeypatch, tiny(env="probe/constant"))
    assert not np.array_equal(first.actions[0], first.actions[1])
    assert not np.array_equal(first.actions[0], second.actions[0])
    assert not np.array_equal(first.actions[0, :, 0], first.actions[0, :, 1])
