"""Action distributions against torch.distributions, and their sampling against probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributions as reference

from algorithms.core.dists.distributions import (
    Categorical,
    DiagGaussian,
    Distribution,
    MultiCategorical,
)


def _categorical(inputs: Tensor) -> reference.Distribution:
    return reference.Categorical(logits=inputs)


def _gaussian(inputs: Tensor) -> reference.Distribution:
    mean, log_std = inputs.chunk(2, -1)
    return reference.Independent(reference.Normal(mean, log_std.exp()), 1)


GENERATOR = torch.Generator().manual_seed(0)
CASES = [
    (Categorical(4), _categorical, torch.tensor([[0, 3], [1, 2]])),
    (DiagGaussian(3), _gaussian, torch.randn(2, 2, 3, generator=GENERATOR)),
]


@pytest.mark.parametrize(("ours", "theirs", "action"), CASES, ids=["categorical", "gaussian"])
def test_logp_entropy_and_kl_are_those_of_torch(
    ours: Distribution, theirs: object, action: Tensor
) -> None:
    assert callable(theirs)
    old, new = (torch.randn(2, 2, ours.num_inputs, generator=GENERATOR) for _ in range(2))
    torch.testing.assert_close(ours.logp(old, action), theirs(old).log_prob(action))
    torch.testing.assert_close(ours.entropy(old), theirs(old).entropy())
    torch.testing.assert_close(
        ours.kl(old, new), reference.kl_divergence(theirs(old), theirs(new)), rtol=1e-4, atol=1e-5
    )


def test_multi_categorical_sums_its_independent_parts() -> None:
    both, two, three = MultiCategorical((2, 3)), Categorical(2), Categorical(3)
    old, new = (torch.randn(7, 5, generator=GENERATOR) for _ in range(2))
    action = torch.tensor([[i % 2, i % 3] for i in range(7)])
    logp = two.logp(old[:, :2], action[:, 0]) + three.logp(old[:, 2:], action[:, 1])
    torch.testing.assert_close(both.logp(old, action), logp)
    entropy = two.entropy(old[:, :2]) + three.entropy(old[:, 2:])
    torch.testing.assert_close(both.entropy(old), entropy)
    kl = two.kl(old[:, :2], new[:, :2]) + three.kl(old[:, 2:], new[:, 2:])
    torch.testing.assert_close(both.kl(old, new), kl)
    best = torch.stack([old[:, :2].argmax(-1), old[:, 2:].argmax(-1)], -1)
    assert torch.equal(both.mode(old), best)


def test_numbers_by_hand() -> None:
    # p = (1/4, 3/4): logits 0 and ln 3
    inputs = torch.tensor([0.0, math.log(3.0)])
    two = Categorical(2)
    assert two.logp(inputs, torch.tensor(1)).item() == pytest.approx(math.log(0.75))
    # H = ln 4 / 4 + 3/4 ln(4/3) = 0.5623
    assert two.entropy(inputs).item() == pytest.approx(0.562335, abs=1e-6)
    # KL(1/2, 1/2 || 1/4, 3/4) = (ln 2 + ln(2/3)) / 2 = 0.1438
    assert two.kl(torch.zeros(2), inputs).item() == pytest.approx(0.143841, abs=1e-6)
    # N(1, 2): density at 3 is exp(-1/2) / (2 sqrt(2 pi))
    one, normal = DiagGaussian(1), torch.tensor([1.0, math.log(2.0)])
    density = math.exp(-0.5) / (2 * math.sqrt(2 * math.pi))
    assert one.logp(normal, torch.tensor([3.0])).item() == pytest.approx(math.log(density))
    assert one.mode(normal).item() == 1.0


def test_inverse_cdf_picks_the_interval_in_which_the_noise_falls() -> None:
    # p = (1/2, 1/4, 1/4): [0, .5) -> 0, [.5, .75) -> 1, [.75, 1) -> 2
    inputs = torch.tensor([2.0, 1.0, 1.0]).log().expand(6, 3)
    noise = torch.tensor([0.0, 0.49, 0.51, 0.74, 0.76, 0.9999])[:, None]
    assert Categorical(3).sample(inputs, noise).tolist() == [0, 0, 1, 1, 2, 2]


def test_an_action_without_probability_is_never_sampled() -> None:
    inputs = torch.tensor([-1e9, 0.0, -1e9]).expand(3, 3)
    noise = torch.tensor([0.0, 0.5, 1.0 - 2**-24])[:, None]
    assert Categorical(3).sample(inputs, noise).tolist() == [1, 1, 1]


def test_frequencies_of_samples_are_the_probabilities() -> None:
    number, generator = 40_000, np.random.default_rng(3)
    ours = MultiCategorical((2, 3))
    p = [torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.3, 0.2])]
    inputs = torch.cat(p).log().expand(number, 5)
    drawn = ours.sample(inputs, torch.from_numpy(ours.noise(generator, (number,))))
    assert drawn.shape == (number, 2)
    for column, wanted in enumerate(p):
        found = torch.bincount(drawn[:, column]) / number
        # five standard errors of a frequency are below 5 * 0.5 / sqrt(40,000) = 0.0125
        torch.testing.assert_close(found, wanted, rtol=0, atol=0.0125)
    joint = ((drawn[:, 0] == 1) & (drawn[:, 1] == 0)).float().mean().item()
    assert joint == pytest.approx(0.8 * 0.5, abs=0.0125)


def test_gaussian_samples_have_the_mean_and_deviation() -> None:
    number, ours = 40_000, DiagGaussian(2)
    inputs = torch.tensor([1.0, -2.0, math.log(0.5), math.log(3.0)]).expand(number, 4)
    noise = torch.from_numpy(ours.noise(np.random.default_rng(3), (number,)))
    drawn = ours.sample(inputs, noise)
    torch.testing.assert_close(drawn.mean(0), torch.tensor([1.0, -2.0]), rtol=0, atol=0.075)
    torch.testing.assert_close(drawn.std(0), torch.tensor([0.5, 3.0]), rtol=0.02, atol=0)


@pytest.mark.parametrize("ours", [Categorical(3), MultiCategorical((2, 3)), DiagGaussian(2)])
def test_shapes_follow_the_leading_axes(ours: Distribution) -> None:
    noise = ours.noise(np.random.default_rng(0), (4, 5))
    assert noise.dtype == np.float32
    inputs = torch.zeros(4, 5, ours.num_inputs)
    action = ours.sample(inputs, torch.from_numpy(noise))
    assert action.shape == (4, 5, *ours.action_shape) == ours.mode(inputs).shape
    assert ours.logp(inputs, action).shape == ours.entropy(inputs).shape == (4, 5)
    assert (action.dtype == torch.int64) is ours.discrete
