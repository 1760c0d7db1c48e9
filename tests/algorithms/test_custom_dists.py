"""Distributions by name: Beta's maths, and RLlib's form of a user's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from algorithms.core.dists.beta import Beta
from algorithms.core.dists.custom_dists import (
    ActionDistribution,
    distribution_for,
    register_action_dist,
)
from algorithms.core.dists.distributions import Categorical, DiagGaussian
from tests.algorithms.support import lone, open_pack, timeless, tiny
from tunerl.errors import InvalidConfig
from tunerl.trial import ReplicaId

BOX = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
BETA = Beta((-2.0, 0.0), (2.0, 1.0))
INPUTS = torch.tensor([0.3, -1.0, 2.0, 0.5])


def theirs() -> torch.distributions.Beta:
    return torch.distributions.Beta(*BETA.shapes(INPUTS))


def test_beta_agrees_with_torch_within_its_bounds() -> None:
    action = torch.tensor([-0.5, 0.25])
    own = theirs()
    x = torch.tensor([(-0.5 + 2) / 4, 0.25])
    torch.testing.assert_close(
        BETA.logp(INPUTS, action), own.log_prob(x).sum() - math.log(4), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(BETA.entropy(INPUTS), own.entropy().sum() + math.log(4))
    other = torch.distributions.Beta(*BETA.shapes(INPUTS + 0.7))
    torch.testing.assert_close(
        BETA.kl(INPUTS, INPUTS + 0.7), torch.distributions.kl_divergence(own, other).sum()
    )
    torch.testing.assert_close(BETA.mode(INPUTS), own.mode * torch.tensor([4.0, 1.0])
                               + torch.tensor([-2.0, 0.0]))  # fmt: skip


def test_beta_samples_have_its_moments_and_stay_inside() -> None:
    noise = torch.from_numpy(BETA.noise(np.random.default_rng(0), (100_000,)))
    drawn = BETA.sample(INPUTS.expand(100_000, 4), noise)
    assert BOX.contains(drawn.amin(0).numpy())
    assert BOX.contains(drawn.amax(0).numpy())
    unit = (drawn - torch.tensor([-2.0, 0.0])) / torch.tensor([4.0, 1.0])
    torch.testing.assert_close(unit.mean(0), theirs().mean, rtol=0.01, atol=0)
    torch.testing.assert_close(unit.var(0), theirs().variance, rtol=0.02, atol=0)


@pytest.mark.parametrize(("asked", "kind"), [("Beta", Beta), ("DiagGaussian", DiagGaussian)])
def test_built_in_distributions_go_by_their_names(asked: str, kind: type) -> None:
    assert isinstance(distribution_for(BOX, {"custom_action_dist": asked}), kind)


class Tempered(ActionDistribution):
    """RLlib's form: a categorical of sharpened logits."""

    def __init__(self, inputs: Tensor, model: Any = None) -> None:
        super().__init__(inputs, model)
        assert model.num_outputs == inputs.shape[-1]
        self.dist = torch.distributions.Categorical(logits=2.0 * inputs)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return int(action_space.n)


def test_a_users_class_computes_what_it_says() -> None:
    register_action_dist("tests-tempered", Tempered)
    found = distribution_for(spaces.Discrete(3), {"custom_action_dist": "tests-tempered"})
    logits, action = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    plain = Categorical(3)
    torch.testing.assert_close(found.logp(logits, action), plain.logp(2 * logits, action))
    torch.testing.assert_close(found.entropy(logits), plain.entropy(2 * logits))
    torch.testing.assert_close(found.kl(logits, -logits), plain.kl(2 * logits, -2 * logits))
    assert torch.equal(found.mode(logits), logits.argmax(-1))
    noise = torch.from_numpy(found.noise(np.random.default_rng(0), (2000, 1)))
    drawn = found.sample(logits[:1].expand(2000, 1, 3), noise).flatten()
    share = torch.bincount(drawn, minlength=3) / 2000
    torch.testing.assert_close(share, torch.softmax(2 * logits[0], -1), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"custom_action_dist": "tests-tempered", "fcnet_hiddens": [8]}},
        {"env": "Pendulum-v1", "model": {"custom_action_dist": "Beta", "fcnet_hiddens": [8]}},
        {"env": "Pendulum-v1", "model": {"custom_action_dist": "SquashedGaussian"}},
        {"env": "probe/allowed"},
        {"env": "probe/allowed", "observation_filter": "MeanStdFilter"},
        {"env": "probe/picture", "framestack": 3},
    ],
    ids=["own", "beta", "squashed", "mask", "filtered mask", "picture"],
)
def test_a_member_of_a_pack_of_three_is_as_alone(changes: dict[str, Any]) -> None:
    register_action_dist("tests-tempered", Tempered)
    config = tiny(**changes, lr=1e-2)
    metrics, state = lone(config, 5, 2)
    pack = open_pack(config)
    for i, seed in enumerate((3, 5, 9)):
        pack.join(ReplicaId(i, 0), config, seed)
    for before in metrics:
        assert timeless(pack.step()[ReplicaId(1, 0)]) == before
    after = pack.read(ReplicaId(1, 0))
    pack.close()
    assert all(np.array_equal(after.arrays[name], own) for name, own in state.arrays.items())


class NoKl(Tempered):
    def kl(self, other: Any) -> Tensor:
        raise NotImplementedError("kl")


@pytest.mark.parametrize(
    ("space", "asked", "says"),
    [
        (spaces.Discrete(3), "Betta", "did you mean 'Beta'"),
        (spaces.Discrete(3), "Beta", "for Box actions only"),
        (spaces.Discrete(3), NoKl, "does not work: NotImplementedError: kl"),
        (BOX, Tempered, "does not work: AttributeError"),
    ],
)
def test_a_distribution_that_does_not_fit_is_refused(space: Any, asked: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        distribution_for(space, {"custom_action_dist": asked})
