"""Faster ways through a few operations, as decompositions for `make_fx`.

Traced: a tanh by way of one exponential costs a third of the library's, and is as good to 1e-7.
Compiled: the logits of a few actions are `[K, B, A]` with a small A; a compiler runs along the last
axis, and so over two or three numbers at a time. Taken apart, each column is a run of samples.
A product that sums over a few numbers is no work for a matrix kernel: written out, it becomes part
of what is done to its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from algorithms.core.lifting.steady import STEADY

FEW = 8  # columns, at most
SHORT = 4  # terms of a sum, at most
Found = Any
"""A tensor, or `NotImplemented`: the operation stays as it is."""


def narrow(x: Tensor, dim: int) -> bool:
    """Whether `dim` is a last axis of few elements, beside others."""
    return x.dim() > 1 and dim in (-1, x.dim() - 1) and 0 < x.shape[-1] <= FEW


def beside(columns: Sequence[Tensor]) -> Tensor:
    """Columns `[...]` as `[..., A]`, each of them contiguous in memory."""
    return torch.stack(list(columns), -2).mT if columns[0].dim() else torch.stack(list(columns))


def add(columns: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, columns)


def log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Found:
    if not narrow(x, dim):
        return NotImplemented
    top = reduce(torch.maximum, x.unbind(-1))
    shifted = [column - top for column in x.unbind(-1)]
    total = add([column.exp() for column in shifted]).log()
    return beside([column - total for column in shifted])


def log_softmax_backward(grad: Tensor, out: Tensor, dim: int, dtype: torch.dtype) -> Found:
    if not narrow(out, dim):
        return NotImplemented
    columns = grad.unbind(-1)
    total = add(columns)
    return beside([g - o.exp() * total for g, o in zip(columns, out.unbind(-1), strict=True)])


def gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Found:
    """One column of each row."""
    if not narrow(x, dim) or index.shape[-1] != 1 or index.shape[:-1] != x.shape[:-1]:
        return NotImplemented
    chosen, columns = index[..., 0], list(enumerate(x.unbind(-1)))
    found = columns[-1][1]
    for number, column in columns[:-1]:
        found = torch.where(chosen == number, column, found)
    return found.unsqueeze(-1)


def scatter_add(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Found:
    """The gradient of `gather`."""
    one = index.shape[-1] == 1 and source.shape[-1] == 1
    if not narrow(x, dim) or not one or index.shape[:-1] != x.shape[:-1]:
        return NotImplemented
    chosen, addend = index[..., 0], source[..., 0]
    none = torch.zeros_like(addend)
    parts = [torch.where(chosen == number, addend, none) for number in range(x.shape[-1])]
    return beside([column + part for column, part in zip(x.unbind(-1), parts, strict=True)])


def row_sum(
    x: Tensor,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Found:
    if dtype is not None or dim is None or len(dim) != 1 or not narrow(x, dim[0]):
        return NotImplemented
    total = add(x.unbind(-1))
    return total.unsqueeze(-1) if keepdim else total


def product(x: Tensor, y: Tensor) -> Found:
    """``x @ y`` of `[K, B, A]` and `[K, A, N]`, for few A and more N."""
    if x.shape[-1] > SHORT or y.shape[-1] <= FEW:
        return NotImplemented
    return add([x[..., n : n + 1] * y[..., n : n + 1, :] for n in range(x.shape[-1])])


def tanh(x: Tensor) -> Tensor:
    """tanh x = 2 sigmoid 2x - 1."""
    return torch.sigmoid(x + x) * 2.0 - 1.0


TRACED: dict[Any, Callable[..., Any]] = STEADY | {torch.ops.aten.tanh.default: tanh}
"""For what runs as it was traced."""
COMPILED: dict[Any, Callable[..., Any]] = {
    torch.ops.aten._log_softmax.default: log_softmax,
    torch.ops.aten._log_softmax_backward_data.default: log_softmax_backward,
    torch.ops.aten.gather.default: gather,
    torch.ops.aten.scatter_add.default: scatter_add,
    torch.ops.aten.sum.dim_IntList: row_sum,
    torch.ops.aten.bmm.default: product,
}
"""For what is compiled after tracing. The compiler has a tanh of its own, and takes the last few
elements through the same function as the others: what `STEADY` adds would differ between numbers of
rows."""
