"""`Policy`: what a trained agent does with an observation, apart from any training.

Invariant: it holds copies; what is done to it, or with it, changes no training, but for
`learn_on_batch` and `update_target`, which ask the agent itself to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.core.collecting.memory import Extras
from algorithms.core.dists.distributions import Distribution
from algorithms.core.envs.spaces import ActionCodec
from algorithms.core.lifting.stack import Layout
from algorithms.core.maths.running import RunningStats
from algorithms.core.packs.pack import AlgorithmPack
from algorithms.module import DEFAULT_POLICY, Module, Weights
from algorithms.rl_module import ActionDist
from tunerl.errors import Conflict, InvalidInput, NotFound
from tunerl.trainable import State


class Learns(Protocol):
    """Whose policy it is."""

    def learn_on_batch(self, samples: Any) -> dict[str, float]: ...

    def update_target(self) -> None: ...

    def weights_now(self) -> Mapping[str, Any]: ...


class Policy:
    """The agent in `state`, a member of `pack`. `generator` draws what `explore` needs.

    `distribution`: that over the member's actions, where it is not the same for all (`actor`).
    `agent`: what learns, where `learn_on_batch` is called.
    """

    def __init__(
        self,
        pack: AlgorithmPack,
        state: State,
        generator: np.random.Generator,
        distribution: Distribution | None = None,
        agent: Learns | None = None,
    ) -> None:
        self._agent = agent
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

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Change this copy, with which its algorithm acts until it trains again.

        `Algorithm.set_weights` changes the agent itself.
        """
        vector = torch.from_numpy(vector_of(self.model.network, weights))
        Layout(self.model.network).load(self.model.network, vector)

    get_state = get_weights
    set_state = set_weights

    def is_recurrent(self) -> bool:
        """Whether it carries a state from step to step."""
        return self.model.is_stateful()

    def compute_actions_from_input_dict(
        self, input_dict: Mapping[str, Any], explore: bool | None = None, timestep: Any = None
    ) -> tuple[NDArray[Any], list[Any], dict[str, NDArray[Any]]]:
        """`compute_actions` with ``obs``, ``state_in_0``, ``prev_actions``, ``prev_rewards``."""
        state = [input_dict["state_in_0"]] if "state_in_0" in input_dict else None
        previous = input_dict.get("prev_actions"), input_dict.get("prev_rewards")
        return self.compute_actions(input_dict["obs"], state, *previous, explore=bool(explore))

    def learn_on_batch(self, samples: Any) -> dict[str, float]:
        """One update on a batch of steps: of the agent, and of this copy of it; its statistics.

        See `Algorithm.learn_on_batch`. Raises `Conflict` where this is no longer the agent as it
        is, because it was trained or one of them was given other weights.
        """
        agent = self._current()
        found = agent.learn_on_batch(samples)
        self.set_weights(agent.weights_now())
        return found

    def update_target(self) -> None:
        """The agent's target network goes the share `tau` of the way to its network."""
        self._current().update_target()

    def _current(self) -> Learns:
        if self._agent is None:
            raise Conflict("this policy has no agent of its own that could learn")
        theirs, own = self._agent.weights_now(), self.get_weights()
        if not all(np.array_equal(own[name], value) for name, value in theirs.items()):
            raise Conflict(
                "this policy is a copy of an agent as it was, which has other weights now; take "
                "get_policy() anew, or give the agent these: set_weights({'default_policy': ...})"
            )
        return self._agent

    def export_model(self, export_dir: Any, onnx: int | None = None) -> str:
        """See `algorithms.exporting.export`."""
        from algorithms.exporting import export

        return export(self, export_dir, onnx)

    @property
    def action_codec(self) -> ActionCodec:
        return self._action_codec

    @property
    def extras(self) -> Extras:
        """What a network with a memory is told beside the observation."""
        return self._extras

    @property
    def size(self) -> int:
        """How many numbers an encoded observation has."""
        return int(self._obs_codec.D)

    @property
    def plain(self) -> bool:
        """Whether observations go to the network without a preprocessor of the user's."""
        return self._obs_codec.preprocessor is None

    def filter_statistics(self) -> tuple[Any, Any]:
        """Mean and deviation `[D]` that observations are normalised by, where they are."""
        if self._filter is None:
            return None, None
        mean, std = self._filter.mean[0].copy(), self._filter.std[0].copy()
        if self._filter.keep is not None:
            mean[self._filter.keep], std[self._filter.keep] = 0.0, 1.0
        return mean, std

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
        info_batch: Any = None,
        episodes: Any = None,
        *,
        explore: bool | None = False,
        timestep: int | None = None,
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
            elif state_batches:
                raise InvalidInput("this network has no memory; leave the state out")
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
        info: Any = None,
        episode: Any = None,
        *,
        explore: bool | None = False,
        timestep: int | None = None,
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


def vector_of(network: nn.Module, weights: Mapping[str, Any]) -> NDArray[np.float32]:
    """See `with_weights`."""
    layout = Layout(network)
    given = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    wanted, got = layout.shapes, {name: value.shape for name, value in given.items()}
    wrong = [name for name in {**wanted, **got} if wanted.get(name) != got.get(name)]
    if wrong:
        told = ", ".join(f"{n}: {got.get(n, 'missing')}" for n in wrong)
        raise InvalidInput(f"these weights do not fit the network ({told}); it has {wanted}")
    vector: NDArray[np.float32] = np.concatenate([given[name].ravel() for name in wanted])
    return vector


def fresh_network(pack: AlgorithmPack) -> nn.Module:
    """A network like the pack's; torch's global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        return pack.make_network()


def with_weights(pack: AlgorithmPack, weights: Mapping[str, Any]) -> NDArray[np.float32]:
    """Parameters by name as one vector `[P]`. Raises `InvalidInput` for other names or shapes."""
    return vector_of(fresh_network(pack), weights)


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
