"""Connectors: what stands between an environment and the agent, as pipelines of small pieces.

Invariant: what a pipeline gives follows from the present episode alone, so an environment with
connectors is resumed like any other. (For mean-std filters there is `observation_filter`.)
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from algorithms.sampling.episode import SingleAgentEpisode
from tunerl import registry
from tunerl.errors import InvalidInput, nearest

Piece = Callable[[Any, SingleAgentEpisode], Any]
"""``piece(value, episode) -> value``; any function will do if the space stays the same."""


class Connector:
    """A piece that changes the space, or remembers. `name` is what a pipeline knows it by."""

    @property
    def name(self) -> str:
        return type(self).__name__

    def begin(self) -> None:
        """An episode begins."""

    def space(self, space: Any, action_space: Any) -> Any:
        """The space of what comes out, from that of what goes in."""
        return space

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        raise NotImplementedError


class ConnectorPipeline:
    """Pieces one after another; each has the name of its class or function."""

    def __init__(self, pieces: Sequence[Piece] = ()) -> None:
        self.pieces: list[Piece] = list(pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Iterator[Piece]:
        return iter(self.pieces)

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        for piece in self.pieces:
            value = piece(value, episode)
        return value

    def begin(self) -> None:
        """An episode begins."""
        for piece in self.pieces:
            if isinstance(piece, Connector):
                piece.begin()

    def space(self, space: Any, action_space: Any) -> Any:
        """The space of what comes out of the last piece."""
        for piece in self.pieces:
            if isinstance(piece, Connector):
                space = piece.space(space, action_space)
        return space

    def prepend(self, piece: Piece) -> None:
        self.pieces.insert(0, piece)

    def append(self, piece: Piece) -> None:
        self.pieces.append(piece)

    def insert_before(self, name_or_class: str | type, piece: Piece) -> None:
        """Put a piece before another one. Raises `InvalidInput` where that is not there."""
        self.pieces.insert(self._index(name_or_class), piece)

    def insert_after(self, name_or_class: str | type, piece: Piece) -> None:
        """Put a piece after another one. Raises `InvalidInput` where that is not there."""
        self.pieces.insert(self._index(name_or_class) + 1, piece)

    def remove(self, name_or_class: str | type) -> None:
        """Take a piece out. Raises `InvalidInput` where it is not there."""
        del self.pieces[self._index(name_or_class)]

    def _index(self, name_or_class: str | type) -> int:
        wanted = name_or_class if isinstance(name_or_class, str) else name_or_class.__name__
        names = [name_of(piece) for piece in self.pieces]
        if wanted not in names:
            raise InvalidInput(f"no piece is called {wanted!r}; {nearest(wanted, names)}")
        return names.index(wanted)


def name_of(piece: Callable[..., Any]) -> str:
    """What a pipeline knows a piece by."""
    if isinstance(piece, Connector):
        return piece.name
    return getattr(piece, "__name__", type(piece).__name__)


class FlattenObservations(Connector):
    """Any observation as one vector, as Gymnasium flattens it."""

    def space(self, space: Any, action_space: Any) -> Any:
        self._from = space
        return spaces.flatten_space(space)

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        return spaces.flatten(self._from, value)


class FrameStacking(Connector):
    """The last `num_frames` observations of a Box, along its last axis; zeros before the first."""

    def __init__(self, num_frames: int = 4) -> None:
        if num_frames < 1:
            raise InvalidInput(f"num_frames is {num_frames}; give 1 or more")
        self.num_frames = num_frames
        self._frames: deque[Any] = deque(maxlen=num_frames)

    def begin(self) -> None:
        self._frames.clear()

    def space(self, space: Any, action_space: Any) -> Any:
        if not isinstance(space, spaces.Box) or not space.shape:
            raise InvalidInput(f"frames of {space} cannot be stacked; it must be a Box with axes")
        low, high = (
            np.concatenate([bound] * self.num_frames, -1) for bound in (space.low, space.high)
        )
        return spaces.Box(np.minimum(low, 0), np.maximum(high, 0), dtype=space.dtype.type)

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        frame = np.asarray(value)
        missing = self.num_frames - 1 - len(self._frames)
        self._frames.extend([np.zeros_like(frame)] * max(0, missing))
        self._frames.append(frame)
        return np.concatenate(list(self._frames), -1)


class PrevActionsPrevRewards(Connector):
    """The observation beside the last actions and rewards (zeros at first), as a Dict of RLlib's
    keys; one-hot where actions are discrete."""

    def __init__(self, n_prev_actions: int = 1, n_prev_rewards: int = 1) -> None:
        if n_prev_actions < 1 or n_prev_rewards < 1:
            raise InvalidInput("n_prev_actions and n_prev_rewards are 1 or more")
        self.actions, self.rewards = n_prev_actions, n_prev_rewards

    def space(self, space: Any, action_space: Any) -> Any:
        self._action_space = action_space
        bound = np.inf if isinstance(action_space, spaces.Box) else 1.0
        shape = (self.actions * int(spaces.flatdim(action_space)),)
        return spaces.Dict(
            {
                "obs": space,
                "prev_n_actions": spaces.Box(-bound, bound, shape, np.float32),
                "prev_n_rewards": spaces.Box(-np.inf, np.inf, (self.rewards,), np.float32),
            }
        )

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        size = int(spaces.flatdim(self._action_space))
        actions = np.zeros((self.actions, size), np.float32)
        rewards = np.zeros(self.rewards, np.float32)
        done = min(self.actions, len(episode))
        for i, action in enumerate(episode.get_actions(slice(len(episode) - done, None))):
            actions[self.actions - done + i] = spaces.flatten(self._action_space, action)
        done = min(self.rewards, len(episode))
        if done:
            rewards[-done:] = episode.get_rewards(slice(len(episode) - done, None))
        return {"obs": value, "prev_n_actions": actions.ravel(), "prev_n_rewards": rewards}


class NormalizeAndClipActions(Connector):
    """From module to environment: [-1, 1] stretched to a Box's bounds, then clipped to them."""

    def __init__(self, *, normalize_actions: bool = True, clip_actions: bool = True) -> None:
        self.normalize, self.clip = normalize_actions, clip_actions
        self._to: Any = None

    def space(self, space: Any, action_space: Any) -> Any:
        self._to = space
        if isinstance(space, spaces.Box) and self.normalize:
            return spaces.Box(-1.0, 1.0, space.shape, space.dtype.type)
        return space

    def __call__(self, value: Any, episode: SingleAgentEpisode) -> Any:
        box = self._to
        if not isinstance(box, spaces.Box):
            return value
        if self.normalize:
            value = box.low + (np.asarray(value) + 1.0) * 0.5 * (box.high - box.low)
        if self.clip:
            value = np.clip(value, box.low, box.high)
        return np.asarray(value, box.dtype)


class ConnectedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):  # type: ignore[misc]
    """An environment whose observations and actions go through pipelines.

    Actions go from the last piece of `module_to_env` that changes their space to the first.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        env_to_module: ConnectorPipeline,
        module_to_env: ConnectorPipeline,
    ) -> None:
        super().__init__(env)
        self._in, self._out = env_to_module, module_to_env
        self.observation_space = env_to_module.space(env.observation_space, env.action_space)
        self.action_space = module_to_env.space(env.action_space, env.action_space)
        self._episode = SingleAgentEpisode("present")

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        self._episode = SingleAgentEpisode("present")
        self._episode.add_env_reset(obs, info)
        self._in.begin()
        self._out.begin()
        return self._in(obs, self._episode), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        played = self._out(action, self._episode)
        obs, reward, terminated, truncated, info = self.env.step(played)
        self._episode.add_env_step(
            obs, played, float(reward), info, terminated=terminated, truncated=truncated
        )
        return self._in(obs, self._episode), reward, terminated, truncated, info


def connected(
    env: str | Callable[[Any], Any],
    env_to_module: Callable[..., Any] | None = None,
    module_to_env: Callable[..., Any] | None = None,
) -> Callable[[Mapping[str, Any]], ConnectedEnv]:
    """A creator of `env` (a Gymnasium id, a registered name or a creator) with connectors.

    For ``environment(env=...)`` or `register_env`; the settings `env_to_module_connector` and
    `module_to_env_connector` do the same. Each of its environments gets pipelines of its own from
    what is given: functions of nothing, or of the environment, that make a piece, a list of them,
    or a pipeline.
    """

    def create(config: Mapping[str, Any]) -> ConnectedEnv:
        creator: Any = registry.environment(env) if isinstance(env, str) else env
        made = gymnasium.make(str(env), **config) if creator is None else creator(config)
        pipes = [
            _pipeline(name, make, made)
            for name, make in (("env_to_module", env_to_module), ("module_to_env", module_to_env))
        ]
        return ConnectedEnv(made, *pipes)

    label = env if isinstance(env, str) else getattr(env, "__name__", repr(env))
    create.__qualname__ = f"<connected {label}>"  # as a word it is told apart by what it does
    return create


def _pipeline(name: str, make: Callable[..., Any] | None, env: Any) -> ConnectorPipeline:
    if make is None:
        return ConnectorPipeline()
    takes = inspect.signature(make).parameters.values()
    try:
        found = make(env) if any(p.default is p.empty for p in takes) else make()
    except Exception as error:
        told = f"{name}_connector ({name_of(make)}) raised {type(error).__name__}: {error}"
        raise InvalidInput(told) from error
    if isinstance(found, ConnectorPipeline):
        return found
    pieces = list(found) if isinstance(found, list | tuple) else [found]
    for piece in pieces:
        if not callable(piece):
            told = f"{name}_connector gave {piece!r}, which is no piece: piece(value, episode)"
            raise InvalidInput(told)
    return ConnectorPipeline(pieces)
