"""`Lane`: one sub-environment whose episode can be replayed, for environments without a `save`.

Invariant: an environment that draws only from its own generator, or from those of its spaces, is
in the same state after `restore` as at `read`; of any other it is found out by its observation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from algorithms.core.envs.base import Array, EnvState
from algorithms.core.envs.spaces import is_composite

MAX_REPLAY = 100_000
"""Actions kept of one episode; a longer one is not replayed but begun afresh."""

_log = logging.getLogger(__name__)


class Lane:
    """One environment, the generators' states at its episode's start, and the actions since."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self.env = env
        self._flat = is_composite(env.observation_space)
        self._seed = seed
        self._episodes = 0
        self._start: dict[str, Any] = {}
        self._actions: list[Any] = []
        self.info: dict[str, Any] = {}  # of the last step
        self.first_info: dict[str, Any] = {}  # of the last reset

    def begin(self) -> Array:
        """First observation of the very first episode, and of one that replaces a lost one."""
        seed = self._seed
        if self._episodes:
            seed = int(np.random.SeedSequence([seed, self._episodes]).generate_state(1)[0]) >> 1
        for space in (self.env.observation_space, self.env.action_space):
            space.seed(seed)
        return self._reset({"seed": seed})

    def reset(self) -> Array:
        """First observation of the next episode."""
        return self._reset({"generators": [_to_json(g.np_random) for g in self._owners()]})

    def step(self, action: Any) -> tuple[Array, float, bool, bool]:
        """Observation, reward, terminated, truncated. Raises what the environment raises."""
        if len(self._actions) <= MAX_REPLAY:
            self._actions.append(action)
        obs, reward, terminated, truncated, self.info = self.env.step(action)
        return self._array(obs), float(reward), bool(terminated), bool(truncated)

    def read(self) -> EnvState:
        """Actions of the episode so far; seed, number of episodes, and how this one began."""
        return {"actions": np.asarray(self._actions)}, {
            "seed": self._seed,
            "episodes": self._episodes,
            "start": self._start,
        }

    def restore(self, actions: Array, values: Mapping[str, Any], obs: Array) -> Array:
        """Replay; the observation reached, or that of a fresh episode where it is not `obs`."""
        self._seed = values["seed"]
        self._episodes = values["episodes"] - 1
        reached = None
        if len(actions) <= MAX_REPLAY:
            try:
                reached = self._replay(actions, values["start"])
            except Exception as error:
                _log.warning("replaying an episode raised %s: %s", type(error).__name__, error)
        if reached is not None and np.array_equal(reached.astype(obs.dtype), obs):
            return reached
        _log.warning(
            "an environment could not be brought back to where it was (it draws from something "
            "else than its np_random, keeps state between episodes, or the episode is longer "
            "than %d steps); its sub-environment begins a fresh episode",
            MAX_REPLAY,
        )
        self._episodes = values["episodes"]
        return self.begin()

    def _replay(self, actions: Array, start: Mapping[str, Any]) -> Array:
        if "seed" in start:
            for space in (self.env.observation_space, self.env.action_space):
                space.seed(start["seed"])
        else:
            for owner, saved in zip(self._owners(), start["generators"], strict=True):
                owner._np_random = _from_json(saved)
        obs = self._reset(start)
        for action in actions:
            obs, _, _, _ = self.step(action)
        return obs

    def _reset(self, start: Mapping[str, Any]) -> Array:
        self._start = dict(start)
        self._actions = []
        self._episodes += 1
        result = self.env.reset(seed=start["seed"]) if "seed" in start else self.env.reset()
        self.first_info = result[1]
        return self._array(result[0])

    def _array(self, obs: Any) -> Array:
        if self._flat:
            obs = gymnasium.spaces.flatten(self.env.observation_space, obs)
        return np.asarray(obs)

    def _owners(self) -> list[Any]:
        """All that owns a generator an episode may draw from."""
        env = self.env
        return [env.unwrapped, *_leaves(env.observation_space), *_leaves(env.action_space)]


def _leaves(space: Any) -> list[Any]:
    if isinstance(space, gymnasium.spaces.Dict):
        return [leaf for part in space.spaces.values() for leaf in _leaves(part)]
    if isinstance(space, gymnasium.spaces.Tuple):
        return [leaf for part in space.spaces for leaf in _leaves(part)]
    return [space]


def _to_json(generator: np.random.Generator) -> dict[str, Any]:
    """The state of any NumPy bit generator; its big integers as hexadecimal text."""
    encoded: dict[str, Any] = _encode(generator.bit_generator.state)
    return encoded


def _from_json(saved: Mapping[str, Any]) -> np.random.Generator:
    kind = getattr(np.random, saved["bit_generator"])
    generator = np.random.Generator(kind())
    generator.bit_generator.state = _decode(saved)
    return generator


def _encode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    return hex(value) if isinstance(value, int) else value


def _decode(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "dtype" in value:
            return np.array(value["array"], value["dtype"])
        return {key: _decode(item) for key, item in value.items()}
    return int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
