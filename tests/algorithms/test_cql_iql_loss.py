"""CQL's and IQL's losses on a sample or two, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algorithms.core.dists.distributions import DiagGaussian
from algorithms.core.dists.squashed import SquashedGaussian
from algorithms.cql import CQLPack
from algorithms.iql import IQLPack
from tests.algorithms.soft import Known, nets_of

WIDE = SquashedGaussian((-2.0,), (2.0,))  # at mean 0 an action of slope 2
DENSITY = -0.5 * math.log(2 * math.pi) - math.log(2)  # of it at noise 0, deviation 1
BATCH = {
    "obs": [[1.0]],
    "actions": [[1.0]],
    "rewards": [2.0],
    "next_obs": [[3.0]],
    "discounts": [0.9],
    "noise": [[0.0]],
    "next_noise": [[0.0]],
    "many_noise": [[[0.0]]],
    "many_next_noise": [[[0.0]]],
    "uniform": [[[0.75]]],  # the action 1
}
HP = {
    "temperature": 1.0,
    "min_q_weight": 2.0,
    "lagrangian_thresh": 3.0,
    "deterministic_backup": 1.0,
    "imitates": 0.0,
    "target_entropy": -1.0,
}


class Conservative(Known):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.log_alpha_prime = nn.Parameter(torch.tensor([math.log(1.5)]))


def cql(lagrangian: bool = False, **hp: float) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Statistics, and gradients by the part: one critic ``a + o``, a policy of mean 0."""
    pack = CQLPack.__new__(CQLPack)  # the loss asks its pack for no more than this
    pack.distribution, pack.shared = WIDE, {"num_actions": 1, "lagrangian": lagrangian}
    nets = nets_of(Conservative([0.0, 0.0], [1.0], [1.0]))
    batch = {name: torch.tensor(value) for name, value in BATCH.items()}
    total, results = pack.loss(nets, batch, {n: torch.tensor(v) for n, v in (HP | hp).items()})
    names = list(nets.parameters)
    gradients = torch.autograd.grad(total, list(nets.parameters.values()))
    found = dict(zip(CQLPack.statistics, results["statistics"].tolist(), strict=True))
    return found, dict(zip(names, gradients, strict=True))


def above(temperature: float = 1.0) -> float:
    """The log-sum-exp at obs 1 of: the uniform action 1, and the policy's 0, twice."""
    terms = (2.0 + math.log(4.0), 1.0 - DENSITY, 1.0 - DENSITY)
    return temperature * math.log(sum(math.exp(term / temperature) for term in terms))


def test_the_conservative_term_weighs_actions_by_their_true_density() -> None:
    found, _ = cql()
    assert found["cql_loss"] == pytest.approx(2.0 * (above() - 2.0), rel=1e-5)
    found, _ = cql(temperature=0.5)
    assert found["cql_loss"] == pytest.approx(2.0 * (above(0.5) - 2.0), rel=1e-5)


def test_its_gradient_pushes_down_what_it_sampled_and_up_what_is_in_the_data() -> None:
    with_it, without = (cql(min_q_weight=w)[1]["critics"] for w in (2.0, 0.0))
    weights = [math.exp(x - above()) for x in (2.0 + math.log(4.0), 1.0 - DENSITY, 1.0 - DENSITY)]
    # of the slope: twice (the sampled actions' weighted mean 1 w0 - the data's 1)
    expected = torch.tensor([[2 * (weights[0] - 1.0)], [0.0]])
    torch.testing.assert_close(with_it - without, expected, rtol=1e-4, atol=1e-5)


def test_targets_are_without_entropy_unless_asked() -> None:
    q, plain = 2.0, 2.0 + 0.9 * 3.0  # critic at (1, 1), and at (3, 0)
    assert cql()[0]["qf_loss"] == pytest.approx((q - plain) ** 2, rel=1e-5)
    soft = plain - 0.9 * DENSITY
    found, _ = cql(deterministic_backup=0.0)
    assert found["qf_loss"] == pytest.approx((q - soft) ** 2, rel=1e-5)


def test_the_policy_imitates_first_and_then_climbs() -> None:
    # entropy alone gives the log deviation -1; the critic's slope 1 times the tanh's 2 the mean
    _, climbing = cql()
    assert climbing["actor"].tolist() == pytest.approx([-2.0, -1.0], rel=1e-4)
    _, imitating = cql(imitates=1.0)
    # log pi of the action 1: u = atanh(1 / 2): d/d mean = u, d/d log deviation = u^2 - 1
    u = math.atanh(0.5)
    expected = [-u, -1.0 - (u * u - 1.0)]
    assert imitating["actor"].tolist() == pytest.approx(expected, rel=1e-3)


def test_the_second_weight_grows_while_the_gap_is_above_its_threshold() -> None:
    gap = 2.0 * (above() - 2.0)
    for threshold in (0.0, 9.0):
        found, gradients = cql(lagrangian=True, lagrangian_thresh=threshold)
        assert found["cql_loss"] == pytest.approx(1.5 * (gap - threshold), rel=1e-4)
        expected = -1.5 * (gap - threshold)
        assert gradients["log_alpha_prime"].item() == pytest.approx(expected, rel=1e-4)
    assert cql()[1]["log_alpha_prime"].item() == 0.0


class Implicit(Known):
    def __init__(self) -> None:
        super().__init__([0.0, 0.0], [1.0, 2.0], [1.0, 1.0])
        self.value = nn.Parameter(torch.tensor([2.5, 0.0]))

    def state_value(self, obs: Tensor) -> Tensor:
        return self.value[0] + self.value[1] * obs[:, 0]


def iql(**hp: float) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Critics ``a + o`` and ``2 a + o``, all states worth 2.5, actions 1 and 2 at obs 1."""
    pack = IQLPack.__new__(IQLPack)
    pack.distribution = DiagGaussian(1)
    nets = nets_of(Implicit())
    batch = {
        "obs": torch.ones(2, 1),
        "actions": torch.tensor([[1.0], [2.0]]),
        "rewards": torch.tensor([1.0, 1.0]),
        "next_obs": torch.ones(2, 1),
        "discounts": torch.tensor([0.8, 0.0]),
    }
    usual = {
        "expectile": 0.8,
        "beta": 2.0,
        "normalize_advantages": 0.0,
        "max_advantage_weight": 100.0,
    }
    settings = {name: torch.tensor(value) for name, value in (usual | hp).items()}
    total, results = pack.loss(nets, batch, settings)
    used = {n: p for n, p in nets.parameters.items() if n != "log_alpha"}
    gradients = torch.autograd.grad(total, list(used.values()))
    found = dict(zip(IQLPack.statistics, results["statistics"].tolist(), strict=True))
    return found, dict(zip(used, gradients, strict=True))


def test_the_value_is_an_expectile_of_the_lesser_target() -> None:
    # lesser critics 2 and 3, advantages -0.5 and 0.5: sides 0.2 and 0.8
    found, gradients = iql()
    assert found["value_loss"] == pytest.approx((0.2 * 0.25 + 0.8 * 0.25) / 2)
    assert gradients["value"][0].item() == pytest.approx(0.2 * 0.5 - 0.8 * 0.5)


def test_the_critics_aim_at_the_reward_and_the_value_of_what_came_next() -> None:
    found, _ = iql()
    aims = (1.0 + 0.8 * 2.5, 1.0)
    first = ((2 - aims[0]) ** 2 + (3 - aims[1]) ** 2) / 2
    second = ((3 - aims[0]) ** 2 + (5 - aims[1]) ** 2) / 2
    assert found["qf_loss"] == pytest.approx(first + second)


def test_better_actions_are_imitated_more() -> None:
    logp = [-0.5 * a * a - 0.5 * math.log(2 * math.pi) for a in (1.0, 2.0)]
    found, gradients = iql()
    weights = [math.exp(-1.0), math.exp(1.0)]
    expected = -(weights[0] * logp[0] + weights[1] * logp[1]) / 2
    assert found["policy_loss"] == pytest.approx(expected, rel=1e-5)
    assert gradients["actor"][0].item() == pytest.approx(-(weights[0] + 2 * weights[1]) / 2)
    capped, _ = iql(max_advantage_weight=1.0)
    assert capped["advantage_weight_mean"] == pytest.approx((weights[0] + 1.0) / 2)
    # their deviation is 0.5: in its units the advantages are -1 and 1
    normal, _ = iql(normalize_advantages=1.0)
    both = (math.exp(-2.0) + math.exp(2.0)) / 2
    assert normal["advantage_weight_mean"] == pytest.approx(both, rel=1e-5)
    assert iql(beta=0.0)[0]["policy_loss"] == pytest.approx(-sum(logp) / 2)
