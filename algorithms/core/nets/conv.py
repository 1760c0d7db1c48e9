"""Convolutions that a pack can hold: one call of the library's kernel for each row.

A convolution vectorised over rows becomes one of many groups, whose kernels depend on their number;
a loop over the rows gives each the bits it has alone, and is as fast.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

_forward = torch.ops.aten.convolution.default
_backward = torch.ops.aten.convolution_backward.default
Pair = tuple[int, int]


def _rows(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Any]:
    """The arguments of each row."""
    columns = [
        [tensor] * size if dim is None else tensor.movedim(dim, 0).unbind(0)
        for tensor, dim in zip(tensors, dims, strict=True)
    ]
    return list(zip(*columns, strict=True))


def _gradient(g: Tensor, x: Tensor, w: Tensor, stride: Pair, padding: Pair, of: int) -> Tensor:
    wanted = [of == 0, of == 1, False]
    found = _backward(g, x, w, None, stride, padding, (1, 1), False, (0, 0), 1, wanted)
    gradient: Tensor = found[of]
    return gradient


class _Gradient(torch.autograd.Function):
    """The gradient of a convolution to its input (`of` 0) or its weight (1)."""

    @staticmethod
    def forward(g: Tensor, x: Tensor, w: Tensor, stride: Pair, padding: Pair, of: int) -> Tensor:
        return _gradient(g, x, w, stride, padding, of)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: there is no second derivative."""

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("a convolution here has no second derivative")

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Tensor, int]:
        parts = _rows(info.batch_size, dims[:3], args[:3])
        return torch.stack([_call(_Gradient, *part, *args[3:]) for part in parts]), 0


class _Convolution(torch.autograd.Function):
    """``[B, C, H, W], [O, C, h, w] -> [B, O, H', W']``."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, stride: Pair, padding: Pair) -> Tensor:
        found: Tensor = _forward(x, w, None, stride, padding, (1, 1), False, (0, 0), 1)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, w, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, w = ctx.saved_tensors
        rest = (ctx.stride, ctx.padding)
        to_x = _call(_Gradient, *gradients, x, w, *rest, 0) if ctx.needs_input_grad[0] else None
        to_w = _call(_Gradient, *gradients, x, w, *rest, 1) if ctx.needs_input_grad[1] else None
        return to_x, to_w, None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Tensor, int]:
        parts = _rows(info.batch_size, dims[:2], args[:2])
        return torch.stack([_call(_Convolution, *part, *args[2:]) for part in parts]), 0


def _call(function: Any, *args: Any) -> Tensor:
    found: Tensor = function.apply(*args)
    return found


class Convolution(nn.Module):
    """A convolution ``[B, C, H, W] -> [B, O, H', W']``; orthogonal weights of gain sqrt(2).

    `padding` "valid": none; "same": as much as makes ``H' = ceil(H / stride)``.
    """

    def __init__(
        self, inputs: int, size: Pair, outputs: int, kernel: Pair, stride: Pair, padding: str
    ) -> None:
        super().__init__()
        self.stride = stride
        short = [
            max(0, (math.ceil(n / s) - 1) * s + k - n) if padding == "same" else 0
            for n, k, s in zip(size, kernel, stride, strict=True)
        ]
        self.padding = (short[0] // 2, short[1] // 2)
        self.uneven = (short[0] % 2, short[1] % 2)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.size = tuple(
            (n + short - k) // s + 1
            for n, short, k, s in zip(size, short, kernel, stride, strict=True)
        )
        if min(self.size) >= 1:
            nn.init.orthogonal_(self.weight, math.sqrt(2))

    def forward(self, x: Tensor) -> Tensor:
        if any(self.uneven):
            x = nn.functional.pad(x, (0, self.uneven[1], 0, self.uneven[0]))
        if torch._C._functorch.peek_interpreter_stack() is None:  # one agent, as in an export
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        found = _call(_Convolution, x, self.weight, self.stride, self.padding)
        return found + self.bias[:, None, None]


def default_filters(height: int, width: int) -> list[list[Any]]:
    """``[filters, kernel, stride, padding]`` of each layer for pictures of this size.

    From 36 pixels on the network of Mnih et al. (Nature 2015); below it, as for MinAtar's 10 x 10
    (Young and Tian, arXiv 1903.03176), one layer of 16 filters.
    """
    least = min(height, width)
    if least >= 36:
        return [[32, 8, 4, "valid"], [64, 4, 2, "valid"], [64, 3, 1, "valid"]]
    if least >= 20:
        return [[32, 4, 2, "valid"], [64, 3, 1, "valid"]]
    return [[16, min(3, least), 1, "valid"]]
