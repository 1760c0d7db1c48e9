"""One compiled graph for minibatches of all lengths, with the results of a graph of its own."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.core.lifting import compiling
from algorithms.core.lifting.compiling import AnyLength, any_length, compiled
from tests.algorithms.support import lone, tiny

pytestmark = [
    pytest.mark.skipif(not compiling.compiler_available(), reason="no C++ compiler"),
]


def squares(weights: Tensor, x: Tensor, index: Tensor) -> Tensor:
    """``[K, 3, 5], [K, N, 3], [K, N] -> [K, 5]``"""
    return (torch.bmm(x, weights).tanh() * index.unsqueeze(-1)).square().mean(1)


def made(length: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    weights = torch.randn(2, 3, 5, generator=generator)
    x = torch.randn(2, length, 3, generator=generator)
    return weights, x, torch.randint(4, (2, length), generator=generator)


@pytest.mark.timeout(300)
def test_one_graph_serves_every_length_with_the_bits_of_its_own() -> None:
    graph = AnyLength(squares, made(64), slice(1, 3))
    for length in (64, 32, 352, 96):
        run = graph.for_length(length)
        assert run is not None
        args = made(length)
        assert torch.allclose(run(*args), squares(*args), atol=1e-6)
    assert torch.equal(run(*args), compiled(squares, args)(*args))


def test_what_insists_on_one_length_serves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_compiled", lambda graph, *args: graph)

    def insists(x: Tensor) -> Tensor:
        return x.sum(1) * int(x.shape[1])

    assert AnyLength(insists, (torch.ones(2, 64, 3),), slice(0, 1)).for_length(64) is None
    scaled = AnyLength(lambda x: x.mean(1), (torch.ones(2, 64, 3),), slice(0, 1))
    assert scaled.for_length(64) is not None


def test_a_condition_on_the_length_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_compiled", lambda graph, *args: graph)
    graph = AnyLength(
        lambda x: x.mean(1) if x.shape[1] > 100 else x.sum(1),
        (torch.ones(2, 128, 3),),
        slice(0, 1),
    )
    assert graph.for_length(128) is not None
    assert graph.for_length(64) is None


@pytest.mark.parametrize(
    ("lengths", "whole"), [((64, 64), True), ((64, 32), False), ((48, 48), False), ((0, 0), False)]
)
def test_lengths_are_whole_multiples_and_the_same(lengths: tuple[int, int], whole: bool) -> None:
    assert any_length([torch.zeros(2, n, 3) for n in lengths]) is whole


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ppo_compiles_once_for_all_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []
    original = compiling._compiled

    def counted(*args: Any) -> Any:
        graphs.append(args)
        return original(*args)

    monkeypatch.setattr(compiling, "_compiled", counted)
    monkeypatch.setattr("algorithms.core.lifting.kept._kinds", OrderedDict())
    base = {"train_batch_size": 256, "torch_compile_learner": True}
    configs = [tiny(minibatch_size=size, **base) for size in (32, 64, 128)]
    found = [lone(config, 7, 2) for config in configs]
    assert len(graphs) == 1
    monkeypatch.setattr("algorithms.core.lifting.kept._kinds", OrderedDict())
    monkeypatch.setattr("algorithms.core.lifting.stack.any_length", lambda batch: False)
    for config, (metrics, state) in zip(configs, found, strict=True):
        expected, own = lone(config, 7, 2)
        for mine, theirs in zip(metrics, expected, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-6)
        for name, array in own.arrays.items():
            assert state.arrays[name] == pytest.approx(array, rel=1e-4, abs=1e-6), name
