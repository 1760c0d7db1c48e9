"""What SAC tried teaches CQL and IQL more than BC."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from algorithms.core.packs.evaluation import evaluate_member
from tests.algorithms.soft import open_pack
from tunerl.statistics import iqm
from tunerl.trial import ReplicaId

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SMALL = {"model": {"fcnet_hiddens": [64, 64]}, "train_batch_size": 64, "lr": 1e-3}


def returns(name: str, config: dict[str, Any], iterations: int, seeds: int = 3) -> list[float]:
    """Mean return of each seed afterwards, 20 episodes with the likeliest actions."""
    pack = open_pack(name, config)
    for seed in range(seeds):
        pack.join(ReplicaId(seed, 0), config, seed)
    for _ in range(iterations):
        pack.step()
    assert len(pack.ids) == seeds
    found = [evaluate_member(pack, row, seed=1000 + row, duration=20) for row in range(seeds)]
    pack.close()
    return [metrics["env_runners/episode_return_mean"] for metrics in found]


@cache
def medium_replay() -> str:
    """All that a SAC agent tried in its first 4,000 steps of Pendulum."""
    folder = Path(mkdtemp(prefix="tunerl-replay-"))
    config = {
        "env": "Pendulum-v1",
        "num_steps_sampled_before_learning_starts": 500,
        "output": str(folder),
    }
    returns("SAC", config | SMALL, 8, seeds=1)
    return str(folder)


def offline(**more: Any) -> dict[str, Any]:
    return {
        "env": "Pendulum-v1",
        "input_": medium_replay(),
        "model": {"fcnet_hiddens": [64, 64]},
        "train_batch_size": 128,
        "evaluation_interval": None,
        "dataset_num_iters_per_learner": 500,
        **more,
    }


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("IQL", {}),
        ("CQL", {"num_actions": 4, "min_q_weight": 1.0, "bc_iters": 200}),
    ],
)
def test_what_was_tried_teaches_more_than_to_imitate_it(name: str, more: dict[str, Any]) -> None:
    cloned = returns("BC", offline(lr=1e-3), 4)
    found = returns(name, offline(gamma=0.95, tau=0.02, lr=1e-3, **more), 4)
    assert iqm(found) > iqm(cloned) + 100, (found, cloned)
