"""BC and MARWIL: their mathematics, worked out by hand, and what sets them apart."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algorithms.bc import SPEC, BCConfig, BCPack
from algorithms.core.dists.distributions import Categorical, DiagGaussian
from algorithms.core.maths.episode_returns import discounted_sums, episode_returns, episode_targets
from algorithms.core.maths.imitation import logp_of, sides
from algorithms.marwil import NORM, MARWILPack
from tests.support import offline
from tunerl.errors import InvalidConfig

LAST = np.array([True, False, False, True, False, True])  # episodes of 1, 3 and 2 steps
REWARDS = np.array([1, 2, 3, 4, 5, 6], np.float32)


def test_returns_of_episodes_that_terminated_are_discounted_sums() -> None:
    gamma = np.array([0.5, 1.0])
    found = episode_returns(REWARDS, np.zeros((2, 3), np.float32), LAST, gamma)
    wanted = [[1, 2 + 1.5 + 1, 3 + 2, 4, 5 + 3, 6], [1, 9, 7, 4, 11, 6]]
    np.testing.assert_allclose(found, wanted)


def test_returns_of_episodes_that_were_cut_go_on_with_the_value() -> None:
    bootstrap = np.array([[8.0, 0.0, 16.0]], np.float32)
    found = episode_returns(REWARDS, bootstrap, LAST, np.array([0.5]))
    np.testing.assert_allclose(found, [[1 + 4, 4.5, 5, 4, 5 + 0.5 * 14, 6 + 8]])


def test_lambda_returns_lie_between_one_step_and_all_of_them() -> None:
    values = np.array([[1, 2, 3, 4, 5, 6]], np.float32)
    following = np.array([[0, 3, 4, 0, 6, 10]], np.float32)  # the last episode was cut
    gamma = np.array([0.5])
    args = (REWARDS, values, following, LAST, gamma)
    one = episode_targets(*args, np.array([0.0]))
    np.testing.assert_allclose(one, [[1, 3.5, 5, 4, 8, 11]])  # r + gamma V'
    every = episode_targets(*args, np.array([1.0]))
    np.testing.assert_allclose(every, episode_returns(REWARDS, following[:, LAST], LAST, gamma))
    half = episode_targets(*args, np.array([0.5]))
    # steps 2 to 4 by hand: deltas 1.5, 2, 0; decay 0.25
    np.testing.assert_allclose(half[0, 1:4], [2 + 1.5 + 0.5, 3 + 2, 4])


def test_sums_of_one_row_do_not_depend_on_the_others() -> None:
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    decay = np.array([0.9, 0.5, 0.1])
    every = discounted_sums(x, LAST, decay)
    for row in range(3):
        np.testing.assert_array_equal(
            discounted_sums(x[row : row + 1], LAST, decay[row : row + 1]), every[row : row + 1]
        )


LOGITS = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
VALUES = torch.tensor([1.0, 2.0])
BATCH = {
    "obs": torch.zeros(2, 1),
    "actions": torch.tensor([0, 1]),
    "targets": torch.tensor([3.0, 1.0]),
}


def hyperparameters(**changes: float) -> dict[str, torch.Tensor]:
    values = {"bc_logstd_coeff": 0.0, "beta": 1.0, "vf_coeff": 1.0, NORM: 4.0}
    values |= {f"{NORM}_update_rate": 0.5, "max_advantage_weight": 20.0}
    return {name: torch.tensor(value) for name, value in (values | changes).items()}


def loss(pack: Any, dist: Any, inputs: torch.Tensor, batch: Any, **changes: float) -> Any:
    fake = SimpleNamespace(distribution=dist)
    total, found = pack.loss(
        fake, lambda obs: (inputs, VALUES), BATCH | batch, hyperparameters(**changes)
    )
    assert found[0] == total
    return dict(zip(pack.statistics, found.tolist(), strict=True))


def test_bc_is_the_mean_negative_log_probability_of_the_actions() -> None:
    found = loss(BCPack, Categorical(2), LOGITS, {})
    assert found["policy_loss"] == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert found["total_loss"] == found["policy_loss"] == -found["logp_mean"]


def test_the_deviation_of_continuous_actions_has_a_bonus() -> None:
    inputs = torch.tensor([[0.0, 0.5], [0.0, 1.5]])  # means and log deviations
    batch = {"actions": torch.zeros(2, 1)}
    plain = loss(BCPack, DiagGaussian(1), inputs, batch)
    with_bonus = loss(BCPack, DiagGaussian(1), inputs, batch, bc_logstd_coeff=0.1)
    assert with_bonus["total_loss"] == pytest.approx(plain["total_loss"] - 0.1 * 1.0)
    assert with_bonus["policy_loss"] == plain["policy_loss"]


def test_a_mean_beyond_the_bound_that_the_action_is_at_is_certain_and_left_alone() -> None:
    inputs = torch.tensor([[1.5, 0.5], [0.5, 0.5], [-1.5, 0.5]], requires_grad=True)
    batch = {"actions": torch.ones(3, 1), "sides": torch.ones(3, 1)}
    found = logp_of(DiagGaussian(1), inputs, batch)
    plain = DiagGaussian(1).logp(inputs, batch["actions"])
    assert found[0].item() == pytest.approx(0.0, abs=1e-6)
    assert torch.equal(found[1:], plain[1:])
    found.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[0].tolist() == [0.0, 0.0]
    assert (inputs.grad[1:, 0] > 0).all()
    lower = {"actions": -torch.ones(3, 1), "sides": -torch.ones(3, 1)}
    again = logp_of(DiagGaussian(1), inputs, lower)
    assert [abs(value) < 1e-6 for value in again.tolist()] == [False, False, True]


def test_each_dimension_of_an_action_has_sides_where_it_has_bounds() -> None:
    low, high = np.array([-2.0, 0.0, -np.inf]), np.array([2.0, 1.0, np.inf])
    space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
    actions = np.array([[2.0, 0.0, 9.0], [1.9, 0.9995, 0.0], [-1.997, 0.5, -9.0]], np.float32)
    assert sides(actions, space).tolist() == [[1, -1, 0], [0, 1, 0], [-1, 0, 0]]


@pytest.mark.parametrize(("clips", "has"), [(True, True), (False, False)])
def test_only_clipped_actions_have_sides(clips: bool, has: bool) -> None:
    path = offline.random_pendulum()
    config = SPEC.resolve({"input_": path, "env": "Pendulum-v1", "clip_actions": clips})
    pack: Any = SPEC.open(config)
    assert ("sides" in pack.columns) is has
    pack.close()


def test_marwil_weighs_by_the_exponential_of_the_normalised_advantage() -> None:
    found = loss(MARWILPack, Categorical(2), LOGITS, {})
    # advantages 2 and -1, their mean square 2.5; c^2 = 4 + 0.5 (2.5 - 4)
    c = math.sqrt(3.25)
    assert found[NORM] == pytest.approx(3.25)
    weights = math.exp(2 / c), math.exp(-1 / c)
    wanted = (weights[0] * math.log(4) + weights[1] * math.log(2)) / 2
    assert found["policy_loss"] == pytest.approx(wanted)
    assert found["vf_loss"] == pytest.approx(1.25)
    assert found["total_loss"] == pytest.approx(wanted + 1.25)
    assert found["advantage_weight_mean"] == pytest.approx(sum(weights) / 2)


def test_no_weight_is_larger_than_the_limit() -> None:
    found = loss(MARWILPack, Categorical(2), LOGITS, {}, beta=1e6, max_advantage_weight=5.0)
    assert found["advantage_weight_mean"] == pytest.approx(2.5)  # 5 and 0
    assert math.isfinite(found["total_loss"])


def test_marwil_with_beta_0_is_bc() -> None:
    found, bc = (
        loss(MARWILPack, Categorical(2), LOGITS, {}, beta=0.0),
        loss(BCPack, Categorical(2), LOGITS, {}),
    )
    assert found["total_loss"] == found["policy_loss"] == bc["total_loss"]


def test_what_belongs_to_marwil_is_refused_by_bc_with_the_reason() -> None:
    assert BCConfig().beta == 0.0
    assert BCConfig().training(beta=0.0, gamma=0.99).to_dict() == {}
    with pytest.raises(InvalidConfig, match="for another beta use MARWILConfig"):
        BCConfig().training(beta=0.75)
    with pytest.raises(InvalidConfig, match="BC looks at no rewards"):
        BCConfig().training(gamma=0.9)
    with pytest.raises(InvalidConfig, match="takes no steps of its own"):
        BCConfig().env_runners(num_env_runners=4)
