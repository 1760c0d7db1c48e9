"""Lifts what is written for one agent over K agents whose parameters are rows of one matrix.

A function of one agent is vectorised (`torch.func.vmap`), traced once per number of rows to a flat
graph of tensor operations, and run as it is or compiled. Invariant: a row's numbers do not depend
on the other rows nor on their number; so nothing ever runs on a single row (the kernels for one
differ): a lone agent is run beside a copy of itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from algorithms.core.lifting.compiling import (
    AnyLength,
    any_length,
    compiled,
    compiler_available,
)
from algorithms.core.lifting.device import HERE, Device
from algorithms.core.lifting.kept import graphs_of
from algorithms.core.lifting.native import quick
from algorithms.core.lifting.optim import Adam, AdamState, Optimiser, clip

Batch = dict[str, Tensor]
MEMORY = ("state_in", "resets")  # of a batch: what a recurrent network takes after the observations
TRACED_SIZES = (32, 16, 8, 4, 2)
COMPILED_SIZES = (16, 2)


class Layout:
    """Where each parameter of a network lies in the flat vector `[P]`."""

    def __init__(self, network: nn.Module) -> None:
        self.shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
        self.sizes = {name: p.numel() for name, p in network.named_parameters()}
        self.size = sum(self.sizes.values())
        self.counts = tuple(self.sizes.values())

    def flatten(self, network: nn.Module) -> Tensor:
        """The parameters of a network as one vector `[P]`."""
        return torch.cat([p.detach().reshape(-1) for p in network.parameters()])

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters by name, `[..., *shape]`, as views of `flat` `[..., P]`."""
        parts = torch.split(flat, list(self.sizes.values()), -1)
        lead = flat.shape[:-1]
        return {
            name: part.view(*lead, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `views`, for one agent."""
        return torch.cat([parts[name].reshape(-1) for name in self.shapes])

    def load(self, network: nn.Module, flat: Tensor) -> None:
        """Copy a vector `[P]` into a network's parameters."""
        with torch.no_grad():
            for p, (_, view) in zip(network.parameters(), self.views(flat).items(), strict=True):
                p.copy_(view)


def chunks(rows: int, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """`rows` cut into runs ``(start, length)`` of the given sizes; the last may need padding.

    Where the next smaller size is far smaller, one padded run beats many of that.
    """
    found, start = [], 0
    smaller = dict(itertools.pairwise(sizes))
    while start < rows:
        left = rows - start
        fits = (s for s in sizes if s <= left or (smaller.get(s, s) * 4 < s and left * 5 >= s * 2))
        size = next(fits, sizes[-1])
        found.append((start, size))
        start += size
    return found


def padded(rows: Tensor, start: int, size: int) -> Tensor:
    """Rows ``start : start + size``; the last row is repeated where there are fewer."""
    part = rows[start : start + size]
    missing = size - len(part)
    return torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part


class _Method(nn.Module):
    """A network whose forward is one of its methods."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *args: Tensor) -> Any:
        return getattr(self.network, self.method)(*args)


def caller(network: nn.Module, method: str = "forward") -> Callable[..., Any]:
    """``f(parameters by name, *args)``: `method` of the network with those parameters."""
    module = _Method(network, method)

    def call(parameters: Mapping[str, Tensor], *args: Tensor) -> Any:
        named = {f"network.{name}": value for name, value in parameters.items()}
        return functional_call(module, named, args)

    return call


class LiftedForward:
    """A network's method on the rows of a stack: ``[K, P], [K, B, D] -> [K, B, ...]``."""

    def __init__(self, layout: Layout, function: Callable[..., Tensor], kind: Any = None) -> None:
        """`kind`: see `kept.graphs_of`; it tells the function, too."""
        self.layout, self.function = layout, function
        self.graphs: dict[tuple[Any, ...], Callable[..., Tensor]] = graphs_of(kind, "forward")

    def __call__(self, flat: Tensor, *args: Tensor) -> Tensor:
        return self.bind(flat)(*args)

    def bind(self, flat: Tensor) -> Callable[..., Tensor]:
        """The method with these parameters; they must not change while it is in use."""
        lone = len(flat) == 1
        parameters = list(self.layout.views(padded(flat, 0, 2) if lone else flat).values())

        def call(*args: Tensor) -> Tensor:
            if lone:
                args = tuple(padded(tensor, 0, 2) for tensor in args)
            found = self._graph(parameters, args)(*parameters, *args)
            return found[:1] if lone else found

        return call

    def _graph(self, parameters: list[Tensor], args: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        key = tuple(tensor.shape for tensor in args)
        if key not in self.graphs:
            names = list(self.layout.shapes)

            def lifted(*every: Tensor) -> Tensor:
                named = dict(zip(names, every[: len(names)], strict=True))
                found: Tensor = vmap(self.function)(named, *every[len(names) :])
                return found

            self.graphs[key] = quick(lifted, (*parameters, *args))
        return self.graphs[key]


class LiftedUpdate:
    """One minibatch update of the rows of a stack: gradient, clip, Adam, all of it per row.

    `loss(call, batch, hyperparameters) -> (loss, statistics [S])` is written for one agent; `call`
    is its network. Needs the hyperparameter `grad_clip` and those of `rule`, which is Adam unless
    given. `parts`: the gradient is the mean of those of so many parts of the batch, cut along its
    second axis. `clip_by`: one of `optim.CLIPS`. `kind`: see `kept.graphs_of`. `device`: where it
    runs.
    """

    def __init__(
        self,
        layout: Layout,
        network: nn.Module,
        loss: Callable[..., tuple[Tensor, Tensor]],
        compile: bool,
        rule: Optimiser | None = None,
        parts: int = 1,
        clip_by: str = "global_norm",
        kind: Any = None,
        device: Device = HERE,
    ) -> None:
        self.layout, self.loss, self.device = layout, loss, device
        self.rule, self.parts, self.clip_by = rule or Adam(), parts, clip_by
        self.call = caller(network)
        self.compile = compile and compiler_available() and not device.away
        self.sizes = COMPILED_SIZES if self.compile else TRACED_SIZES
        self.graphs: dict[tuple[Any, ...], Any] = graphs_of(
            kind, "update", self.compile, device.name, device.away
        )

    def one(
        self, flat: Tensor, state: AdamState, at: Tensor, batch: Batch, hp: Batch
    ) -> tuple[Tensor, AdamState, Tensor]:
        """The update of one agent: `[P]`, its optimiser, its minibatch, its hyperparameters."""
        gradient, statistics = self.gradient(at, batch, hp)
        gradient, norm = clip(gradient, hp["grad_clip"], self.clip_by, self.layout.counts)
        flat, state = self.rule.step(flat, gradient, state, hp)
        return flat, state, torch.cat([statistics, norm.reshape(1)])

    def gradient(self, at: Tensor, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """The gradient `[P]` of one agent's loss at the parameters `at`, and the statistics."""

        def objective(parameters: dict[str, Tensor], part: Batch) -> tuple[Tensor, Tensor]:
            memory = [part[name] for name in MEMORY if name in part]
            return self.loss(lambda *obs: self.call(parameters, *obs, *memory), part, hp)

        where, found = self.layout.views(at), []
        for part in cut(batch, self.parts):
            gradients, statistics = torch.func.grad(objective, has_aux=True)(where, part)
            found.append((self.layout.join(gradients), statistics))
        if len(found) == 1:
            return found[0]
        gradient, statistics = (torch.stack(every).mean(0) for every in zip(*found, strict=True))
        return gradient, statistics

    def __call__(
        self, flat: Tensor, state: AdamState, batch: Batch, hp: Batch, at: Tensor | None = None
    ) -> tuple[Tensor, AdamState, Tensor]:
        """Everything `[K, ...]` with K one of `sizes`; returns new tensors.

        `at`: where the gradient is taken (older parameters, say); else at `flat` itself.
        """
        hp = self.rule.prepared(hp, state)
        run = self._graph(flat, state, batch, hp, at)
        extra = () if at is None else (at,)
        flat, mean, square, steps, statistics = run(
            *extra, flat, *state, *batch.values(), *hp.values()
        )
        return flat, AdamState(mean, square, steps), statistics

    def several(
        self, flat: Tensor, state: AdamState, batches: Batch, hp: Batch
    ) -> tuple[Tensor, AdamState, Tensor]:
        """One update after the other, with the batches `[M, K, ...]`; the mean of their statistics.

        What stays the same from one to the next is worked out once.
        """
        columns = [value.unbind(0) for value in batches.values()]
        run, total = None, torch.zeros(())
        ahead = self.rule.ahead(hp, state, len(columns[0]))
        for items, own in zip(zip(*columns, strict=True), ahead, strict=True):
            if run is None:
                run = self._graph(flat, state, dict(zip(batches, items, strict=True)), own)
            flat, mean, square, steps, statistics = run(flat, *state, *items, *own.values())
            state = AdamState(mean, square, steps)
            total = total + statistics
        return flat, state, total / len(columns[0])

    def _graph(
        self, flat: Tensor, state: AdamState, batch: Batch, hp: Batch, at: Tensor | None = None
    ) -> Callable[..., Any]:
        """What runs for arguments of these shapes: ``(*at, flat, *state, *batch, *hp)``."""
        extra = () if at is None else (at,)
        key = (len(flat), len(extra), *((name, *value.shape) for name, value in batch.items()))
        if key not in self.graphs:
            args = (*extra, flat, *state, *batch.values(), *hp.values())
            self.graphs[key] = self._build(len(extra), list(batch), list(hp), args)
        run: Callable[..., Any] = self.graphs[key]
        return run

    def _build(
        self, extra: int, names: list[str], hp_names: list[str], args: tuple[Tensor, ...]
    ) -> Callable[..., Any]:
        split, batch = len(names), slice(extra + 4, extra + 4 + len(names))

        def lifted(*every: Tensor) -> Any:
            flat, mean, square, steps, *rest = every[extra:]
            items = dict(zip(names, rest[:split], strict=True))
            values = dict(zip(hp_names, rest[split:], strict=True))
            at = every[0] if extra else flat
            flat, state, statistics = vmap(self.one)(
                flat, AdamState(mean, square, steps), at, items, values
            )
            return flat, *state, statistics

        if self.device.away:
            return self.device.graph(lifted, args)
        if not self.compile:
            return quick(lifted, args)
        if self.parts == 1 and any_length(args[batch]):
            shapes = zip(names, args[batch], strict=True)
            kind = ("any length", extra, len(args[0]), *((n, *x.shape[2:]) for n, x in shapes))
            if kind not in self.graphs:
                self.graphs[kind] = AnyLength(lifted, args, batch)
            run: Callable[..., Any] | None = self.graphs[kind].for_length(args[batch][0].shape[1])
            if run is not None:
                return run
        return compiled(lifted, args)


def cut(batch: Batch, parts: int) -> list[Batch]:
    """A batch in `parts` along its fields' second axis."""
    if parts == 1:
        return [batch]
    pieces = {name: value.chunk(parts, 1) for name, value in batch.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(parts)]
