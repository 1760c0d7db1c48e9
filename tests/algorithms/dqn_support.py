"""Tiny DQN packs and agents, plain and with all of Rainbow."""

from __future__ import annotations

from typing import Any

from algorithms.core.packs.off_policy import OffPolicyPack
from algorithms.dqn import SPEC
from tests.algorithms.support import timeless
from tunerl.trainable import State
from tunerl.trial import Metrics, ReplicaId

TINY: dict[str, Any] = {
    "env": "CartPole-v1",
    "min_sample_timesteps_per_iteration": 60,
    "num_steps_sampled_before_learning_starts": 20,
    "train_batch_size": 7,
    "num_envs_per_env_runner": 2,
    "target_network_update_freq": 10,
    "tau": 1.0,
    "rollout_fragment_length": 1,
    "n_step": 1,
    "lr": 1e-2,
    "prioritized_replay": False,
    "model": {"fcnet_hiddens": [8]},
}
RAINBOW: dict[str, Any] = {
    "prioritized_replay": True,
    "prioritized_replay_beta": [[0, 0.4], [1000, 1.0]],
    "n_step": 3,
    "num_atoms": 5,
    "v_min": 0.0,
    "v_max": 20.0,
    "noisy": True,
    "hiddens": [7],
}


def tiny(**changes: Any) -> dict[str, Any]:
    """A configuration whose iterations take milliseconds."""
    return {**TINY, **changes}


def open_pack(config: dict[str, Any]) -> OffPolicyPack:
    pack = SPEC.open(SPEC.resolve(config))
    assert isinstance(pack, OffPolicyPack)
    return pack


def train(pack: OffPolicyPack, id: ReplicaId, iterations: int) -> list[Metrics]:
    """The metrics of one member in each of some iterations of its whole pack."""
    return [timeless(pack.step()[id]) for _ in range(iterations)]


def lone(config: dict[str, Any], seed: int, iterations: int) -> tuple[list[Metrics], State]:
    """What a replica alone in its pack reports, and its state afterwards."""
    pack, id = open_pack(config), ReplicaId(0, 0)
    pack.join(id, config, seed)
    found = train(pack, id, iterations), pack.read(id)
    pack.close()
    return found
