"""`Module`: an agent's network as an `RLModule`, and as the model of RLlib's older policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.core.dists.distributions import Distribution
from algorithms.rl_module import RLModule
from tunerl.errors import InvalidInput

if TYPE_CHECKING:
    from algorithms.policy import Policy

DEFAULT_POLICY = "default_policy"
Weights = dict[str, NDArray[np.float32]]


class Module(RLModule):
    """An agent's network as an `RLModule`; `network` is the plain torch module.

    Batches hold observations as the environment gives them. Called with encoded observations
    `[B, D]` it returns ``(dist_inputs [B, A], values [B])``, or
    ``dist_inputs`` alone where the algorithm has no value of a state (DQN: the actions' values).
    """

    def __init__(self, network: nn.Module, policy: Policy) -> None:
        super().__init__(policy.observation_space, policy.action_space)
        self.network = network
        self._values: Tensor | None = None
        self._encode, self._distribution = policy.encode, policy.distribution
        self._with_extras = policy._with_extras

    @property
    def distribution(self) -> Distribution:
        return self._distribution

    def forward(self, obs: Any, *rest: Any) -> Any:  # type: ignore[override]
        """Of encoded observations and what else the network takes; of a batch with ``obs``:
        ``(dist_inputs, states)``, as models of older RLlib (then `value_function` has values)."""
        if not isinstance(obs, Mapping):
            return self.network(obs, *rest)
        given = {"state_in": {"state": rest[0][0]}} if rest and rest[0] else {}
        found = self.forward_train({**obs, **given})
        self._values = found.get("vf_preds")
        states = [found["state_out"]["state"]] if "state_out" in found else []
        return found["action_dist_inputs"], states

    def value_function(self) -> Tensor:
        """The values `[B]` of the batch it was last called with."""
        if self._values is None:
            raise InvalidInput("there are no values: call the model with {'obs': ...} first")
        return self._values

    def get_initial_state(self) -> dict[str, NDArray[np.float32]]:
        """``{"state": [S]}``, zeros; empty where there is no memory."""
        size = getattr(self.network, "state_size", 0)
        return {"state": np.zeros(size, np.float32)} if size else {}

    def unwrapped(self) -> Any:
        found = getattr(self.network, "network", self.network)  # without the mask
        return getattr(found, "module", getattr(found, "model", found))

    def outputs(self, encoded: Tensor, *noise: Tensor) -> dict[str, Tensor]:
        """``action_dist_inputs`` and, where there are values, ``vf_preds``."""
        with torch.no_grad():
            found = self.network(encoded, *noise)
        names = ("action_dist_inputs", "vf_preds")
        return dict(zip(names, found if isinstance(found, tuple) else (found,), strict=False))

    def remembered(self, encoded: Tensor, state: Tensor) -> dict[str, Any]:
        """`outputs` of a recurrent network in the states `[B, S]`, with ``state_out``."""
        step: Any = self.network.step
        found = step(encoded, state)
        size = self.distribution.num_inputs
        return {
            "action_dist_inputs": found[..., :size],
            "vf_preds": found[..., size],
            "state_out": {"state": found[..., size + 1 :]},
        }

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """``{"obs": B observations as the environment gives them}`` to `outputs`; with a memory
        also ``{"state_in": {"state": [B, S]}}``, zeros if it is not there."""
        encoded = torch.from_numpy(self._encode(batch["obs"]))
        if self.is_stateful():
            encoded = self._with_extras(
                encoded, batch.get("prev_actions"), batch.get("prev_rewards")
            )
            given = batch.get("state_in", {}).get("state")
            size = len(self.get_initial_state()["state"])
            state = torch.zeros(len(encoded), size) if given is None else torch.as_tensor(given)
            return self.remembered(encoded, state)
        found = self.network(encoded)
        names = ("action_dist_inputs", "vf_preds")
        return dict(zip(names, found if isinstance(found, tuple) else (found,), strict=False))

    def get_state(self) -> Weights:
        return weights_of(self.network)


def weights_of(network: nn.Module) -> Weights:
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}
