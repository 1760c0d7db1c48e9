"""Shortcuts give what the operations they stand for give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms.core.lifting import shortcuts
from algorithms.core.lifting.shortcuts import COMPILED, TRACED

ROWS, BATCH = 3, 5


def head(logits: Tensor, actions: Tensor) -> Tensor:
    """What a loss does with the logits `[B, A]` of an agent."""
    logp = torch.log_softmax(logits, -1)
    chosen = logp.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return (chosen * torch.arange(len(chosen)) + 0.1 * entropy).sum()


def operations(function: Callable[..., Any], rules: Any, *args: Tensor) -> tuple[Any, set[str]]:
    graph = make_fx(function, rules)(*args)
    return graph(*args), {str(n.target) for n in graph.graph.nodes if n.op == "call_function"}


@pytest.mark.parametrize("actions", [1, 2, 3, 8])
def test_a_head_of_few_actions_is_computed_by_columns_with_the_same_gradient(actions: int) -> None:
    generator = torch.Generator().manual_seed(actions)
    logits = 5 * torch.randn(ROWS, BATCH, actions, generator=generator)
    taken = torch.randint(actions, (ROWS, BATCH), generator=generator)
    wanted = vmap(grad(head))(logits, taken)
    found, used = operations(vmap(grad(head)), COMPILED, logits, taken)
    torch.testing.assert_close(found, wanted)
    assert not {name for name in used if "softmax" in name or "gather" in name or "scatter" in name}


def test_a_wide_head_keeps_the_librarys_operations() -> None:
    logits, taken = torch.zeros(ROWS, BATCH, 9), torch.zeros(ROWS, BATCH, dtype=torch.long)
    _, used = operations(vmap(grad(head)), COMPILED, logits, taken)
    assert any("softmax" in name for name in used)


def test_a_softmax_along_another_axis_is_left_alone() -> None:
    x = torch.randn(2, 4, 3)
    found, used = operations(lambda x: torch.log_softmax(x, 1), COMPILED, x)
    torch.testing.assert_close(found, torch.log_softmax(x, 1))
    assert any("softmax" in name for name in used)


@pytest.mark.parametrize(("terms", "written_out"), [(1, True), (4, True), (5, False)])
def test_a_product_over_a_few_numbers_is_written_out(terms: int, written_out: bool) -> None:
    x, y = torch.randn(ROWS, BATCH, terms), torch.randn(ROWS, terms, 9)
    found, used = operations(torch.bmm, COMPILED, x, y)
    torch.testing.assert_close(found, x @ y)
    assert any("bmm" in name for name in used) is not written_out


def test_columns_lie_contiguous_in_memory() -> None:
    made = shortcuts.beside([torch.zeros(2, 5), torch.ones(2, 5)])
    assert made.shape == (2, 5, 2)
    assert made[..., 1].eq(1).all()
    assert made.stride() == (10, 1, 5)


def test_a_traced_tanh_is_right_to_seven_digits_everywhere() -> None:
    x = torch.cat([torch.linspace(-20, 20, 10_001), torch.tensor([-1e30, 0.0, 1e-8, 1e30])])
    found, used = operations(torch.tanh, TRACED, x)
    assert (found.double() - torch.tanh(x.double())).abs().max() < 2.5e-7
    assert not any("tanh" in name for name in used)


def test_a_traced_tanh_of_what_is_no_number_is_none() -> None:
    found, _ = operations(torch.tanh, TRACED, torch.tensor([float("nan"), float("inf")]))
    assert found[0].isnan()
    assert found[1] == 1
