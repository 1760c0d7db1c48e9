"""Writes an agent's network for use without TuneRL: TorchScript, or ONNX.

The graph takes what the network takes: ``obs`` float32 `[B, *shape]` of a Box, as the environment
gives it; of other spaces the flat vector `[B, D]` that `Policy.encode` makes (one-hot numbers,
parts of dictionaries side by side) before any filter. The filter is in the graph. It gives
``action_dist_inputs`` `[B, A]` and ``actions``, the likeliest ones, as the environment takes them.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from tunerl.errors import InvalidInput

if TYPE_CHECKING:
    from algorithms.policy import Policy

OPSETS = (18, 23)


class Exported(nn.Module):
    """An agent as one graph."""

    shift: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    start: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.network = copy.deepcopy(policy.model.network).requires_grad_(False)
        self.distribution = policy.distribution
        self.tuple_out = isinstance(self.network(torch.zeros(2, policy.size)), tuple)
        mean, std = policy.filter_statistics()
        self.filtered = mean is not None
        self.register_buffer("shift", torch.zeros(0) if mean is None else torch.from_numpy(mean))
        self.register_buffer("scale", torch.zeros(0) if std is None else torch.from_numpy(std))
        codec = policy.action_codec
        space: Any = policy.action_space
        self.shape = tuple(space.shape or ())
        self.box = isinstance(space, spaces.Box)
        self.clip, self.normalize = self.box and codec.clip, self.box and codec.normalize
        bounds = (space.low, space.high) if self.box else (np.zeros(0), np.zeros(0))
        for name, bound in zip(("low", "high"), bounds, strict=True):
            self.register_buffer(name, torch.from_numpy(np.ravel(bound).astype(np.float32)))
        start = 0 if self.box else np.asarray(space.start)
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.int64))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        flat = obs.flatten(1)
        if self.filtered:
            flat = ((flat - self.shift) / self.scale).clamp(-10.0, 10.0).to(torch.float32)
        found = self.network(flat)
        inputs = found[0] if self.tuple_out else found
        action = self.distribution.mode(inputs)
        if not self.box:
            return inputs, action.reshape(-1, *self.shape) + self.start
        if self.normalize:
            action = self.low + (action + 1.0) * 0.5 * (self.high - self.low)
        if self.clip:
            action = torch.maximum(torch.minimum(action, self.high), self.low)
        return inputs, action.reshape(-1, *self.shape)


def export(policy: Policy, export_dir: Any, onnx: int | None = None) -> str:
    """Write ``model.pt`` (TorchScript), or ``model.onnx`` with that version of ONNX's operators.

    The path of what was written, in `export_dir`, which is made. Raises `InvalidInput` for a
    recurrent network, a version that cannot be written, or where the extra ``onnx`` is missing.
    """
    if policy.is_recurrent():
        raise InvalidInput(
            "a network with a memory cannot be exported; use get_module() and its weights"
        )
    if onnx is not None and (isinstance(onnx, bool) or not OPSETS[0] <= onnx <= OPSETS[1]):
        raise InvalidInput(f"onnx={onnx!r}; give an opset from {OPSETS[0]} to {OPSETS[1]}")
    space = policy.observation_space
    shape = space.shape if isinstance(space, spaces.Box) and policy.plain else (policy.size,)
    graph, example = Exported(policy).eval(), torch.zeros(2, *shape)
    folder = Path(export_dir)
    folder.mkdir(parents=True, exist_ok=True)
    where = folder / ("model.pt" if onnx is None else "model.onnx")
    with _quiet():
        if onnx is None:
            traced: Any = torch.jit.trace(graph, example)  # type: ignore[no-untyped-call]
            traced.save(str(where))
        else:
            _to_onnx(graph, example, where, onnx)
    return str(where)


def _to_onnx(graph: Exported, example: Tensor, where: Path, opset: int) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        told = f"export to ONNX needs an extra: pip install tunerl[onnx] ({error})"
        raise InvalidInput(told) from error
    torch.onnx.export(
        graph,
        (example,),
        str(where),
        input_names=["obs"],
        output_names=["action_dist_inputs", "actions"],
        opset_version=opset,
        dynamo=True,
        external_data=False,
        dynamic_shapes={"obs": {0: torch.export.Dim("batch")}},
        verbose=False,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says about its own future."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
