"""The squashed normal: against torch's transformed one, by integration, and far out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributions as reference

from algorithms.core.dists.squashed import SquashedGaussian

UNIT = SquashedGaussian((-1.0,), (1.0,))
BOX = SquashedGaussian((-2.0, 0.0), (2.0, 10.0))


def theirs(inputs: Tensor, dist: SquashedGaussian) -> reference.Distribution:
    mean, log_std = inputs.chunk(2, -1)
    low, high = torch.tensor(dist.low), torch.tensor(dist.high)
    steps = [
        reference.TanhTransform(),
        reference.AffineTransform((low + high) / 2, (high - low) / 2),
    ]
    normal = reference.Normal(mean, log_std.exp())
    return reference.Independent(reference.TransformedDistribution(normal, steps), 1)


@pytest.mark.parametrize("dist", [UNIT, BOX], ids=["[-1, 1]", "two unlike dimensions"])
def test_actions_and_their_density_are_those_of_torch(dist: SquashedGaussian) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, dist.num_inputs, generator=generator, dtype=torch.float64).clamp(-1, 1)
    noise = torch.randn(50, dist.size, generator=generator, dtype=torch.float64).clamp(-1, 1)
    action, logp = dist.sample_logp(inputs, noise)
    torch.testing.assert_close(action, dist.sample(inputs, noise))
    expected = theirs(inputs, dist).log_prob(action)
    torch.testing.assert_close(logp, expected)
    torch.testing.assert_close(dist.logp(inputs, action), expected, rtol=1e-4, atol=1e-4)


def test_one_density_by_hand() -> None:
    # u = 0: density of the normal 1/sqrt(2 pi), slope of -2 + 4 (tanh u + 1) / 2 at 0 is 2
    wide = SquashedGaussian((-2.0,), (2.0,))
    action, logp = wide.sample_logp(torch.zeros(1, 2), torch.zeros(1, 1))
    assert action.item() == 0.0
    assert logp.item() == pytest.approx(-0.5 * math.log(2 * math.pi) - math.log(2))
    # u = 1 with deviation e: normal z = 1 / e; slope 2 (1 - tanh(1)^2)
    inputs, noise = torch.tensor([[0.0, 1.0]]), torch.tensor([[math.exp(-1)]])
    _, logp = wide.sample_logp(inputs, noise)
    normal = -0.5 * math.exp(-2) - 1 - 0.5 * math.log(2 * math.pi)
    assert logp.item() == pytest.approx(normal - math.log(2 * (1 - math.tanh(1) ** 2)), rel=1e-5)


@pytest.mark.parametrize("dist", [UNIT, SquashedGaussian((0.0,), (10.0,))])
def test_the_density_integrates_to_one_and_the_entropy_is_its_own(dist: SquashedGaussian) -> None:
    inputs = torch.tensor([[0.4, -0.5]])
    edges = torch.linspace(dist.low[0], dist.high[0], 200_001)
    middle = ((edges[1:] + edges[:-1]) / 2)[:, None]
    logp = dist.logp(inputs.expand(len(middle), 2), middle).double()
    mass = logp.exp() * (dist.high[0] - dist.low[0]) / len(middle)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-4)
    assert dist.entropy(inputs).item() == pytest.approx(-(mass * logp).sum().item(), abs=1e-3)


def test_nothing_is_lost_far_out() -> None:
    # at u = 50 the tanh is 1 in any float; log(4 exp(-2 u)) is the slope
    inputs = torch.tensor([[50.0, 0.0]], requires_grad=True)
    action, logp = UNIT.sample_logp(inputs, torch.zeros(1, 1))
    assert action.item() == 1.0
    expected = -0.5 * math.log(2 * math.pi) - (math.log(4) - 100)
    assert logp.item() == pytest.approx(expected, rel=1e-6)
    (gradient,) = torch.autograd.grad(logp.sum(), inputs)
    assert gradient[0].tolist() == pytest.approx([2.0, -1.0])  # -log slope grows by 2 for each u
    known = UNIT.logp(torch.tensor([[0.0, -30.0], [1e4, 9.0]]), torch.tensor([[1.0], [-1.0]]))
    assert torch.isfinite(known).all()


def test_kl_is_that_of_the_normals_and_the_mode_lies_at_the_mean() -> None:
    old, new = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert UNIT.kl(old, new).item() == pytest.approx(0.5)
    assert UNIT.kl(old, old).item() == 0.0
    inputs = torch.tensor([[0.0, math.atanh(0.5), -1.0, 3.0]])
    assert BOX.mode(inputs)[0].tolist() == pytest.approx([0.0, 7.5], rel=1e-5)


def test_noise_is_the_generators_and_samples_stay_within_bounds() -> None:
    noise = BOX.noise(np.random.default_rng(0), (1000,))
    np.testing.assert_array_equal(noise, BOX.noise(np.random.default_rng(0), (1000,)))
    inputs = torch.tensor([[0.3, -0.3, 2.0, 9.0]]).expand(1000, 4)
    action = BOX.sample(inputs, torch.from_numpy(noise))
    assert (action >= torch.tensor(BOX.low)).all()
    assert (action <= torch.tensor(BOX.high)).all()
    assert BOX.log_volume == pytest.approx(math.log(40))
