"""Traced graphs, with PyTorch's own Python bindings in place of ``torch.ops``.

Both call the same kernels, but a binding takes its arguments apart in a third of the time, and a
graph for a few agents spends most of its own on that. Invariant: the results are the same bits.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from algorithms.core.lifting.compiling import traced

BINDINGS = (types.BuiltinFunctionType, types.MethodDescriptorType)


def binding(operation: Any) -> Callable[..., Any] | None:
    """The function of `torch` or method of a tensor that takes an operation's arguments as they
    are; None where there is none."""
    if not isinstance(operation, torch._ops.OpOverload) or operation.namespace != "aten":
        return None
    name = operation.overloadpacket.__name__
    for home in (torch, Tensor):
        found = getattr(home, name, None)
        if isinstance(found, BINDINGS):
            return found
    return None


def quick(function: Callable[..., Any], args: tuple[Tensor, ...]) -> Callable[..., Any]:
    """A function traced for arguments of these shapes, uncompiled."""
    return native(traced(function, args), args)


def native(graph: GraphModule, args: Sequence[Tensor]) -> Callable[..., Any]:
    """What does the same as `graph`, faster. It is tried on `args`: where its results are not the
    graph's to the bit, or there are none, the graph itself is what is returned."""
    fast = copy.deepcopy(graph)
    for node in fast.graph.nodes:
        if node.op == "call_function":
            node.target = binding(node.target) or node.target
    fast.recompile()
    with torch.no_grad():
        expected = graph(*args)
        try:
            found = fast(*args)
        except (TypeError, RuntimeError):
            return graph.forward
    return fast.forward if _same(found, expected) else graph.forward


def _same(a: Any, b: Any) -> bool:
    """Whether tensors, or sequences of them, are alike to the bit."""
    if not isinstance(a, Tensor):
        return len(a) == len(b) and all(map(_same, a, b))
    if (a.dtype, a.shape, a.stride()) != (b.dtype, b.shape, b.stride()):
        return False
    return torch.equal(_bytes(a), _bytes(b))


def _bytes(x: Tensor) -> Tensor:
    return x.flatten().clone(memory_format=torch.contiguous_format).view(torch.uint8)
