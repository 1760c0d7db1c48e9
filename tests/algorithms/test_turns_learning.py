"""Those that learn in turns learn: the classic tasks, with default settings where none are said."""

from __future__ import annotations

from typing import Any

from algorithms.core.packs.evaluation import evaluate_member
from tests.algorithms.turns import open_pack
from tunerl.trial import ReplicaId

CARTPOLE = {"env": "CartPole-v1"}


def returns(name: str, config: dict[str, Any], steps: int, seeds: int) -> list[float]:
    """Mean return of each seed after so many steps, 20 episodes with the likeliest actions."""
    config = {"torch_compile_learner": False, **config}
    pack = open_pack(name, config)
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
