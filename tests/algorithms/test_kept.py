"""Graphs are shared by packs that would make the same ones, and by no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms.core.lifting.kept import REMEMBERED, graphs_of
from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.ppo import PPOPack
from tests.algorithms.support import open_pack, tiny


def opened(config: dict[str, Any]) -> OnPolicyPack:
    pack = open_pack(config)
    pack.close()
    return pack


def test_packs_that_differ_in_vectors_only_share_their_graphs() -> None:
    pack, other = opened(tiny()), opened(tiny(lr=0.25))
    assert pack.update.graphs is other.update.graphs
    assert pack.policy.graphs is other.policy.graphs
    assert pack.policy.graphs is not pack.value.graphs


def test_sizes_of_batches_are_told_apart_by_shapes_alone() -> None:
    pack, other = opened(tiny()), opened(tiny(minibatch_size=16))
    assert pack.pack_key != other.pack_key
    assert pack.update.graphs is other.update.graphs


@pytest.mark.parametrize("change", [{"grad_clip_by": "value"}, {"model": {"fcnet_hiddens": [7]}}])
def test_another_structure_has_graphs_of_its_own(change: dict[str, Any]) -> None:
    assert opened(tiny()).update.graphs is not opened(tiny(**change)).update.graphs


def test_another_loss_has_graphs_of_its_own() -> None:
    class Own(PPOPack):
        pass

    pack = opened(tiny())
    own = Own(pack.shared, pack.resolve, pack.key)
    assert own.update.graphs is not pack.update.graphs
    fewer = Own({**pack.shared, "minibatch_size": 16}, pack.resolve, pack.key)
    assert own.update.graphs is not fewer.update.graphs
    fewer.close()
    own.close()


def test_a_network_of_ones_own_is_traced_for_each_pack() -> None:
    from algorithms import register_model

    def linear(inputs: int, outputs: int) -> torch.nn.Module:
        class Linear(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.both = torch.nn.Linear(inputs, outputs + 1)

            def forward(self, obs: torch.Tensor) -> Any:
                both = self.both(obs)
                return both[..., :-1], both[..., -1]

        return Linear()

    register_model("tests-kept", linear)
    config = tiny(model={"custom_model": "tests-kept"})
    assert opened(config).update.graphs is not opened(config).update.graphs


def test_what_was_used_longest_ago_is_forgotten() -> None:
    first = graphs_of("first of the tests")
    assert graphs_of("first of the tests") is first
    for number in range(REMEMBERED):
        graphs_of(number, "of the tests")
    assert graphs_of("first of the tests") is not first
