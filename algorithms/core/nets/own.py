"""A user's own network: made, checked, and put where an algorithm has networks of its own.

Invariant: what is trained works for many agents at once, has no memory and no buffers; what does
not is refused before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.func import functional_call, vmap

from algorithms.core.nets.inputs import Inputs
from tunerl import registry
from tunerl.errors import InvalidConfig, Problem

PATH = "model.custom_model"


def made(model: Mapping[str, Any], inputs: Inputs, outputs: int) -> nn.Module:
    """The `custom_model` of the settings, for observations of `inputs` (without a mask)."""
    make = maker(model)
    config = model["custom_model_config"]
    network: nn.Module
    if hasattr(make, "as_network"):  # an RLModule or a TorchModelV2
        network = make.as_network(inputs, outputs, config)
    else:
        network = make(inputs.size, outputs, **config)
    return network


def maker(model: Mapping[str, Any]) -> Any:
    """What makes the network: what was given, or what is registered by that name."""
    custom = model["custom_model"]
    return registry.shared("model")[custom] if isinstance(custom, str) else custom


def check(network: nn.Module, size: int, outputs: int, *, values: bool) -> None:
    """Raise `InvalidConfig` for a network that does not map ``[B, size]`` to
    ``([B, outputs], [B])`` (or, where no `values` are wanted, to the first of these), or that keeps
    buffers, which a pack cannot hold one a member."""
    with torch.no_grad():
        found = network(torch.zeros(3, size))
    shapes = [tuple(part.shape) for part in (found if isinstance(found, tuple) else (found,))]
    wanted = [(3, outputs), (3,)]
    if shapes != wanted and (values or shapes[0] != wanted[0]):
        told = [f"({', '.join(str(list(s)) for s in every)})" for every in (shapes, wanted)]
        alone = "" if values else " nor its first part"
        message = f"for observations [3, {size}] it gave {told[0]}, not {told[1]}{alone}"
        raise InvalidConfig(Problem(PATH, message))
    if list(network.buffers()):
        raise InvalidConfig(Problem(PATH, "modules with buffers (BatchNorm, ...) cannot be packed"))


def check_lifts(network: nn.Module, size: int) -> None:
    """Raise `InvalidConfig` for a network that does not work for several agents at once."""
    both = {name: torch.stack([p.detach()] * 2) for name, p in network.named_parameters()}
    try:
        with torch.no_grad():
            vmap(lambda p, obs: functional_call(network, p, (obs,)))(both, torch.zeros(2, 3, size))
    except Exception as error:
        why = "".join(str(error).strip().splitlines()[:1])
        message = (
            f"it does not work for several agents at once, under torch.func.vmap ({why}); use no "
            "dropout, no nn.LSTM and no branch on values"
        )
        raise InvalidConfig(Problem(PATH, message)) from error


class Own(nn.Module):
    """A user's networks in the place of hidden layers: what they say of ``[B, D]`` (with further
    numbers beside it) is ``[B, outputs]``, or of `copies` of them ``[copies, B, outputs]``."""

    def __init__(
        self, model: Mapping[str, Any], inputs: Inputs, outputs: int, copies: int | None, more: int
    ) -> None:
        super().__init__()
        if more:
            bound = float("inf")
            inputs = Inputs(spaces.Box(-bound, bound, (inputs.size + more,)), inputs.action_space)
        self.lone = copies is None
        self.each = nn.ModuleList([made(model, inputs, outputs) for _ in range(copies or 1)])
        for network in self.each:
            check(network, inputs.size, outputs, values=False)

    def forward(self, obs: Tensor, *more: Tensor) -> Tensor:
        inputs = torch.cat([obs, *more], -1) if more else obs
        found = [first(network(inputs)) for network in self.each]
        return found[0] if self.lone else torch.stack(found)


def first(found: Any) -> Tensor:
    """What a network says, without the value beside it."""
    said: Tensor = found[0] if isinstance(found, tuple) else found
    return said
