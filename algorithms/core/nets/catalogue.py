"""`build`: the network that the model settings describe, or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import spaces
from torch import Tensor, nn

from algorithms.core.dists.distributions import Distribution
from algorithms.core.nets import own
from algorithms.core.nets.encoders import encoder
from algorithms.core.nets.heads import policy_head, value_head
from algorithms.core.nets.inputs import Inputs, Masked
from algorithms.core.nets.layers import mlp
from algorithms.core.nets.recurrent import RecurrentActorCritic
from tunerl import registry
from tunerl.errors import InvalidConfig, InvalidInput, Problem


def register_model(name: str, model: Callable[..., nn.Module]) -> None:
    """Name a custom model, called as `model(observation_size, num_outputs, **config)`; or a class
    derived from `RLModule` or `TorchModelV2`.

    Workers of this process know it too. Raises `InvalidInput` for what cannot be called.
    """
    if not callable(model):
        raise InvalidInput(f"model {name!r} is {model!r}; give a torch module's class")
    registry.share("model", name, model)


class ActorCritic(nn.Module):
    """A policy head and a value head on hidden layers of their own, or on shared ones."""

    def __init__(
        self, inputs: Inputs | int, distribution: Distribution, model: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.body, size = body(inputs, model)
        self.head = policy_head(size, distribution, model)
        self.value_body = None if model["vf_share_layers"] else body(inputs, model)[0]
        self.value_head = value_head(size, model)

    def policy(self, obs: Tensor) -> Tensor:
        return self.head(self.body(obs))  # type: ignore[no-any-return]

    def value(self, obs: Tensor) -> Tensor:
        body = self.body if self.value_body is None else self.value_body
        return self.value_head(body(obs)).squeeze(-1)  # type: ignore[no-any-return]

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        if self.value_body is not None:
            return self.policy(obs), self.value(obs)
        features = self.body(obs)
        return self.head(features), self.value_head(features).squeeze(-1)


def body(inputs: Inputs | int, model: Mapping[str, Any]) -> tuple[nn.Sequential, int]:
    """Convolutions where there are pictures, then the hidden layers; and the size of what they
    put out."""
    if isinstance(inputs, int):
        return mlp(inputs, model["fcnet_hiddens"], model["fcnet_activation"])
    encode, size = encoder(inputs.space, model, scaled=inputs.scaled)
    hidden, size = mlp(size, model["fcnet_hiddens"], model["fcnet_activation"])
    return (hidden if encode is None else nn.Sequential(encode, *hidden)), size


def build(inputs: Inputs | int, distribution: Distribution, model: Mapping[str, Any]) -> nn.Module:
    """The network that the (resolved) model settings describe; `inputs` may be a plain number.

    Raises `InvalidConfig` when a user's module does not map ``[B, inputs]`` to
    ``([B, num_inputs], [B])`` or keeps buffers, which a pack cannot hold one a member, and where
    convolutions do not fit the pictures.
    """
    custom = model["custom_model"]
    if isinstance(inputs, int):
        inputs = Inputs(spaces.Box(-float("inf"), float("inf"), (inputs,)))
    if model["use_lstm"] or model["use_gru"]:
        if custom is not None:
            raise InvalidConfig(
                Problem("model.custom_model", "use_lstm and use_gru are for networks of TuneRL's")
            )
        return RecurrentActorCritic(inputs, distribution, model)
    network: nn.Module
    if custom is None:
        network = ActorCritic(inputs, distribution, model)
    else:
        network = own.made(model, inputs, distribution.num_inputs)
        own.check(network, inputs.size, distribution.num_inputs, values=True)
    return network if inputs.mask is None else Masked(network, inputs.mask)
