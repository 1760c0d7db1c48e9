"""Acting of all members at each tick: what stays the same from tick to tick is made once.

Invariant: parameters are those of the last `follow`, or of the first call after `reset`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.lifting.lift import Lifted
from algorithms.core.lifting.stack import Batch, Layout

Array = NDArray[Any]


class Acting:
    """`act(parameters by name, obs [E, D], inputs) -> actions [E, ...]` is one agent's."""

    def __init__(
        self, layout: Layout, act: Callable[[Batch, Tensor, Batch], Tensor], kind: Any = None
    ) -> None:
        self.layout = layout
        self.lifted = Lifted(
            lambda p, obs, inputs: {"actions": act(p, obs["obs"], inputs)}, kind=kind
        )
        self.inputs: dict[str, Tensor] = {}
        self.run: Callable[..., Sequence[Tensor]] | None = None
        self.parameters = torch.zeros(0)

    def prepare(self, rows: Sequence[dict[str, Array]]) -> None:
        """What enters beside observations at the next ticks: `[T, ...]` arrays, for each row."""
        self.inputs = {
            name: _pair(torch.from_numpy(np.stack([own[name] for own in rows], 1)), 1)
            for name in rows[0]
        }

    def drop(self, row: int, rows: int) -> None:
        """One of so many rows leaves."""
        keep = [i for i in range(rows) if i != row]
        self.inputs = {name: _pair(x[:, keep], 1) for name, x in self.inputs.items()}
        self.run = None

    def reset(self) -> None:
        """Rows or parameters have changed."""
        self.run = None

    def follow(self, flat: Tensor) -> None:
        """The parameters are now `flat` `[K, P]`."""
        if self.run is not None:
            self.parameters[:] = flat

    def __call__(self, flat: Tensor, obs: NDArray[np.float32], tick: int) -> Array:
        """Actions `[K, E, ...]` of rows with parameters `flat` `[K, P]` on `obs` `[K, E, D]`."""
        rows = len(flat)
        if self.run is None:
            self._bind(flat, obs)
        assert self.run is not None
        self.seen[:rows] = obs
        if rows == 1:
            self.seen[1] = obs[0]
        inputs = (value[tick] for value in self.inputs.values())
        found: Array = self.run(*self.views, self.obs, *inputs)[0][:rows].numpy()
        return found

    def _bind(self, flat: Tensor, obs: NDArray[np.float32]) -> None:
        rows = len(flat)
        self.parameters = torch.cat([flat, flat]) if rows == 1 else flat.clone()
        views = self.layout.views(self.parameters)
        self.views = list(views.values())
        self.seen = np.zeros((max(2, rows), *obs.shape[1:]), np.float32)
        self.obs = torch.from_numpy(self.seen)
        first = {name: value[0] for name, value in self.inputs.items()}
        self.run = self.lifted.graph(views, {"obs": self.obs}, first)[0]


def _pair(rows: Tensor, axis: int) -> Tensor:
    """A lone row along `axis` beside a copy of itself; more rows as they are."""
    return torch.cat([rows, rows], axis) if rows.shape[axis] == 1 else rows
