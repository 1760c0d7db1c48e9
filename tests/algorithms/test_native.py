"""Traced graphs called by PyTorch's bindings: the same bits, or the graph itself runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.core.lifting import native as module
from algorithms.core.lifting.compiling import traced
from algorithms.core.lifting.native import binding, native, quick


def several(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    logits = torch.bmm(x, y).clamp(min=-1.0) / 3
    picked = torch.where(logits > 0.1, logits, 2.0 * logits).sum(1, keepdim=True)
    return torch.log_softmax(logits, -1), picked.expand_as(logits), logits.argmax(-1), x[:, 1:, ::2]


def test_the_results_are_those_of_the_graph_to_the_bit() -> None:
    args = torch.randn(3, 5, 7), torch.randn(3, 7, 4)
    args[0][1, 2, 3] = torch.nan
    graph = traced(several, args)
    fast = native(graph, args)
    assert "torch.ops.aten.bmm" in graph.code
    for _ in range(2):
        for a, b in zip(fast(*args), graph(*args), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        args = torch.randn(3, 5, 7), torch.randn(3, 7, 4)


def test_bindings_are_taken_where_there_are_any() -> None:
    aten = torch.ops.aten
    assert binding(aten.bmm.default) is torch.bmm
    assert binding(aten.view.default) is Tensor.view
    assert binding(aten.tanh_backward.default) is None
    assert binding(len) is None


@pytest.mark.parametrize("wrong", [torch.sub, torch.bmm, lambda x, y: torch.add(x, y).double()])
def test_where_a_binding_does_something_else_the_graph_itself_runs(
    wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "binding", lambda operation: wrong)
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    assert quick(lambda x, y: x + y, (x, y))(x, y).tolist() == [4.0, 7.0]


def test_a_single_number_between_others_is_compared_too() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert quick(lambda x: (x[:, 1:2], x.mT[1:2]), (x,))(x)[0].tolist() == [[2.0]]
