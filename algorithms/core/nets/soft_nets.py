"""A policy and critics of state-action pairs, for one agent; twins are one batched product.

Invariant: the parameters come in the order policy, critics, the rest, so that each group is one
stretch of the flat vector (`segments`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core import nets
from algorithms.core.dists.distributions import Distribution
from algorithms.core.lifting.stack import Layout, caller
from algorithms.core.nets import own

Parameters = Mapping[str, Tensor]


class Stacked(nn.Module):
    """`copies` linear layers side by side: ``[copies, B, in]`` (or ``[B, in]``) to
    ``[copies, B, out]``; without `copies` a plain one. Torch's default initial weights."""

    def __init__(self, inputs: int, outputs: int, copies: int | None = None) -> None:
        super().__init__()
        lead = () if copies is None else (copies,)
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(*lead, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(*lead, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.shape[-1] == 1:  # the product with one column is slow, this is not
            return (x * self.weight.mT).sum(-1, keepdim=True) + self.bias
        return x @ self.weight + self.bias


def stacked_mlp(
    inputs: int, model: Mapping[str, Any], outputs: int, copies: int | None = None
) -> nn.Sequential:
    """Hidden layers as the model settings have them, and a linear one on top."""
    layers: list[nn.Module] = []
    activations = [model["fcnet_activation"]] * len(model["fcnet_hiddens"])
    activations += [model["head_fcnet_activation"]] * len(model["head_fcnet_hiddens"])
    sizes = [*model["fcnet_hiddens"], *model["head_fcnet_hiddens"]]
    for size, activation in zip(sizes, activations, strict=True):
        layers += [Stacked(inputs, size, copies), nets.ACTIVATIONS[activation]()]
        inputs = size
    return nn.Sequential(*layers, Stacked(inputs, outputs, copies))


class Encoded(nn.Module):
    """Layers behind the convolutions that pictures need (`encode` None: there are none)."""

    def __init__(self, encode: nn.Module | None, layers: nn.Module) -> None:
        super().__init__()
        self.encode, self.layers = encode, layers

    def features(self, obs: Tensor) -> Tensor:
        return obs if self.encode is None else self.encode(obs)

    def forward(self, obs: Tensor, *more: Tensor) -> Tensor:
        inputs = torch.cat([self.features(obs), *more], -1) if more else self.features(obs)
        found: Tensor = self.layers(inputs)
        return found


def layers(
    inputs: nets.Inputs,
    model: Mapping[str, Any],
    outputs: int,
    copies: int | None = None,
    more: int = 0,
    *,
    acts: bool = True,
) -> nn.Module:
    """From observations (and `more` numbers beside them) to `outputs`: those of the settings, or
    the user's own. `acts`: its outputs are what a distribution is made of; an `RLModule` can be
    nothing else."""
    custom = model["custom_model"] is not None
    if custom and (acts or not getattr(own.maker(model), "acts", False)):
        return own.Own(model, inputs, outputs, copies, more)
    encode, size = nets.encoder(inputs.space, model, scaled=inputs.scaled)
    return Encoded(encode, stacked_mlp(size + more, model, outputs, copies))


class SoftActorCritic(nn.Module):
    """A policy, `copies` critics, the logarithm of the temperature.

    Critics of continuous actions take them beside the observation and give one value; those of
    choices give a value for each.
    """

    def __init__(
        self,
        inputs: nets.Inputs,
        distribution: Distribution,
        model: Mapping[str, Any],
        copies: int,
    ) -> None:
        super().__init__()
        self.discrete, self.mask = distribution.discrete, inputs.mask
        self.choices = distribution.num_inputs
        self.actor = layers(inputs, model, distribution.num_inputs)
        outputs, more = distribution.num_inputs, 0
        if not self.discrete:
            outputs, more = 1, int(math.prod(distribution.action_shape))
        self.critics = layers(inputs, model, outputs, copies, more, acts=False)
        self.log_alpha = nn.Parameter(torch.zeros(1))

    def seen(self, obs: Tensor) -> Tensor:
        """The observation proper, without flags of the allowed actions."""
        return nets.without_mask(obs, self.mask)[0]

    def policy(self, obs: Tensor) -> Tensor:
        """The distribution's inputs `[B, num_inputs]`."""
        seen, allowed = nets.without_mask(obs, self.mask)
        found: Tensor = self.actor(seen)
        return found if allowed is None else nets.mask_logits(found, allowed)

    def blind(self, obs: Tensor) -> Tensor:
        """The logits `[B, n]` of choosing at random among what is allowed."""
        zeros = obs.new_zeros(*obs.shape[:-1], self.choices)
        allowed = nets.without_mask(obs, self.mask)[1]
        return zeros if allowed is None else nets.mask_logits(zeros, allowed)

    def values(self, obs: Tensor, *action: Tensor) -> Tensor:
        """`[copies, B]` of observations and actions, or `[copies, B, n]` of all choices."""
        found: Tensor = self.critics(self.seen(obs), *action)
        return found if self.discrete else found.squeeze(-1)

    forward = policy


def segments(layout: Layout) -> dict[str, slice]:
    """Where the parameters of each part of a network (its name up to the first dot) lie."""
    found: dict[str, slice] = {}
    start = 0
    for name, size in layout.sizes.items():
        part = name.split(".")[0]
        first = found[part].start if part in found else start
        if part in found and found[part].stop != start:
            raise ValueError(f"the parameters of {part} do not lie side by side")
        start += size
        found[part] = slice(first, start)
    return found


class Nets:
    """The networks of one agent with given parameters, as a loss sees them.

    `target` holds the parameters of the target critics, by the same names as theirs.
    """

    def __init__(self, network: nn.Module, parameters: Parameters, target: Parameters) -> None:
        self.network, self.parameters = network, parameters
        self._target = {**parameters, **target}
        self._fixed = {name: value.detach() for name, value in parameters.items()}
        self._policy, self._values = caller(network, "policy"), caller(network, "values")

    @property
    def log_alpha(self) -> Tensor:
        """The logarithm of the temperature `[]`."""
        return self.parameters["log_alpha"][0]

    def policy(self, obs: Tensor) -> Tensor:
        """The distribution's inputs."""
        return self._policy(self.parameters, obs)  # type: ignore[no-any-return]

    def values(self, *args: Tensor) -> Tensor:
        """What the critics say; carries gradients to them."""
        return self._values(self.parameters, *args)  # type: ignore[no-any-return]

    def fixed_values(self, *args: Tensor) -> Tensor:
        """What the critics say; carries gradients to the actions alone."""
        return self._values(self._fixed, *args)  # type: ignore[no-any-return]

    def target_values(self, *args: Tensor) -> Tensor:
        """What the target critics say."""
        return self._values(self._target, *args)  # type: ignore[no-any-return]

    def call(self, method: str, *args: Tensor) -> Tensor:
        """Another method of the network; carries gradients."""
        return caller(self.network, method)(self.parameters, *args)  # type: ignore[no-any-return]

    @staticmethod
    def chosen(values: Callable[..., Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        """What critics say `[copies, B]` of the actions that were taken."""
        obs, actions = batch["obs"], batch["actions"]
        if actions.is_floating_point():
            return values(obs, actions)
        q = values(obs)
        return q.gather(-1, actions.expand(len(q), -1).unsqueeze(-1)).squeeze(-1)
