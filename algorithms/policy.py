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
from algorithms.rl_module import ActionDist, RLModule
from tunerl.errors import InvalidInput, NotFound
from tunerl.trainable import State

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
        self._encode, self._distribution = policy.encode, policy.distribution
        self._with_extras = policy._with_extras

    @property
    def distribution(self) -> Distribution:
        return self._distribution

    def forward(self, obs: Any, *rest: Tensor) -> Any:  # type: ignore[override]
        """Of encoded observations and what else the network takes; of a batch: `outputs`."""
        if isinstance(obs, Mapping):
            return self.forward_train(obs)
        return self.network(obs, *rest)

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
        self._weight_noise, self._extras = pack.weight_noise, pack.extras
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

    @property
    def dist_class(self) -> type[ActionDist]:
        """``dist_class(action_dist_inputs, model)`` is a distribution over actions."""
        return self.model.get_inference_action_dist_cls()

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

    def get_initial_state(self) -> list[NDArray[np.float32]]:
        """The recurrent state at the beginning of an episode, for `compute_single_action`."""
        return list(self.model.get_initial_state().values())

    def compute_actions(
        self,
        obs_batch: Any,
        state_batches: Sequence[Any] | None = None,
        prev_action_batch: Any = None,
        prev_reward_batch: Any = None,
        *,
        explore: bool = False,
    ) -> tuple[NDArray[Any], list[Any], dict[str, NDArray[Any]]]:
        """Actions `[B, *action]`, recurrent states (none without a memory), what the network said.

        `obs_batch`: B observations, a sequence or an array. The likeliest actions; with `explore`
        sampled ones. With a memory `state_batches` is ``[states [B, S]]``, as it came from the last
        call; without it an episode begins. Previous actions and rewards `[B]` (none at an
        episode's beginning) are for a network that asks for them.
        """
        encoded = torch.from_numpy(self.encode(obs_batch))
        with torch.inference_mode():
            noise = [self.generator.standard_normal(self._weight_noise, np.float32)]
            in_use = map(torch.from_numpy, noise if explore and self._weight_noise else [])
            states: list[Any] = []
            if self.model.is_stateful():
                encoded = self._with_extras(encoded, prev_action_batch, prev_reward_batch)
                found = self.model.remembered(encoded, self._states(state_batches, len(encoded)))
                states = [found.pop("state_out")["state"].numpy()]
            else:
                found = self.model.outputs(encoded, *in_use)
            inputs = found["action_dist_inputs"]
            if explore:
                dice = self.distribution.noise(self.generator, (len(encoded),))
                action = self.distribution.sample(inputs, torch.from_numpy(dice))
            else:
                action = self.distribution.mode(inputs)
            logp = self.distribution.logp(inputs, action)
        extra = {name: tensor.numpy() for name, tensor in {**found, "action_logp": logp}.items()}
        return self._action_codec.decode(action.numpy()), states, extra

    def _states(self, given: Sequence[Any] | None, count: int) -> Tensor:
        (initial,) = self.get_initial_state()
        if given is None or len(given) == 0:
            return torch.zeros(count, len(initial))
        found = torch.as_tensor(np.asarray(given[0], np.float32))
        if tuple(found.shape) != (count, len(initial)):
            wanted = [count, len(initial)]
            raise InvalidInput(f"the recurrent state has shape {list(found.shape)}, not {wanted}")
        return found

    def _with_extras(self, encoded: Tensor, actions: Any, rewards: Any) -> Tensor:
        """Observations with the previous actions and rewards; zeros where there are none."""
        extras = self._extras
        numbers = np.zeros((len(encoded), extras.size), np.float32)
        if extras.size and actions is not None:
            before = self._action_codec.encode(np.asarray(actions))
            rewards = np.zeros(len(encoded)) if rewards is None else np.asarray(rewards)
            numbers = extras(before, rewards)
        return torch.cat([encoded, torch.from_numpy(numbers)], -1)

    def compute_single_action(
        self,
        obs: Any,
        state: Sequence[Any] | None = None,
        prev_action: Any = None,
        prev_reward: Any = None,
        *,
        explore: bool = False,
    ) -> tuple[Any, list[Any], dict[str, Any]]:
        """The action for one observation, the recurrent state after it, what the network said."""
        batched = None if not state else [np.asarray(part)[None] for part in state]
        before = None if prev_action is None else np.asarray(prev_action)[None]
        reward = None if prev_reward is None else [prev_reward]
        actions, states, extra = self.compute_actions(
            [obs], batched, before, reward, explore=explore
        )
        told = {name: value[0] for name, value in extra.items()}
        return actions[0], [part[0] for part in states], told


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
