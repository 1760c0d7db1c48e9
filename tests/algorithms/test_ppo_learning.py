"""PPO learns: probes whose answers are known, then the classic tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.core.packs.evaluation import evaluate_member
from algorithms.core.packs.on_policy import OnPolicyPack
from tests.algorithms.support import likeliest, open_pack, values
from tunerl.trial import ReplicaId

PROBE: dict[str, Any] = {
    "train_batch_size": 160,
    "num_envs_per_env_runner": 8,
    "minibatch_size": 32,
    "num_epochs": 8,
    "lr": 5e-3,
    "gamma": 0.9,
    "model": {"fcnet_hiddens": [16]},
}


def trained(config: dict[str, Any], iterations: int, seeds: int = 2) -> OnPolicyPack:
    pack = open_pack(config)
    for seed in range(seeds):
        pack.join(ReplicaId(seed, 0), config, seed)
    for _ in range(iterations):
        pack.step()
    assert len(pack.ids) == seeds
    return pack


def probe(name: str, **changes: Any) -> dict[str, Any]:
    return {**PROBE, "env": f"probe/{name}", **changes}


@pytest.mark.parametrize(
    ("config", "observations", "wanted", "iterations"),
    [
        (probe("constant"), [[0]], [1.0], 15),
        (probe("signs"), [[-1], [1]], [-1.0, 1.0], 25),
        (probe("two-steps", gamma=0.5), [[0], [1]], [0.5, 1.0], 25),
    ],
    ids=["reward 1 at once", "reward seen in the observation", "reward after a step, discounted"],
)
def test_the_value_is_the_known_one(
    config: dict[str, Any], observations: list[Any], wanted: list[float], iterations: int
) -> None:
    found = values(trained(config, iterations), observations)
    np.testing.assert_allclose(found, [wanted, wanted], atol=0.08)


def test_a_truncated_episode_is_worth_what_would_have_followed_a_terminated_one_is_not() -> None:
    endless = probe("endless", lr=1e-2, lambda_=1.0)
    # 1 + 0.9 + 0.81 + ... = 10
    np.testing.assert_allclose(values(trained(endless, 60), [[0]]), 10.0, atol=0.7)
    # five steps, looking alike: the mean of (1 - 0.9^n) / 0.1 for n = 1 ... 5 is 2.63
    ended = values(trained(endless | {"env_config": {"ends": True}}, 30), [[0]])
    np.testing.assert_allclose(ended, 2.63, atol=0.3)


@pytest.mark.parametrize(
    ("name", "wanted", "tolerance"),
    [("choice", [0, 2], 0), ("choices", [[0, 2], [1, 0]], 0), ("target", [[-0.5], [0.5]], 0.15)],
)
def test_the_policy_picks_the_action_that_pays(name: str, wanted: Any, tolerance: float) -> None:
    pack = trained(probe(name, lr=[[0, 1e-2], [9_600, 0.0]], train_batch_size=240), 40)
    found = likeliest(pack, [[-1], [1]])
    np.testing.assert_allclose(found, np.stack([wanted, wanted]), atol=tolerance)


def returns(config: dict[str, Any], steps: int, seeds: int) -> list[float]:
    """Mean return of each seed after so many steps, 20 episodes with the likeliest actions."""
    pack = trained(config, -(-steps // config["train_batch_size"]), seeds)
    found = [evaluate_member(pack, row, seed=1000 + row, duration=20) for row in range(seeds)]
    pack.close()
    return [metrics["env_runners/episode_return_mean"] for metrics in found]


def test_cartpole_is_well_under_way_after_20_000_steps() -> None:
    config = {
        "env": "CartPole-v1",
        "train_batch_size": 512,
        "minibatch_size": 64,
        "lr": 2e-3,
        "gamma": 0.98,
        "lambda_": 0.9,
    }
    assert min(returns(config, 20_000, 4)) > 150
