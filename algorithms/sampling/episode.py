"""`SingleAgentEpisode`: an episode, or a chunk of one, step by step.

Invariant: there is one observation more than there are actions and rewards (none before the
reset). What lies before the chunk, as far as it is remembered, is its lookback.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from algorithms.sampling.batch import Columns, SampleBatch
from algorithms.sampling.track import Index, Track
from algorithms.sampling.tree import mapped, stacked
from tunerl.errors import InvalidInput

Span = slice
_STATE = ("id_", "t_started", "is_terminated", "is_truncated", "is_numpy")


class SingleAgentEpisode:
    """Steps ``t_started`` to ``t`` of the episode `id_`.

    `len_lookback_buffer`: how many of the given steps lie before `t_started`.
    """

    def __init__(
        self,
        id_: str | None = None,
        *,
        observations: Sequence[Any] | None = None,
        actions: Sequence[Any] | None = None,
        rewards: Sequence[Any] | None = None,
        infos: Sequence[Any] | None = None,
        extra_model_outputs: Mapping[str, Sequence[Any]] | None = None,
        terminated: bool = False,
        truncated: bool = False,
        t_started: int = 0,
        len_lookback_buffer: int = 0,
        observation_space: Any = None,
        action_space: Any = None,
    ) -> None:
        self.id_ = id_ or uuid.uuid4().hex
        self.t_started = t_started
        self.is_terminated, self.is_truncated = terminated, truncated
        self.is_numpy = False
        self.observation_space, self.action_space = observation_space, action_space
        back, seen = len_lookback_buffer, list(observations or [])
        self.observations = Track(seen, back, observation_space)
        self.actions = Track(list(actions or []), back, action_space)
        self.rewards = Track(list(rewards or []), back)
        self.infos = Track(list(infos) if infos is not None else [{} for _ in seen], back)
        self.extra_model_outputs = {
            name: Track(list(values), back) for name, values in (extra_model_outputs or {}).items()
        }
        self._check()

    # -- making it --------------------------------------------------------------------------------

    def add_env_reset(self, observation: Any, infos: Mapping[str, Any] | None = None) -> None:
        """The first observation. Raises `InvalidInput` where there is one."""
        if self.is_reset:
            raise InvalidInput("the episode has begun already; make another one")
        self.observations.append(observation)
        self.infos.append(dict(infos or {}))

    def add_env_step(
        self,
        observation: Any,
        action: Any,
        reward: float,
        infos: Mapping[str, Any] | None = None,
        *,
        terminated: bool = False,
        truncated: bool = False,
        extra_model_outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """One step: the action, and what came of it.

        Raises `InvalidInput` before the reset, after the end, and after `to_numpy`.
        """
        if not self.is_reset or self.is_done or self.is_numpy:
            why = "is over" if self.is_done else "has no first observation: add_env_reset"
            why = "is arrays already" if self.is_numpy else why
            raise InvalidInput(f"no step can be added: the episode {why}")
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(float(reward))
        self.infos.append(dict(infos or {}))
        for name, value in (extra_model_outputs or {}).items():
            self.extra_model_outputs.setdefault(name, Track([], 0)).append(value)
        self.is_terminated, self.is_truncated = bool(terminated), bool(truncated)
        if self.extra_model_outputs:
            self._check()

    def _check(self) -> None:
        steps = len(self.actions.data)
        wrong = {
            name: len(track.data)
            for name, track in {"rewards": self.rewards, **self.extra_model_outputs}.items()
            if len(track.data) != steps
        }
        if len(self.observations.data) != steps + 1 and (steps or self.is_reset):
            wrong["observations"] = len(self.observations.data)
        if len(self.infos.data) != len(self.observations.data):
            wrong["infos"] = len(self.infos.data)
        if wrong:
            raise InvalidInput(
                f"{steps} actions need as many rewards and outputs and one observation and info "
                f"more; given: {wrong}"
            )

    # -- what it is -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.actions)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        end = " terminated" if self.is_terminated else " truncated" if self.is_truncated else ""
        return f"SingleAgentEpisode({self.id_[:8]}: {self.t_started}..{self.t}{end})"

    @property
    def t(self) -> int:
        """The time step it has come to."""
        return self.t_started + len(self)

    @property
    def is_reset(self) -> bool:
        return len(self.observations.data) > 0

    @property
    def is_done(self) -> bool:
        return self.is_terminated or self.is_truncated

    def env_steps(self) -> int:
        return len(self)

    agent_steps = env_steps

    def get_return(self) -> float:
        """The sum of the chunk's rewards."""
        return float(np.sum(self.rewards.get()))

    # -- reading ----------------------------------------------------------------------------------

    def get_observations(
        self,
        indices: Index = None,
        *,
        neg_index_as_lookback: bool = False,
        fill: float | None = None,
        one_hot_discrete: bool = False,
    ) -> Any:
        """One (`indices` an int), several (a slice, a list) or all observations of the chunk.

        A negative index counts from the end; with `neg_index_as_lookback` from the chunk's start
        into its lookback. `fill` stands for what is not there; without it: `IndexError`.
        `one_hot_discrete`: of a Discrete or MultiDiscrete space, one-hot.
        """
        return self.observations.get(indices, neg_index_as_lookback, fill, one_hot_discrete)

    def get_actions(
        self,
        indices: Index = None,
        *,
        neg_index_as_lookback: bool = False,
        fill: float | None = None,
        one_hot_discrete: bool = False,
    ) -> Any:
        """Like `get_observations`."""
        return self.actions.get(indices, neg_index_as_lookback, fill, one_hot_discrete)

    def get_rewards(
        self,
        indices: Index = None,
        *,
        neg_index_as_lookback: bool = False,
        fill: float | None = None,
    ) -> Any:
        """Like `get_observations`."""
        return self.rewards.get(indices, neg_index_as_lookback, fill)

    def get_infos(
        self, indices: Index = None, *, neg_index_as_lookback: bool = False, fill: Any = None
    ) -> Any:
        """Like `get_observations`."""
        return self.infos.get(indices, neg_index_as_lookback, fill)

    def get_extra_model_outputs(
        self,
        key: str | None = None,
        indices: Index = None,
        *,
        neg_index_as_lookback: bool = False,
        fill: float | None = None,
    ) -> Any:
        """Like `get_observations`, of one output of the network, or of each by its name."""
        options = (indices, neg_index_as_lookback, fill)
        if key is None:
            return {name: track.get(*options) for name, track in self.extra_model_outputs.items()}
        if key not in self.extra_model_outputs:
            raise KeyError(f"no output {key!r}; there are {list(self.extra_model_outputs)}")
        return self.extra_model_outputs[key].get(*options)

    # -- parts ------------------------------------------------------------------------------------

    def cut(self, len_lookback_buffer: int = 0) -> SingleAgentEpisode:
        """What follows: a chunk that begins with the last observation, to be gone on with.

        It remembers so many steps before. Raises `InvalidInput` after the end.
        """
        if self.is_done:
            raise InvalidInput("the episode is over; nothing follows")
        return self._part(len(self), len(self), min(len_lookback_buffer, len(self.actions.data)))

    def slice(self, slice_: Span, *, len_lookback_buffer: int | None = None) -> SingleAgentEpisode:
        """The steps of a slice, as a chunk; it is done only if it reaches to the end.

        `len_lookback_buffer`: None: as much as this one has, if the chunk begins where it does.
        """
        start, stop, step = slice_.indices(len(self))
        if step != 1:
            raise InvalidInput(f"a chunk has every step; the slice has a stride of {step}")
        back = self.actions.lookback if len_lookback_buffer is None else len_lookback_buffer
        part = self._part(start, max(start, stop), min(back, self.actions.lookback + start))
        if stop == len(self):
            part.is_terminated, part.is_truncated = self.is_terminated, self.is_truncated
        return part

    def __getitem__(self, item: Span) -> SingleAgentEpisode:
        return self.slice(item)

    def _part(self, start: int, stop: int, back: int) -> SingleAgentEpisode:
        made = self._empty(self.t_started + start)
        for name, track in self._tracks().items():
            longer = name in ("observations", "infos")
            made._put(name, track.part(start, stop + longer, back))
        return made

    def concat_episode(self, other: SingleAgentEpisode) -> None:
        """Go on with the chunk that follows. Raises `InvalidInput` for one that does not."""
        if other.id_ != self.id_ or other.t_started != self.t or self.is_done:
            raise InvalidInput(f"{other!r} does not follow {self!r}")
        ours, theirs = self._tracks(), other._tracks()
        if len(self) and len(other) and ours.keys() != theirs.keys():
            raise InvalidInput(f"{other!r} has other outputs than {self!r}")
        for name, track in theirs.items():
            first = int(name in ("observations", "infos"))
            self._put(name, ours.get(name, Track([], 0)).joined(track, first))
        self.is_terminated, self.is_truncated = other.is_terminated, other.is_truncated
        self._check()

    def to_numpy(self) -> Self:
        """Lists become arrays `[T, ...]`, in place; no step can be added any more."""
        for track in self._tracks().values():
            if track is not self.infos:
                track.to_numpy()
        self.is_numpy = True
        return self

    def get_sample_batch(self) -> SampleBatch:
        """The chunk as columns, one row a step."""
        if not len(self):
            return SampleBatch()
        seen = _rows(self.get_observations())
        ends = np.zeros((2, len(self)), np.bool_)
        ends[:, -1] = self.is_terminated, self.is_truncated
        steps = {
            Columns.OBS: mapped(lambda leaf: leaf[:-1], seen),
            Columns.NEXT_OBS: mapped(lambda leaf: leaf[1:], seen),
            Columns.ACTIONS: _rows(self.get_actions()),
            Columns.REWARDS: np.asarray(self.get_rewards(), np.float32),
            Columns.TERMINATEDS: ends[0],
            Columns.TRUNCATEDS: ends[1],
            Columns.INFOS: list(self.get_infos(slice(1, None))),
            Columns.T: np.arange(self.t_started, self.t),
            Columns.EPS_ID: np.full(len(self), self.id_),
        }
        outputs = {name: _rows(value) for name, value in self.get_extra_model_outputs().items()}
        return SampleBatch(steps | outputs)

    # -- state ------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Plain values and arrays, for `from_state`."""
        tracks = {name: track.get_state() for name, track in self._tracks().items()}
        return {**{name: getattr(self, name) for name in _STATE}, "tracks": tracks}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> SingleAgentEpisode:
        """The inverse of `get_state`."""
        made = SingleAgentEpisode(state["id_"])
        for name in _STATE:
            setattr(made, name, state[name])
        for name, track in state["tracks"].items():
            made._put(name, Track.from_state(track))
        return made

    def _empty(self, t_started: int) -> SingleAgentEpisode:
        made = SingleAgentEpisode(
            self.id_,
            t_started=t_started,
            observation_space=self.observation_space,
            action_space=self.action_space,
        )
        made.is_numpy = self.is_numpy
        return made

    def _tracks(self) -> dict[str, Track]:
        own = ("observations", "actions", "rewards", "infos")
        extra = {f"extra/{name}": track for name, track in self.extra_model_outputs.items()}
        return {name: getattr(self, name) for name in own} | extra

    def _put(self, name: str, track: Track) -> None:
        if name.startswith("extra/"):
            self.extra_model_outputs[name.removeprefix("extra/")] = track
        else:
            setattr(self, name, track)


def _rows(values: Any) -> Any:
    return stacked(values) if isinstance(values, list) else values
