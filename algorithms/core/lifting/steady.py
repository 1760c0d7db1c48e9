"""Arithmetic that gives an element the same bits wherever in a tensor it lies.

Two things would make a row depend on the number of rows beside it. MKL chooses its way through a
matrix product by the alignment of the memory: its strict reproducible mode does not (and costs
nothing measurable); it must be set before the process's first product. And some kernels take the
last few elements of a tensor, which do not fill a vector register, through another function.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

REGISTERS = 64  # elements: a multiple of what any kernel takes in one go
UNSTEADY = (
    "celu",
    "elu",
    "elu_backward",
    "exp2",
    "gelu",
    "gelu_backward",
    "logaddexp",
    "mish",
    "mish_backward",
    "selu",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "sinh",
    "cosh",
    "pow",
)


def steady(op: Any) -> Callable[..., Any]:
    """`op`, elementwise, on tensors brought to a length that leaves no last few elements."""

    def run(*args: Any, **options: Any) -> Any:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        shape = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
            *(tensor.shape for tensor in tensors)
        )
        number = math.prod(shape)
        whole = number % REGISTERS == 0
        if whole and all(x.shape == shape and x.is_contiguous() for x in tensors):
            return NotImplemented

        def full(arg: Any) -> Any:
            if not isinstance(arg, Tensor):
                return arg
            return pad(arg.expand(shape).reshape(-1), (0, -number % REGISTERS), value=1.0)

        return op(*map(full, args), **options)[:number].view(shape)

    return run


def _table() -> dict[Any, Callable[..., Any]]:
    found = {}
    for name in UNSTEADY:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            if "out" not in overload and "grad_input" not in overload:
                op = getattr(packet, overload)
                found[op] = steady(op)
    return found


STEADY = _table()
"""For `make_fx`: how to decompose what would otherwise not be steady."""
