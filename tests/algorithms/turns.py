"""Shorthands for the algorithms that learn in turns: tiny agents of each, alone and in packs."""

from __future__ import annotations

from typing import Any

from algorithms import a2c, a3c, appo, impala, vpg
from algorithms.core.packs.turns import TurnPack
from algorithms.core.specs.spec import AlgorithmSpec
from tests.algorithms.support import timeless
from tunerl.trainable import State
from tunerl.trial import Metrics, ReplicaId

SPECS: dict[str, AlgorithmSpec] = {
    "A2C": a2c.SPEC,
    "A3C": a3c.SPEC,
    "IMPALA": impala.SPEC,
    "APPO": appo.SPEC,
    "VPG": vpg.SPEC,
}
TINY: dict[str, Any] = {
    "env": "CartPole-v1",
    "num_envs_per_env_runner": 4,
    "rollout_fragment_length": 4,
    "min_sample_timesteps_per_iteration": 90,  # six turns
    "lr": 1e-2,
    "model": {"fcnet_hiddens": [8]},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """A configuration whose iterations take milliseconds."""
    return {**TINY, **changes}


def open_pack(name: str, config: dict[str, Any]) -> TurnPack:
    pack = SPECS[name].open(SPECS[name].resolve(config))
    assert isinstance(pack, TurnPack)
    return pack


def train(pack: TurnPack, id: ReplicaId, iterations: int) -> list[Metrics]:
    """The metrics of one member in each of some iterations of its whole pack."""
    return [timeless(pack.step()[id]) for _ in range(iterations)]


def lone(
    name: str, config: dict[str, Any], seed: int, iterations: int
) -> tuple[list[Metrics], State]:
    """What a replica alone in its pack reports, and its state afterwards."""
    pack, id = open_pack(name, config), ReplicaId(0, 0)
    pack.join(id, config, seed)
    found = train(pack, id, iterations), pack.read(id)
    pack.close()
    return found
