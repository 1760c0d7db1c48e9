"""Shorthands for packs of tiny soft actor-critics, whatever they learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algorithms.core.nets.soft_nets import Nets
from algorithms.core.packs.pack import AlgorithmPack
from tests.algorithms.support import timeless
from tunerl import registry
from tunerl.trainable import State
from tunerl.trial import Metrics, ReplicaId

TINY: dict[str, Any] = {
    "env": "Pendulum-v1",
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 8,
    "min_sample_timesteps_per_iteration": 20,
    "model": {"fcnet_hiddens": [8]},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """A configuration of SAC whose iterations take milliseconds."""
    return {**TINY, **changes}


def open_pack(name: str, config: dict[str, Any]) -> AlgorithmPack:
    spec = registry.trainable(name)
    pack = spec.open(spec.resolve(config))
    assert isinstance(pack, AlgorithmPack)
    return pack


def lone(
    name: str, config: dict[str, Any], seed: int = 3, iterations: int = 2
) -> tuple[list[Metrics], State]:
    """What a replica alone in its pack reports, and its state afterwards."""
    pack, id = open_pack(name, config), ReplicaId(0, 0)
    pack.join(id, config, seed)
    found = [timeless(pack.step()[id]) for _ in range(iterations)], pack.read(id)
    pack.close()
    return found


def same(found: State, wanted: State) -> None:
    """Equal to the last bit."""
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


class Known(nn.Module):
    """Networks of which everything is known: the policy says `means` and `log_stds` (or logits)
    whatever it sees; critic i of an observation o and action a is ``slope[i] a + bias[i] o``."""

    def __init__(self, inputs: list[float], slope: list[float], bias: list[float]) -> None:
        super().__init__()
        self.actor = nn.Parameter(torch.tensor(inputs))
        self.critics = nn.Parameter(torch.tensor([slope, bias]))
        self.log_alpha = nn.Parameter(torch.zeros(1))

    def policy(self, obs: Tensor) -> Tensor:
        return self.actor.expand(len(obs), -1)

    def values(self, obs: Tensor, *action: Tensor) -> Tensor:
        slope, bias = self.critics
        if action:
            return slope[:, None] * action[0][:, 0] + bias[:, None] * obs[:, 0]
        choices = torch.arange(len(self.actor), dtype=torch.float32)
        return slope[:, None, None] * choices + bias[:, None, None] * obs[:, :1]


def nets_of(network: nn.Module, target: dict[str, Tensor] | None = None) -> Nets:
    """The networks as a loss sees them, with gradients; targets as they are, or others."""
    parameters = {name: value.requires_grad_() for name, value in network.named_parameters()}
    return Nets(network, parameters, target or {})
