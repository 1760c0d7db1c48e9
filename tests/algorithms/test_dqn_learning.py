"""DQN learns: probes whose answers are known, then the classic tasks (returns of greedy play)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.core.packs.off_policy import OffPolicyPack
from tests.algorithms.dqn_support import open_pack
from tunerl.trial import ReplicaId

PROBE: dict[str, Any] = {
    "min_sample_timesteps_per_iteration": 400,
    "num_steps_sampled_before_learning_starts": 32,
    "num_envs_per_env_runner": 4,
    "train_batch_size": 32,
    "rollout_fragment_length": 1,
    "lr": 5e-3,
    "gamma": 0.9,
    "n_step": 1,
    "tau": 0.1,
    "target_network_update_freq": 0,
    "prioritized_replay": False,
    "epsilon": [[0, 1.0], [10_000, 0.05]],
    "model": {"fcnet_hiddens": [16]},
}
ATOMS = {"num_atoms": 21, "v_min": -2.0, "v_max": 2.0}


def trained(config: dict[str, Any], iterations: int, seeds: int = 2) -> OffPolicyPack:
    pack = open_pack(config)
    for seed in range(seeds):
        pack.join(ReplicaId(seed, 0), config, seed)
    for _ in range(iterations):
        pack.step()
    assert len(pack.ids) == seeds
    return pack


def values(pack: OffPolicyPack, observations: list[list[float]]) -> torch.Tensor:
    """What each member thinks the best action is worth `[K, B]`."""
    obs = torch.tensor(observations, dtype=torch.float32)
    with torch.no_grad():
        inputs = pack.policy(pack.flat, obs.expand(len(pack.members), *obs.shape))
    actor: Any = pack.actor(pack.members[0])
    return actor.values(inputs).amax(-1)


@pytest.mark.parametrize(
    ("name", "changes", "observations", "wanted"),
    [
        ("signs", {}, [[-1.0], [1.0]], [-1.0, 1.0]),
        ("signs", ATOMS, [[-1.0], [1.0]], [-1.0, 1.0]),
        ("two-steps", {"gamma": 0.5}, [[0.0], [1.0]], [0.5, 1.0]),
        ("two-steps", {"gamma": 0.5, "n_step": [1, 3]}, [[0.0], [1.0]], [0.5, 1.0]),
        ("endless", {"gamma": 0.5}, [[0.0]], [2.0]),  # cut off every five steps: 1 + 1/2 + ...
        ("endless", {"gamma": 0.5, "n_step": 3}, [[0.0]], [2.0]),
    ],
)
def test_the_value_is_the_known_one(
    name: str, changes: dict[str, Any], observations: list[list[float]], wanted: list[float]
) -> None:
    pack = trained(PROBE | {"env": f"probe/{name}"} | changes, 6 if name != "endless" else 24)
    np.testing.assert_allclose(values(pack, observations), [wanted, wanted], atol=0.1)
