"""GAE, values and scaled rewards, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.targets import (
    FINAL_BLOCK,
    VALUE_BLOCK,
    advantages_of,
    scale_rewards,
    values_of,
)
from algorithms.core.maths.returns import gae
from algorithms.core.maths.running import RunningStats


def f32(*numbers: float) -> Any:
    return np.array(numbers, np.float32)


def test_gae_by_hand_with_termination_truncation_and_bootstrap() -> None:
    # gamma 0.5, lambda 0.5, so the carry is 1/4 wherever the episode goes on.
    rewards = f32(1, 2, 3, 4)
    values = f32(10, 20, 30, 40)
    # step 1 terminated (0 follows); step 2 was truncated in a state worth 8; 16 follows step 3
    following, ends = f32(20, 0, 8, 16), np.array([False, True, True, False])
    # deltas: 1+10-10 = 1; 2+0-20 = -18; 3+4-30 = -23; 4+8-40 = -28
    # advantages: 1 + (-18)/4 = -3.5; the others end their trace
    assert gae(rewards, values, following, ends, 0.5, 0.5).tolist() == [-3.5, -18, -23, -28]


def test_gae_with_lambda_one_is_the_return_and_with_zero_the_error_of_one_step() -> None:
    rewards, values, ends = f32(1, 1, 1), f32(5, 5, 5), np.zeros(3, bool)
    following = f32(5, 5, 7)
    # gamma 1: return 3 + 7 - 5; 2 + 7 - 5; 1 + 7 - 5
    assert gae(rewards, values, following, ends, 1.0, 1.0).tolist() == [5, 4, 3]
    assert gae(rewards, values, following, ends, 1.0, 0.0).tolist() == [1, 1, 3]


def test_gae_equals_a_naive_sum() -> None:
    random = np.random.default_rng(0)
    rewards, values, following = random.normal(size=(3, 12, 2, 3)).astype(np.float32)
    ends = random.random((12, 2, 3)) < 0.2
    gamma, lambda_ = np.array([[0.9], [0.5]]), np.array([[0.8], [0.3]])
    found = gae(rewards, values, following, ends, gamma, lambda_)
    for k, e in np.ndindex(2, 3):
        for t in range(12):
            total, weight = 0.0, 1.0
            for s in range(t, 12):
                delta = rewards[s, k, e] + gamma[k, 0] * following[s, k, e] - values[s, k, e]
                total += weight * delta
                weight *= gamma[k, 0] * lambda_[k, 0]
                if ends[s, k, e]:
                    break
            assert found[t, k, e] == pytest.approx(total, rel=1e-4, abs=1e-5)


def rollout(rows: int, horizon: int, envs: int, obs_size: int = 1) -> Rollout:
    made = Rollout.empty((rows, horizon, envs), obs_size, 2, np.zeros((), np.int64))
    made.obs[:] = np.arange(made.obs.size, dtype=np.float32).reshape(made.obs.shape)
    made.last_obs[:] = -1.0
    return made


def double(obs: Tensor) -> Tensor:
    """A value network: twice the first number of the observation, plus 100 times the row."""
    return 2.0 * obs[..., 0] + 100.0 * torch.arange(len(obs))[:, None]


def test_values_follow_on_one_another_except_where_an_episode_ended() -> None:
    made = rollout(1, 4, 1)
    made.terminated[0, 1, 0] = True
    made.truncated[0, 2, 0] = True
    made.final_index, made.final_obs = [(0, 2, 0)], [f32(50)]
    values, following = values_of(double, made)
    assert values[0, :, 0].tolist() == [0, 2, 4, 6]
    # 1: the next value; 2: terminated; 3: the truncated episode's own last observation, not
    # the first one of the next episode; 4: what came after the rollout
    assert following[0, :, 0].tolist() == [2, 0, 100, -2]


def test_values_do_not_depend_on_how_the_rollout_is_cut_into_blocks() -> None:
    made = rollout(2, VALUE_BLOCK + 5, 3)
    calls: list[int] = []

    def value(obs: Tensor) -> Tensor:
        calls.append(obs.shape[1])
        return double(obs)

    values, _ = values_of(value, made)
    expected = 2.0 * made.obs[..., 0] + f32(0, 100)[:, None, None]
    assert len(calls) > 2
    assert np.array_equal(values, expected)


def test_final_observations_are_valued_by_their_own_member_however_many_there_are() -> None:
    made = rollout(3, FINAL_BLOCK + 3, 2)
    for k, number in ((0, 2), (2, 2 * FINAL_BLOCK + 1)):  # the one between has none
        for i in range(number):
            t, e = divmod(i, 2)
            made.truncated[k, t, e] = True
            made.final_index.append((k, t, e))
            made.final_obs.append(f32(1000 + i))
    _, following = values_of(double, made)
    for (k, t, e), obs in zip(made.final_index, made.final_obs, strict=True):
        assert following[k, t, e] == 2.0 * obs[0] + 100.0 * k


def test_each_member_has_its_own_gamma_and_lambda() -> None:
    made = rollout(2, 2, 1)
    made.rewards[:] = 1.0
    values = np.zeros((2, 2, 1), np.float32)
    following = np.ones((2, 2, 1), np.float32)
    found = advantages_of(made, values, following, f32(0.5, 1.0), f32(1.0, 0.0))
    # row 0: last 1 + 0.5; before it 1.5 + 0.5 * 1.5. Row 1: 1 + 1 in each step, no trace
    assert found[..., 0].tolist() == [[2.25, 1.5], [2.0, 2.0]]


def test_scaled_rewards_are_divided_by_the_running_deviation_of_the_discounted_return() -> None:
    made, stats = rollout(1, 3, 2), RunningStats(1)
    stats.add()
    made.raw_rewards[0] = [[1.0, 3.0], [2.0, -4.0], [100.0, 0.0]]
    made.terminated[0, 1, 0] = True
    made.rewards[:] = made.raw_rewards
    left = scale_rewards(made, stats, np.zeros((1, 2)), f32(0.5))
    # discounted returns: (1, 3); (0.5 + 2, 1.5 - 4); the first episode ended: (100, -1.25)
    seen = [[1.0, 3.0], [2.5, -2.5], [100.0, -1.25]]
    for t in range(3):
        deviation = np.std(np.array(seen[: t + 1]))
        expected = np.clip(made.raw_rewards[0, t] / deviation, -10, 10)
        np.testing.assert_allclose(made.rewards[0, t], expected, rtol=1e-5)
    assert left.tolist() == [[100.0, -1.25]]
    np.testing.assert_allclose(stats.read(0)[2], [6])


def test_a_reward_far_out_is_clipped_at_ten() -> None:
    made, stats = rollout(1, 100, 1), RunningStats(1)
    stats.add()
    made.raw_rewards[0, :, 0] = np.where(np.arange(100) % 2, 1.0, -1.0)
    made.raw_rewards[0, 99, 0] = 1e6
    made.rewards[:] = made.raw_rewards
    stats.update(np.tile(f32(-1.0, 1.0), (1, 500))[..., None].reshape(1, 1000, 1))
    scale_rewards(made, stats, np.zeros((1, 1)), f32(0.0))
    assert made.rewards[0, :99, 0] == pytest.approx(made.raw_rewards[0, :99, 0], rel=1e-2)
    assert made.rewards[0, 99, 0] == 10.0
