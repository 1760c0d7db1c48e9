"""SAC's losses on a few samples, term by term, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.core.dists.distributions import Categorical, Distribution
from algorithms.core.dists.squashed import SquashedGaussian
from algorithms.core.packs.soft_pack import target_entropy
from algorithms.sac import STATISTICS, losses
from tests.algorithms.soft import Known, nets_of

UNIT = SquashedGaussian((-1.0,), (1.0,))
TWO = Categorical(2)
NORMAL = 0.5 * math.log(2 * math.pi)  # minus the log-density of N(0, 1) at 0


def run(
    network: Known,
    batch: dict[str, Any],
    dist: Distribution = UNIT,
    loss_fn: str = "mse",
    target: dict[str, Tensor] | None = None,
    entropy: float = -1.0,
) -> tuple[dict[str, float], dict[str, Tensor], list[float]]:
    """Statistics, gradients by the part of the network, TD errors."""
    given = {name: torch.as_tensor(value) for name, value in batch.items()}
    nets = nets_of(network, target)
    total, results = losses(dist, nets, given, {"target_entropy": torch.tensor(entropy)}, loss_fn)
    gradients = dict(
        zip(
            nets.parameters,
            torch.autograd.grad(total, list(nets.parameters.values())),
            strict=True,
        )
    )
    found = dict(zip(STATISTICS, results["statistics"].tolist(), strict=True))
    return found, gradients, results["td_errors"].tolist()


def transition(**changes: Any) -> dict[str, Any]:
    return {
        "obs": [[1.0]],
        "actions": [[0.5]],
        "rewards": [2.0],
        "next_obs": [[3.0]],
        "discounts": [0.9],
        "noise": [[0.0]],
        "next_noise": [[0.0]],
    } | changes


def test_the_critics_aim_at_the_lesser_target_less_the_temperature_times_logp() -> None:
    # the policy does 0 with log-density -NORMAL (slope of tanh at 0 is 1), temperature 1
    network = Known([0.0, 0.0], slope=[1.0, 2.0], bias=[1.0, -1.0])
    target = {"critics": torch.tensor([[0.0, 0.0], [5.0, 4.0]])}  # of obs 3: 15 and 12
    found, gradients, errors = run(network, transition(), target=target)
    aim = 2.0 + 0.9 * (12.0 + NORMAL)
    q = (0.5 + 1.0, 1.0 - 1.0)
    assert found["qf_loss"] == pytest.approx((q[0] - aim) ** 2, rel=1e-5)
    assert found["qf_twin_loss"] == pytest.approx((q[1] - aim) ** 2, rel=1e-5)
    assert errors == pytest.approx([(aim - q[0] + aim - q[1]) / 2], rel=1e-5)
    # d/d slope = 2 (q - aim) a, d/d bias = 2 (q - aim) o; nothing of the policy's loss
    expected = [[2 * (v - aim) * 0.5 for v in q], [2 * (v - aim) for v in q]]
    torch.testing.assert_close(gradients["critics"], torch.tensor(expected))
    assert (found["qf_mean"], found["qf_max"], found["qf_min"]) == pytest.approx((0.75, 1.5, 0.0))


def test_what_terminated_is_worth_its_reward() -> None:
    network = Known([0.0, 0.0], slope=[1.0, 2.0], bias=[1.0, -1.0])
    found, _, errors = run(network, transition(discounts=[0.0]))
    assert found["qf_loss"] == pytest.approx(0.25)
    assert errors == pytest.approx([(0.5 + 2.0) / 2])


def test_the_policy_climbs_the_lesser_critic_and_seeks_entropy() -> None:
    # at obs 1, action 0: critics 1 and -1, the second counts: its slope is 2
    network = Known([0.0, 0.0], slope=[1.0, 2.0], bias=[1.0, -1.0])
    found, gradients, _ = run(network, transition())
    assert found["policy_loss"] == pytest.approx(-NORMAL + 1.0, rel=1e-5)
    assert found["logps_mean"] == pytest.approx(-NORMAL, rel=1e-5)
    # of the mean: -2 (the slope of log tanh' is 0 at 0); of the log deviation: -1 (logp)
    assert gradients["actor"].tolist() == pytest.approx([-2.0, -1.0], rel=1e-5)


def test_the_temperature_rises_while_there_is_less_entropy_than_wanted() -> None:
    network = Known([0.0, 0.0], slope=[1.0, 2.0], bias=[1.0, -1.0])
    for entropy in (-1.0, 3.0):
        _, gradients, _ = run(network, transition(), entropy=entropy)
        assert gradients["log_alpha"].item() == pytest.approx(NORMAL - entropy, rel=1e-5)
    with torch.no_grad():
        network.log_alpha += math.log(0.5)
    found, _, _ = run(network, transition())
    assert found["alpha_value"] == pytest.approx(0.5)
    assert found["log_alpha_value"] == pytest.approx(math.log(0.5))
    assert found["alpha_loss"] == pytest.approx(-math.log(0.5) * (-NORMAL - 1.0), rel=1e-5)


def test_huber_and_importance_weights_count_in_the_critics_losses_alone() -> None:
    network = Known([0.0, 0.0], slope=[1.0, 2.0], bias=[1.0, -1.0])
    two = {
        name: value * 2 for name, value in transition(discounts=[0.0], rewards=[2.0]).items()
    } | {"rewards": [2.0, 10.0], "weights": [0.5, 1.0]}
    found, _, _ = run(network, two)
    assert found["qf_loss"] == pytest.approx((0.5 * 0.25 + 8.5**2) / 2)
    huber, _, errors = run(network, two, loss_fn="huber")
    assert huber["qf_loss"] == pytest.approx((0.5 * 0.125 + 8.0) / 2)
    assert huber["policy_loss"] == found["policy_loss"]
    assert errors == pytest.approx([1.25, 9.25])


def test_choices_are_expected_over() -> None:
    # probabilities 1/4, 3/4; critics of choice c and obs o: c + o and 2 c - o
    network = Known([0.0, math.log(3)], slope=[1.0, 2.0], bias=[1.0, -1.0])
    p, q = (0.25, 0.75), (-1.0, 1.0)  # the lesser at obs 1: min(1, -1), min(2, 1)
    following = (-3.0, -1.0)  # at obs 3: min(3, -3), min(4, -1)
    entropy = -sum(x * math.log(x) for x in p)
    found, gradients, errors = run(network, transition(actions=[1]), dist=TWO, entropy=0.5)
    aim = 2.0 + 0.9 * (p[0] * following[0] + p[1] * following[1] + entropy)
    assert errors == pytest.approx([(abs(2 - aim) + abs(1 - aim)) / 2], rel=1e-5)
    assert found["qf_loss"] == pytest.approx((2 - aim) ** 2, rel=1e-4)
    value = p[0] * q[0] + p[1] * q[1]
    assert found["policy_loss"] == pytest.approx(-entropy - value, rel=1e-5)
    assert found["logps_mean"] == pytest.approx(-entropy, rel=1e-5)
    assert gradients["log_alpha"].item() == pytest.approx(entropy - 0.5, rel=1e-4)
    # of a logit: p (x - mean of x) with x = logp - q
    x = [math.log(b) - c for b, c in zip(p, q, strict=True)]
    mean = p[0] * x[0] + p[1] * x[1]
    expected = [b * (c - mean) for b, c in zip(p, x, strict=True)]
    assert gradients["actor"].tolist() == pytest.approx(expected, rel=1e-4)


def test_the_target_entropy_can_be_reached() -> None:
    auto = {"target_entropy": "auto", "target_entropy_ratio": 0.5}
    assert target_entropy(auto, SquashedGaussian((-1.0,) * 3, (1.0,) * 3)) == -3.0
    assert target_entropy(auto, Categorical(4)) == pytest.approx(0.5 * math.log(4))
    assert target_entropy(auto | {"target_entropy": -0.7}, TWO) == -0.7
