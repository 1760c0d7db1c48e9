"""Graphs of tensor operations: traced, and compiled by Inductor for given shapes.

Of several processes that need the same graph one compiles, the others find it on disk. A graph over
minibatches may serve every length of them: then a space that varies it compiles once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms.core.lifting.bundling import bundled
from algorithms.core.lifting.shortcuts import COMPILED, TRACED

logger = logging.getLogger(__name__)
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")  # see INDUCTOR_OPTIONS

RESHAPES = {
    torch.ops.aten.expand.default,
    torch.ops.aten.view.default,
    torch.ops.aten._unsafe_view.default,
}
# A tanh by way of one exponential costs a third of the library's and is as good to 1e-7;
# the instruction set is read from the processor, compiling probes for it takes seconds.
# Precompiled headers pay for many files; here a graph is one (see `bundling`).
INDUCTOR_OPTIONS = {
    "cpp.threads": 1,
    "cpp.use_decompose_tanh": True,
    "cpp.vec_isa_ok": True,
    "cpp_cache_precompile_headers": False,
    "size_asserts": False,  # a graph is kept by the shapes that it is called with
}
WHOLE = 32  # a graph for any length takes multiples of it: they leave no few last elements
STAND_IN = 11 * WHOLE  # the length it is traced with: none that a network has, too


def traced(
    function: Callable[..., Any],
    args: tuple[Tensor, ...],
    rules: Mapping[Any, Any] = TRACED,
    symbolic: bool = False,
) -> GraphModule:
    """The tensor operations of a function for arguments of these shapes, without the idle ones.

    `rules`: how to decompose some of them. `symbolic`: the arguments have unknown lengths.
    """
    with torch.no_grad():
        module: GraphModule = make_fx(
            function, dict(rules), tracing_mode="symbolic" if symbolic else "real"
        )(*args)
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in RESHAPES:
            before, after = node.args[0].meta["tensor_meta"], node.meta["tensor_meta"]
            if (before.shape, before.stride) == (after.shape, after.stride):
                node.replace_all_uses_with(node.args[0])
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def compiler_available() -> bool:
    """Whether this machine can compile (a C++ compiler is there)."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def compiled(function: Callable[..., Any], args: tuple[Tensor, ...]) -> Callable[..., Any]:
    """The function compiled by Inductor for these shapes; only traced where compiling fails."""
    graph = traced(function, args, COMPILED)
    try:
        fast = _compiled(graph, args, _described(args)[0])
    except Exception:
        logger.exception("compiling the update failed; it runs uncompiled")
        return graph.forward
    return fast


def _compiled(graph: GraphModule, args: Sequence[Tensor], like: list[Any]) -> Callable[..., Any]:
    """A graph compiled for arguments `like` those, and tried."""
    from torch._inductor import compile as inductor_compile

    several = isinstance(graph.graph.output_node().args[0], list | tuple)
    with _one_at_a_time(graph, like), torch.no_grad(), bundled():
        fast: Callable[..., Any] = inductor_compile(graph, like, options=dict(INDUCTOR_OPTIONS))
        if several:  # they come as they are, and Dynamo need not look away at each call
            fast = getattr(fast, "_torchdynamo_orig_callable", fast)
        fast(*args)
    return fast


def any_length(batch: Sequence[Tensor]) -> bool:
    """Whether tensors `[K, N, ...]` have one length N that a graph for any length may take."""
    lengths = {tensor.shape[1] if tensor.dim() > 1 else 0 for tensor in batch}
    return len(lengths) == 1 and min(lengths) >= WHOLE and min(lengths) % WHOLE == 0


class AnyLength:
    """A function compiled once for all lengths N of the arguments `batch`, `[K, N, ...]` each.

    An operation that insists on one length makes it serve none.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Tensor, ...], batch: slice
    ) -> None:
        self._run: Callable[..., Any] | None = None
        self._environment: Any = None
        free = range(len(args))[batch]
        try:
            like, self._environment = _described(args, free)
            graph = traced(function, tuple(like), COMPILED, symbolic=True)
            if not self._environment.replacements:  # none but those would be one length
                self._run = _compiled(graph, args, like)
        except Exception as error:
            logger.info("one graph for all lengths of minibatches is not to be had: %s", error)

    def for_length(self, length: int) -> Callable[..., Any] | None:
        """The compiled function, unless it cannot be called with batches of so many."""
        if self._run is None or self._environment.replacements:
            return None
        guards = [guard.expr for guard in self._environment.guards]
        fits = all(bool(g.subs(dict.fromkeys(g.free_symbols, length))) for g in guards)
        return self._run if fits else None


def _described(args: Sequence[Tensor], free: Sequence[int] = ()) -> tuple[list[Any], Any]:
    """The arguments' shapes without their contents, in a form that lets Inductor keep on disk, and
    find there, what it made of a graph; and what notes the conditions on them. The second axis of
    the arguments `free` has one unknown length."""
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import (
        DimDynamic,
        ShapeEnv,
        StatelessSymbolicContext,
    )

    environment = ShapeEnv()
    mode = FakeTensorMode(shape_env=environment)
    found = []
    for n, tensor in enumerate(args):
        if n not in free:
            found.append(mode.from_tensor(tensor, static_shapes=True))
            continue
        sizes = [DimDynamic.STATIC] * tensor.dim()
        sizes[1] = DimDynamic.DUCK  # the same length in all
        empty = torch.empty(len(tensor), STAND_IN, *tensor.shape[2:], dtype=tensor.dtype)
        context: Any = StatelessSymbolicContext(dynamic_sizes=sizes)
        source = ConstantSource(f"batch_{n}")
        found.append(mode.from_tensor(empty, symbolic_context=context, source=source))
    return found, environment


@contextlib.contextmanager
def _one_at_a_time(graph: GraphModule, args: Sequence[Tensor]) -> Iterator[None]:
    shapes = [tuple(tensor.shape) for tensor in args]
    digest = hashlib.sha256(f"{graph.code}{shapes}".encode()).hexdigest()[:16]
    path = os.path.join(tempfile.gettempdir(), f"tunerl-{os.getuid()}-{digest}.lock")
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
