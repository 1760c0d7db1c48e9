"""`Policy`: what a trained agent does with an observation, apart from any training.

Invariant: it holds copies; what is done to it, or with it, changes no training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.core.distributions import Distribution
from algorithms.core.pack import AlgorithmPack
from algorithms.core.running import RunningStats
from algorithms.core.stack import Layout
from tunerl.errors import InvalidInput, NotFound
from tunerl.trainable import State

DEFAULT_POLICY = "default_policy"
Weights = dict[str, NDArray[np.float32]]


class Module(nn.Module):
    """An agent's network with RLlib's forward methods; `network` is the plain torch module.

    Called with encoded observations `[B, D]` it returns ``(dist_inputs [B, A], values [B])``, or
    ``dist_inputs`` alone where the algorithm has no value of a state (DQN: the actions' values).
    """

    def __init__(self, network: nn.Module, policy: Policy) -> None:
        super().__init__()
        self.network = network
        self._encode = policy.encode

    def forward(self, obs: Tensor, *noise: Tensor) -> Any:
        return self.network(obs, *noise)

    def outputs(self, encoded: Tensor, *noise: Tensor) -> dict[str, Tensor]:
        """``action_dist_inputs`` and, where there are values, ``vf_preds``."""
        with torch.no_grad():
            found = self(encoded, *noise)
        names = ("action_dist_inputs", "vf_preds")
        return dict(zip(names, found if isinstance(found, tuple) else (found,), strict=False))

    def forward_inference(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """``{"obs": B observations as the environment gives them}`` to `outputs`."""
        return self.outputs(torch.from_numpy(self._encode(batch["obs"])))

    forward_exploration = forward_inference

    def get_state(self) -> Weights:
        return weights_of(self.network)


class Policy:
    """The agent in `state`, a member of `pack`. `generator` draws what `explore` needs.

    `distribution`: that over the member's actions, where it is not the same for all (`actor`).
    """

    def __init__(
        self,
        pack: AlgorithmPack,
        state: State,
        generator: np.random.Generator,
        distribution: Distribution | None = None,
    ) -> None:
        self.observation_space = pack.obs_codec.space
        self.action_space = pack.action_codec.space
        self.distribution, self.generator = distribution or pack.distribution, generator
        self._weight_noise = pack.weight_noise
        self._obs_codec, self._action_codec = pack.obs_codec, pack.action_codec
        self._filter: RunningStats | None = None
        if pack.shared["observation_filter"] == "MeanStdFilter":
            self._filter = RunningStats(pack.obs_codec.D, pack.inputs.mask)
            mean, m2, count = (
                state.arrays[f"observations/{part}"] for part in ("mean", "m2", "count")
            )
            self._filter.add((mean, m2, count))
        network = fresh_network(pack)
        Layout(network).load(network, torch.from_numpy(state.arrays["parameters"].copy()))
        self.model = Module(network, self)

    def get_weights(self) -> Weights:
        """The parameters by name."""
        return self.model.get_state()

    def encode(self, observations: Any) -> NDArray[np.float32]:
        """Observations, as a batch or a sequence, as the network takes them: `[B, D]`."""
        rows = [self._encoded(observation) for observation in _each(observations)]
        batch = np.stack(rows).astype(np.float32)
        return batch if self._filter is None else self._filter.normalize_row(0, batch)

    def _encoded(self, observation: Any) -> NDArray[np.float32]:
        space = self.observation_space
        plain = not isinstance(space, spaces.Box | spaces.Dict | spaces.Tuple)
        try:
            if plain and not space.contains(np.asarray(observation, space.dtype)):
                raise ValueError("it is not in the space")
            row = self._obs_codec.encode(observation)
            if row.shape != (self._obs_codec.D,):
                raise ValueError("for many at once there is compute_actions")
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InvalidInput(f"{observation!r} is no observation of {space}: {error}") from error
        return row

    def compute_actions(
        self, obs_batch: Any, *, explore: bool = False
    ) -> tuple[NDArray[Any], list[Any], dict[str, NDArray[Any]]]:
        """Actions `[B, *action]`, no recurrent states, and what the network said.

        `obs_batch`: B observations, a sequence or an array. The likeliest actions; with `explore`
        sampled ones.
        """
        encoded = torch.from_numpy(self.encode(obs_batch))
        with torch.inference_mode():
            noise = [self.generator.standard_normal(self._weight_noise, np.float32)]
            in_use = map(torch.from_numpy, noise if explore and self._weight_noise else [])
            found = self.model.outputs(encoded, *in_use)
            inputs = found["action_dist_inputs"]
            if explore:
                dice = self.distribution.noise(self.generator, (len(encoded),))
                action = self.distribution.sample(inputs, torch.from_numpy(dice))
            else:
                action = self.distribution.mode(inputs)
            logp = self.distribution.logp(inputs, action)
        extra = {name: tensor.numpy() for name, tensor in {**found, "action_logp": logp}.items()}
        return self._action_codec.decode(action.numpy()), [], extra

    def compute_single_action(
        self, obs: Any, *, explore: bool = False
    ) -> tuple[Any, list[Any], dict[str, Any]]:
        """The action for one observation, no recurrent states, and what the network said."""
        actions, states, extra = self.compute_actions([obs], explore=explore)
        return actions[0], states, {name: value[0] for name, value in extra.items()}


def fresh_network(pack: AlgorithmPack) -> nn.Module:
    """A network like the pack's; torch's global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        return pack.make_network()


def weights_of(network: nn.Module) -> Weights:
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def with_weights(pack: AlgorithmPack, weights: Mapping[str, Any]) -> NDArray[np.float32]:
    """Parameters by name as one vector `[P]`. Raises `InvalidInput` for other names or shapes."""
    layout = Layout(fresh_network(pack))
    given = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    wanted, got = layout.shapes, {name: value.shape for name, value in given.items()}
    wrong = [name for name in {**wanted, **got} if wanted.get(name) != got.get(name)]
    if wrong:
        told = ", ".join(f"{n}: {got.get(n, 'missing')}" for n in wrong)
        raise InvalidInput(f"these weights do not fit the network ({told}); it has {wanted}")
    vector: NDArray[np.float32] = np.concatenate([given[name].ravel() for name in wanted])
    return vector


def _each(observations: Any) -> Sequence[Any]:
    if isinstance(observations, Mapping | str) or not hasattr(observations, "__len__"):
        raise InvalidInput(
            "give several observations as a list or an array with a leading axis; "
            "for one there is compute_single_action"
        )
    found: Sequence[Any] = observations
    if len(found) == 0:
        raise InvalidInput("no observation given; give at least one")
    return found


def check_policy(policy_id: str) -> None:
    """Raise `NotFound` for any but the one policy."""
    if policy_id != DEFAULT_POLICY:
        raise NotFound(f"there is no policy {policy_id!r}; the only one is {DEFAULT_POLICY!r}")
