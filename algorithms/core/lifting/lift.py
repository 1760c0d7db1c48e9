"""Lifts any function of one agent over the rows of a stack: dictionaries of tensors in, one out.

The sister of `stack.LiftedUpdate` for agents with several networks, targets or optimisers. The
function is vectorised, traced once per number of rows and shapes, and run as it is or compiled.
Invariant: a row's numbers do not depend on the other rows nor on their number; callers give a
number of rows that is one of `sizes`, never a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.func import vmap

from algorithms.core.lifting.compiling import compiled, compiler_available
from algorithms.core.lifting.device import HERE, Device
from algorithms.core.lifting.kept import graphs_of
from algorithms.core.lifting.native import quick
from algorithms.core.lifting.stack import COMPILED_SIZES, TRACED_SIZES, Batch, chunks

Groups = Sequence[Batch]
Graph = tuple[Callable[..., Sequence[Tensor]], list[str]]


class Lifted:
    """``function(*groups) -> dictionary`` of one agent, for stacks: every tensor `[K, ...]`."""

    def __init__(
        self,
        function: Callable[..., Batch],
        *,
        compile: bool = False,
        kind: Any = None,
        device: Device = HERE,
    ) -> None:
        """`kind`: see `graphs_of`. `device`: where it runs."""
        self.function, self.device = function, device
        self.compile = compile and compiler_available() and not device.away
        self.sizes = COMPILED_SIZES if self.compile else TRACED_SIZES
        self.graphs: dict[Any, Graph] = graphs_of(
            kind, "lifted", self.compile, device.name, device.away
        )

    def __call__(self, *groups: Batch) -> Batch:
        values = [value for group in groups for value in group.values()]
        graph, names = self.graph(*groups)
        return dict(zip(names, graph(*values), strict=True))

    def graph(self, *groups: Batch) -> tuple[Callable[..., Sequence[Tensor]], list[str]]:
        """What runs for tensors of these names and shapes, in this order, and the results' names.

        For loops that call it often with the same shapes.
        """
        key = tuple((name, value.shape) for group in groups for name, value in group.items())
        if key not in self.graphs:
            self.graphs[key] = self._build(groups)
        return self.graphs[key]

    def _build(self, groups: Groups) -> tuple[Callable[..., Sequence[Tensor]], list[str]]:
        keys = [list(group) for group in groups]
        names: list[str] = []

        def lifted(*values: Tensor) -> list[Tensor]:
            left = iter(values)
            given = [{name: next(left) for name in group} for group in keys]
            found: Batch = vmap(self.function)(*given)
            names[:] = found
            return list(found.values())

        args = tuple(value for group in groups for value in group.values())
        if self.device.away:
            return self.device.graph(lifted, args), names
        graph = compiled(lifted, args) if self.compile else quick(lifted, args)
        return graph, names


def row_runs(rows: Sequence[int], sizes: tuple[int, ...]) -> list[tuple[list[int], int]]:
    """The rows in runs of the given sizes: the rows of each, padded by its last one, and how many
    of them are real."""
    found = []
    for start, size in chunks(len(rows), sizes):
        real = list(rows[start : start + size])
        found.append((real + [real[-1]] * (size - len(real)), len(real)))
    return found
