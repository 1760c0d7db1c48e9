"""PPO's loss on a few samples, term by term, by hand; what follows from its KL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.core.collecting.targets import explained_variance
from algorithms.core.dists.distributions import Categorical, DiagGaussian, Distribution
from algorithms.core.packs.member import Episodes, Member
from algorithms.ppo import PPOPack
from tests.algorithms.support import TINY, open_pack, tiny, train
from tunerl.trial import ReplicaId

PLAIN = {
    "clip_param": 0.2,
    "vf_clip_param": torch.inf,
    "vf_loss_coeff": 0.0,
    "entropy_coeff": 0.0,
    "kl_coeff": 0.0,
    "normalize_advantages": 0.0,
    "use_critic": 1.0,
    "use_kl_loss": 0.0,
}


def pack_of(distribution: Distribution) -> PPOPack:
    pack = PPOPack.__new__(PPOPack)  # the loss asks its pack for nothing but the distribution
    pack.distribution = distribution
    return pack


def loss(
    new: Any,
    values: Any,
    batch: dict[str, Any],
    distribution: Distribution = Categorical(2),  # noqa: B008
    **hp: float,
) -> tuple[float, dict[str, float]]:
    """Loss and statistics for the network's outputs; old policy uniform unless given."""
    given = {
        "obs": torch.zeros(len(new), 1),
        "dist_inputs": torch.zeros(len(new), distribution.num_inputs),
        "values": torch.zeros(len(new)),
        "advantages": torch.zeros(len(new)),
        "targets": torch.zeros(len(new)),
    } | {name: torch.as_tensor(value) for name, value in batch.items()}
    given["logp"] = distribution.logp(given["dist_inputs"], given["actions"])
    hyperparameters = {name: torch.tensor(value) for name, value in (PLAIN | hp).items()}

    def call(obs: Tensor) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(new), torch.as_tensor(values)

    total, statistics = pack_of(distribution).loss(call, given, hyperparameters)
    return total.item(), dict(zip(PPOPack.statistics, statistics.tolist(), strict=True))


def logits(*probabilities: float) -> list[list[float]]:
    """Logits of two actions, the first of which has the given probability."""
    return [[math.log(p), math.log(1 - p)] for p in probabilities]


def test_the_surrogate_is_clipped_where_clipping_makes_it_worse() -> None:
    # old probability 1/2 everywhere: ratios 1.5, 1.5, 0.5, 0.5, 1.1; advantages 1, -1, 1, -1, 2
    # terms: min(1.5, 1.2), min(-1.5, -1.2), min(.5, .8), min(-.5, -.8), 2.2
    total, found = loss(
        logits(0.75, 0.75, 0.25, 0.25, 0.55),
        [0.0] * 5,
        {"actions": [0] * 5, "advantages": [1.0, -1.0, 1.0, -1.0, 2.0]},
    )
    assert total == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8 + 2.2) / 5)
    assert found["policy_loss"] == pytest.approx(total)
    assert found["clip_fraction"] == pytest.approx(4 / 5)


def test_approx_kl_is_the_third_estimator_and_mean_kl_the_exact_one() -> None:
    _, found = loss(logits(0.75, 0.25), [0.0, 0.0], {"actions": [0, 0]})
    # r = 1.5 and 0.5: (r - 1) - ln r
    expected = ((0.5 - math.log(1.5)) + (-0.5 - math.log(0.5))) / 2
    assert found["approx_kl"] == pytest.approx(expected, rel=1e-5)
    # KL(1/2, 1/2 || 3/4, 1/4) = ln 2 / 2 + ln(2/3) / 2, for both samples
    assert found["mean_kl_loss"] == pytest.approx(0.5 * (math.log(2) - math.log(1.5)), rel=1e-5)


def test_values_are_clipped_around_the_old_ones_and_the_worse_error_counts() -> None:
    batch = {"actions": [0, 0, 0], "values": [0.0, 0.0, 0.0], "targets": [2.0, 2.0, -1.0]}
    # new values 1.5, 0.4, 3 moved by at most 0.5: errors (.5^2, 1.6^2, 4^2) and
    # clipped (1.5^2, 1.6^2, 1.5^2)
    total, found = loss(
        logits(0.5, 0.5, 0.5), [1.5, 0.4, 3.0], batch, vf_clip_param=0.5, vf_loss_coeff=0.1
    )
    assert found["vf_loss"] == pytest.approx((2.25 + 2.56 + 16.0) / 3)
    assert found["vf_loss_unclipped"] == pytest.approx((0.25 + 2.56 + 16.0) / 3)
    assert total == pytest.approx(0.1 * found["vf_loss"])
    _, free = loss(logits(0.5, 0.5, 0.5), [1.5, 0.4, 3.0], batch)
    assert free["vf_loss"] == free["vf_loss_unclipped"] == pytest.approx(18.81 / 3)


def test_the_entropy_bonus_lowers_and_the_kl_penalty_raises_the_loss() -> None:
    new = logits(0.75)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    kl = 0.5 * (math.log(2) - math.log(1.5))
    total, found = loss(
        new, [0.0], {"actions": [1]}, entropy_coeff=0.3, kl_coeff=0.7, use_kl_loss=1.0
    )
    assert found["entropy"] == pytest.approx(entropy)
    assert total == pytest.approx(-0.3 * entropy + 0.7 * kl, rel=1e-5)
    without, _ = loss(new, [0.0], {"actions": [1]}, kl_coeff=0.7)
    assert without == pytest.approx(0.0, abs=1e-7)


def test_advantages_are_normalised_within_the_minibatch() -> None:
    # 1, 2, 6: mean 3, deviation sqrt(14 / 3); ratio 1.5 for the last, clipped at 1.2
    total, _ = loss(
        logits(0.5, 0.5, 0.75),
        [0.0] * 3,
        {"actions": [0] * 3, "advantages": [1.0, 2.0, 6.0]},
        normalize_advantages=1.0,
    )
    assert total == pytest.approx(-(-2 - 1 + 1.2 * 3) / math.sqrt(14 / 3) / 3, rel=1e-5)


def test_equal_advantages_do_not_blow_up() -> None:
    batch = {"actions": [0, 0], "advantages": [5.0, 5.0]}
    total, _ = loss(logits(0.5, 0.5), [0.0, 0.0], batch, normalize_advantages=1.0)
    assert total == 0.0


def test_without_a_critic_the_returns_take_the_place_of_advantages() -> None:
    batch = {"actions": [0, 0], "advantages": [9.0, 9.0], "targets": [1.0, 3.0]}
    total, _ = loss(logits(0.5, 0.5), [7.0, 7.0], batch, use_critic=0.0, vf_loss_coeff=1.0)
    assert total == pytest.approx(-2.0)


def test_samples_of_no_weight_change_nothing() -> None:
    batch = {"actions": [0, 1], "advantages": [1.0, -2.0], "targets": [1.0, 2.0]}
    hp: dict[str, Any] = {"normalize_advantages": 1.0, "vf_loss_coeff": 0.5, "entropy_coeff": 0.1}
    total, found = loss(logits(0.6, 0.3), [0.5, 0.6], batch, **hp)
    more = {
        "actions": [0, 1, 1],
        "advantages": [1.0, -2.0, 99.0],
        "targets": [1.0, 2.0, -99.0],
        "weights": [1.0, 1.0, 0.0],
    }
    weighted, also = loss(logits(0.6, 0.3, 0.9), [0.5, 0.6, 9.0], more, **hp)
    assert weighted == pytest.approx(total)
    assert also == pytest.approx(found)


def test_gaussian_ratio_by_hand() -> None:
    # N(0, 1) to N(0.1, 1) at 1: log ratio = -(0.9^2 - 1) / 2 = 0.095
    total, found = loss(
        [[0.1, 0.0]], [0.0], {"actions": [[1.0]], "advantages": [1.0]}, DiagGaussian(1)
    )
    assert total == pytest.approx(-math.exp(0.095), rel=1e-5)
    assert found["mean_kl_loss"] == pytest.approx(0.005, rel=1e-4)


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.0201, 1.5), (0.0199, 1.0), (0.0051, 1.0), (0.0049, 0.5)]
)
def test_the_weight_of_the_penalty_follows_the_kl(kl: float, factor: float) -> None:
    member = Member({"kl_target": 0.01}, 0, np.random.default_rng(0), Episodes(1))
    member.adaptive = {"kl_coeff": 0.2}
    pack_of(Categorical(2)).adapt(member, {"mean_kl_loss": kl})
    assert member.adaptive["kl_coeff"] == pytest.approx(0.2 * factor)


def run(**changes: Any) -> list[dict[str, Any]]:
    config = tiny(**changes)
    pack, id = open_pack(config), ReplicaId(0, 0)
    pack.join(id, config, 0)
    found = train(pack, id, 2)
    pack.close()
    return found


def test_target_kl_ends_the_epochs_of_an_iteration() -> None:
    updates = "learners/default_policy/num_updates_lifetime"
    minibatches = TINY["train_batch_size"] // TINY["minibatch_size"]
    free = run(num_epochs=6, lr=1e-2)
    tight = run(num_epochs=6, lr=1e-2, target_kl=1e-9)
    loose = run(num_epochs=6, lr=1e-2, target_kl=1e9)
    assert free[0][updates] == 6 * minibatches
    assert loose == free
    assert minibatches <= tight[0][updates] < 6 * minibatches
    # which epoch is the last is decided by the KL that the epoch before it had
    kl = [run(num_epochs=n, lr=1e-2)[0]["learners/default_policy/approx_kl"] for n in (1, 2, 3)]
    epochs = [kl[0], 2 * kl[1] - kl[0], 3 * kl[2] - 2 * kl[1]]  # the metric is their mean
    between = (max(epochs[0], epochs[1]) + epochs[2]) / 2 / 1.5
    assert max(epochs[0], epochs[1]) < epochs[2]
    assert run(num_epochs=6, lr=1e-2, target_kl=between)[0][updates] == 3 * minibatches


def test_schedules_run_over_environment_steps() -> None:
    rate = "learners/default_policy/default_optimizer_learning_rate"
    first, second = run(lr=[[0, 1e-3], [128, 0.0]])
    assert (first[rate], second[rate]) == pytest.approx((1e-3, 5e-4))


def test_explained_variance_by_hand() -> None:
    targets = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    values = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [3.0, 2.0, 1.0]])
    # residual variances 0, 1 and 4 against 1
    assert explained_variance({"targets": targets, "values": values}) == pytest.approx([1, 0, -3])
