"""V-trace by hand: what it is on-policy, what its thresholds clip, where it ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.core.maths import returns
from algorithms.core.maths.vtrace import VTrace, discounted_sums, gae, vtrace


def column(*numbers: float) -> Tensor:
    """One column of steps `[T, 1]`."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None]


def traced(ratios: Tensor, **changes: Any) -> VTrace:
    """Three steps with rewards 1, 2, 3 and values 10, 20, 30, then one worth 40; gamma 0.5."""
    given: dict[str, Any] = {
        "rewards": column(1, 2, 3),
        "values": column(10, 20, 30),
        "following": column(20, 30, 40),
        "ends": column(0, 0, 0),
        "gamma": 0.5,
        "lambda_": 1.0,
        "clip_rho": 1.0,
        "clip_pg_rho": 1.0,
    } | changes
    numbers = ("gamma", "lambda_", "clip_rho", "clip_pg_rho")
    given |= {name: torch.tensor(given[name]) for name in numbers}
    return vtrace(ratios.log(), **given)


def flat(found: Tensor) -> list[float]:
    return found[:, 0].tolist()


def test_sums_run_backwards_with_each_steps_own_share() -> None:
    assert flat(discounted_sums(column(1, 2, 3), column(0.5, 0.0, 9.0))) == [2.0, 2.0, 3.0]


def test_on_policy_the_targets_are_n_step_returns() -> None:
    found = traced(column(1, 1, 1))
    # 3 + 20 = 23; 2 + 23/2 = 13.5; 1 + 13.5/2 = 7.75
    assert flat(found.targets) == [7.75, 13.5, 23.0]
    assert flat(found.advantages) == [7.75 - 10, 13.5 - 20, 23.0 - 30]


def test_what_is_likelier_now_than_then_is_clipped_at_the_thresholds() -> None:
    assert flat(traced(column(4, 4, 4)).targets) == [7.75, 13.5, 23.0]
    # rho 2: the corrections double at each step, c stays 1: -14; 2 * -3 - 7; 2 * 1 - 6.5
    found = traced(column(4, 4, 4), clip_rho=2.0, clip_pg_rho=3.0)
    assert flat(found.targets) == [10 - 4.5, 20 - 13, 30 - 14]
    # 3 * (3 + 20 - 30); 3 * (2 + 16/2 - 20); 3 * (1 + 7/2 - 10)
    assert flat(found.advantages) == [-16.5, -30.0, -21.0]
    unclipped = traced(column(4, 4, 4), clip_rho=math.inf, clip_pg_rho=math.inf)
    assert flat(unclipped.targets)[2] == 30 - 4 * 7


def test_what_is_unlikely_now_counts_less_and_cuts_the_trace() -> None:
    found = traced(column(0.5, 0.0, 1.0))
    # step 1 has weight 0: its target is its value; step 0: 10 + 0.5 * (1 + 10 - 10)
    assert flat(found.targets) == [10.5, 20.0, 23.0]
    assert flat(found.advantages) == [0.5 * (1 + 10 - 10), 0.0, -7.0]


def test_lambda_shortens_the_trace() -> None:
    assert flat(traced(column(1, 1, 1), lambda_=0.0).targets) == [11.0, 17.0, 23.0]


def test_nothing_passes_an_end_and_a_truncated_one_is_worth_its_last_observation() -> None:
    terminated = traced(column(1, 1, 1), ends=column(0, 1, 0), following=column(20, 0, 40))
    assert flat(terminated.targets) == [2.0, 2.0, 23.0]
    truncated = traced(column(1, 1, 1), ends=column(0, 1, 0), following=column(20, 8, 40))
    assert flat(truncated.targets) == [4.0, 6.0, 23.0]
    assert flat(truncated.advantages) == [-6.0, -14.0, -7.0]


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_gae_is_that_of_the_arrays_and_v_trace_on_policy(lambda_: float) -> None:
    random = np.random.default_rng(0)
    rewards, values, after = random.normal(size=(3, 6, 4)).astype(np.float32)
    ends = random.random((6, 4)) < 0.3
    wanted = returns.gae(rewards, values, after, ends, 0.9, lambda_)
    tensors = [torch.from_numpy(x) for x in (rewards, values, after, ends.astype(np.float32))]
    numbers = torch.tensor(0.9), torch.tensor(lambda_)
    np.testing.assert_allclose(gae(*tensors, *numbers).numpy(), wanted, atol=1e-5)
    found = vtrace(torch.zeros(6, 4), *tensors, *numbers, torch.tensor(1.0), torch.tensor(1.0))
    np.testing.assert_allclose((found.targets - tensors[1]).numpy(), wanted, atol=1e-5)
