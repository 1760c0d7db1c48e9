"""Gradient descent of agents with several networks and optimisers, rows of a stack at a time.

Wide networks fill a core by themselves, so they are run a row at a time, where the row lies; narrow
ones are stacked. Adam works in place on each row. Invariant: a configuration's networks are always
run by the same number of rows of one kind, so a row's numbers do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.lifting.device import HERE, Device
from algorithms.core.lifting.lift import Lifted, row_runs
from algorithms.core.lifting.optim import BETA1, BETA2, clip_by_global_norm
from algorithms.core.lifting.stack import Batch, Layout
from algorithms.core.nets.soft_nets import Nets, segments

WIDE = 1 << 22  # multiply-adds of one batch through one agent's parameters
Loss = Callable[[Nets, Batch, Batch], tuple[Tensor, Batch]]


class Descent:
    """Updates of rows of the stacked tensors `parameters`, `adam/...`, `target` by a loss.

    `loss(nets, batch, hp) -> (loss, results)` is written for one agent. `rates` names the
    hyperparameter that is the learning rate of each segment of the parameters. `followed`: the
    part that `target` follows. A gradient is clipped by the norm of its segment.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        rates: Mapping[str, str],
        followed: str,
        batch_size: int,
        compile: bool,
        kind: Any = None,
        device: Device = HERE,
    ) -> None:
        self.layout, self.network, self.loss, self.rates = Layout(network), network, loss, rates
        self.segments = segments(self.layout)
        self.followed = self.segments[followed]
        self.names = [name for name in self.layout.shapes if name.split(".")[0] == followed]
        self.lifted = Lifted(self._gradient, compile=compile, kind=kind, device=device)
        wide = self.layout.size * batch_size >= WIDE
        self.sizes = (1,) if wide else self.lifted.sizes

    def target_of(self, parameters: Tensor) -> Tensor:
        """What the target network follows, of parameters `[..., P]`."""
        return parameters[..., self.followed]

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: Sequence[int], batch: Batch, hp: Batch
    ) -> Batch:
        """One step of some rows on batches `[R, B, ...]`, in place; the results `[R, ...]`.

        `tensors` and `hp` are those of all rows.
        """
        found: list[Batch] = []
        for run, real in row_runs(range(len(rows)), self.sizes):
            own = [rows[i] for i in run]
            state = {name: _taken(tensors[name], own) for name in ("parameters", "target")}
            results = self.lifted(
                state,
                {name: _taken(value, run) for name, value in batch.items()},
                {name: _taken(value, own) for name, value in hp.items()},
            )
            gradient = results.pop("gradient")
            for i, row in enumerate(own[:real]):
                self._adam(tensors, row, gradient[i], hp)
            found.append({name: value[:real] for name, value in results.items()})
        if len(found) == 1:
            return found[0]
        return {name: torch.cat([part[name] for part in found]) for name in found[0]}

    def follow(self, tensors: Mapping[str, Tensor], rows: Sequence[int], tau: Tensor) -> None:
        """The targets of some rows go the share `tau` `[K]` of the way, in place."""
        for row in rows:
            new = self.target_of(tensors["parameters"][row])
            tensors["target"][row].lerp_(new, tau[row])

    def _gradient(self, state: Batch, batch: Batch, hp: Batch) -> Batch:
        target = {}
        views = iter(torch.split(state["target"], [self.layout.sizes[name] for name in self.names]))
        for name in self.names:
            target[name] = next(views).view(self.layout.shapes[name])

        def objective(parameters: Batch) -> tuple[Tensor, Batch]:
            return self.loss(Nets(self.network, parameters, target), batch, hp)

        parameters = self.layout.views(state["parameters"])
        gradients, results = torch.func.grad(objective, has_aux=True)(parameters)
        whole = self.layout.join(gradients)
        parts = {
            name: clip_by_global_norm(whole[where], hp["grad_clip"])
            for name, where in self.segments.items()
        }
        norms = torch.stack([norm for _, norm in parts.values()])
        return {
            **results,
            "gradient": torch.cat([part for part, _ in parts.values()]),
            "statistics": torch.cat([results["statistics"], norms]).detach(),
        }

    def _adam(self, tensors: Mapping[str, Tensor], row: int, gradient: Tensor, hp: Batch) -> None:
        tensors["adam/steps"][row] += 1
        for name, where in self.segments.items():
            torch._fused_adam_(
                [tensors["parameters"][row, where]],
                [gradient[where]],
                [tensors["adam/mean"][row, where]],
                [tensors["adam/square"][row, where]],
                [],
                [tensors["adam/steps"][row]],
                lr=float(hp[self.rates[name]][row]),
                beta1=BETA1,
                beta2=BETA2,
                weight_decay=0.0,
                eps=float(hp["adam_epsilon"][row]),
                amsgrad=False,
                maximize=False,
            )


def _taken(rows: Tensor, index: Sequence[int]) -> Tensor:
    """Some rows: a view where they lie side by side."""
    first = index[0]
    if list(index) == list(range(first, first + len(index))):
        return rows[first : first + len(index)]
    return rows[torch.tensor(index)]
