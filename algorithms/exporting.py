"""Writes an agent's network for use without TuneRL: TorchScript, or ONNX.

The graph takes what the network takes: ``obs`` float32 `[B, *shape]` of a Box, as the environment
gives it; of other spaces the flat vector `[B, D]` that `Policy.encode` makes (one-hot numbers,
parts of dictionaries side by side) before any filter. The filter is in the graph. It gives
``action_dist_inputs`` `[B, A]` and ``actions``, the likeliest ones, as the environment takes them.

With a memory it also takes ``state_in`` `[B, S]` (zeros where an episode begins; an LSTM's output
and cell side by side), and gives ``state_out``. A network that is told them takes ``prev_actions``
`[B, *action]`, as the environment takes them, and ``prev_rewards`` `[B]`; where an episode begins
there is none: one less than the first choice, NaN of a Box, and a reward of 0.
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
    outputs: tuple[str, ...] = ("action_dist_inputs", "actions")

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.network = copy.deepcopy(policy.model.network).requires_grad_(False)
        self.distribution = policy.distribution
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

    def _filtered(self, obs: Tensor) -> Tensor:
        flat = obs.flatten(1)
        if self.filtered:
            flat = ((flat - self.shift) / self.scale).clamp(-10.0, 10.0).to(torch.float32)
        return flat

    def _likeliest(self, inputs: Tensor) -> Tensor:
        action = self.distribution.mode(inputs)
        if not self.box:
            return action.reshape(-1, *self.shape) + self.start
        if self.normalize:
            action = self.low + (action + 1.0) * 0.5 * (self.high - self.low)
        if self.clip:
            action = torch.maximum(torch.minimum(action, self.high), self.low)
        return action.reshape(-1, *self.shape)

    def inputs(self, obs_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """What it takes, by name, of two observations."""
        return {"obs": torch.zeros(2, *obs_shape)}


class Plain(Exported):
    """One whose network has no memory."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.tuple_out = isinstance(self.network(torch.zeros(2, policy.size)), tuple)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network(self._filtered(obs))
        inputs = found[0] if self.tuple_out else found
        return inputs, self._likeliest(inputs)


class Remembering(Exported):
    """One whose network has a memory: a step of it."""

    outputs = ("action_dist_inputs", "actions", "state_out")

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        (initial,) = policy.get_initial_state()
        self.state_size, self.extras = len(initial), policy.extras
        self.counts = policy.action_codec.counts

    def inputs(self, obs_shape: tuple[int, ...]) -> dict[str, Tensor]:
        found = super().inputs(obs_shape) | {"state_in": torch.zeros(2, self.state_size)}
        if self.extras.action:
            dtype = torch.float32 if self.box else torch.int64
            found["prev_actions"] = torch.zeros(2, *self.shape, dtype=dtype)
        if self.extras.reward:
            found["prev_rewards"] = torch.zeros(2)
        return found

    def forward(self, obs: Tensor, state_in: Tensor, *previous: Tensor) -> tuple[Tensor, ...]:
        parts = [self._filtered(obs)]
        if self.extras.action:
            parts += self._numbers(previous[0])
        if self.extras.reward:
            parts.append(previous[-1].reshape(-1, 1))
        step: Any = self.network.step
        found = step(torch.cat(parts, -1), state_in)
        size = self.distribution.num_inputs
        inputs = found[..., :size]
        return inputs, self._likeliest(inputs), found[..., size + 1 :]

    def _numbers(self, actions: Tensor) -> list[Tensor]:
        """The last actions as the network is told them; zeros where there is none."""
        if not self.box:
            columns = (actions - self.start).reshape(-1, len(self.counts))
            return [
                (columns[:, i, None] == torch.arange(n)).to(torch.float32)
                for i, n in enumerate(self.counts)
            ]
        flat = actions.reshape(-1, len(self.low))
        if self.normalize:
            flat = (flat - self.low) / (self.high - self.low) * 2.0 - 1.0
        return [torch.where(torch.isnan(flat), 0.0, flat)]


def export(policy: Policy, export_dir: Any, onnx: int | None = None) -> str:
    """Write ``model.pt`` (TorchScript), or ``model.onnx`` with that version of ONNX's operators.

    The path of what was written, in `export_dir`, which is made. Raises `InvalidInput` for a
    version that cannot be written, or where the extra ``onnx`` is missing.
    """
    if onnx is not None and (isinstance(onnx, bool) or not OPSETS[0] <= onnx <= OPSETS[1]):
        raise InvalidInput(f"onnx={onnx!r}; give an opset from {OPSETS[0]} to {OPSETS[1]}")
    space = policy.observation_space
    shape = space.shape if isinstance(space, spaces.Box) and policy.plain else (policy.size,)
    graph = (Remembering if policy.is_recurrent() else Plain)(policy).eval()
    folder = Path(export_dir)
    folder.mkdir(parents=True, exist_ok=True)
    where = folder / ("model.pt" if onnx is None else "model.onnx")
    with _quiet():
        if onnx is None:
            traced: Any = torch.jit.trace(graph, tuple(graph.inputs(shape).values()))  # type: ignore[no-untyped-call]
            traced.save(str(where))
        else:
            _to_onnx(graph, graph.inputs(shape), where, onnx)
    return str(where)


def _to_onnx(graph: Exported, example: dict[str, Tensor], where: Path, opset: int) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        told = f"export to ONNX needs an extra: pip install tunerl[onnx] ({error})"
        raise InvalidInput(told) from error
    batch = {0: torch.export.Dim("batch")}
    sizes: dict[str, Any] = {"obs": batch}
    if isinstance(graph, Remembering):
        previous = (batch,) * (len(example) - 2)
        sizes |= {"state_in": batch} | ({"previous": previous} if previous else {})
    torch.onnx.export(
        graph,
        tuple(example.values()),
        str(where),
        input_names=list(example),
        output_names=list(graph.outputs),
        opset_version=opset,
        dynamo=True,
        external_data=False,
        dynamic_shapes=sizes,
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
