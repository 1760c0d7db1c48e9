"""Those that learn in turns learn: the classic tasks, with default settings where none are said."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms.core.evaluation import evaluate_member
from tests.algorithms.turns import open_pack
from tunerl.statistics import iqm
from tunerl.trial import ReplicaId

CARTPOLE = {"env": "CartPole-v1"}


def returns(name: str, config: dict[str, Any], steps: int, seeds: int) -> list[float]:
    """Mean return of each seed after so many steps, 20 episodes with the likeliest actions."""
    pack = open_pack(name, {"torch_compile_learner": False, **config})
    for seed in range(seeds):
        pack.join(ReplicaId(seed, 0), config, seed)
    while pack.members[0].env_steps < steps:
        pack.step()
    assert len(pack.ids) == seeds
    found = [evaluate_member(pack, row, seed=1000 + row, duration=20) for row in range(seeds)]
    pack.close()
    return [metrics["env_runners/episode_return_mean"] for metrics in found]


def test_impala_has_cartpole_well_under_way_after_30_000_steps() -> None:
    assert min(returns("IMPALA", CARTPOLE, 30_000, 2)) > 120


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "config", "steps", "least"),
    [
        ("A2C", CARTPOLE, 500_000, 400.0),
        ("A3C", CARTPOLE, 300_000, 200.0),
        ("VPG", CARTPOLE, 150_000, 300.0),
        ("IMPALA", CARTPOLE, 300_000, 450.0),
        ("APPO", CARTPOLE, 300_000, 450.0),
    ],
    ids=["A2C", "A3C", "VPG", "IMPALA", "APPO"],
)
def test_it_reaches_what_is_published(
    name: str, config: dict[str, Any], steps: int, least: float
) -> None:
    found = returns(name, config, steps, 5)
    assert iqm(found) >= least, found
