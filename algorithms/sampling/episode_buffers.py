"""Replay buffers of episodes: single steps with n-step returns, or runs of steps, drawn from them.

Invariant: what is drawn never reaches over the end of an episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.sampling.batch import Columns, SampleBatch
from algorithms.sampling.buffers import Priorities
from algorithms.sampling.episode import SingleAgentEpisode
from algorithms.sampling.tree import mapped, stacked
from tunerl.errors import InvalidInput

Array = NDArray[Any]
Place = tuple[int, int]  # (number of the episode, step in it)


class EpisodeReplayBuffer:
    """Keeps whole episodes of at most `capacity` steps in all; the oldest go first.

    Chunks of one episode are joined as they come. `batch_size_B`, `batch_length_T`: the defaults
    of `sample`.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        *,
        batch_size_B: int = 16,  # noqa: N803
        batch_length_T: int = 1,  # noqa: N803
        seed: int | None = None,
    ) -> None:
        for name, value in (("capacity", capacity), ("batch_size_B", batch_size_B)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; give a number of 1 or more")
        self.capacity = capacity
        self.batch_size, self.batch_length = batch_size_B, batch_length_T
        self.generator = np.random.default_rng(seed)
        self.episodes: list[SingleAgentEpisode] = []
        self.first = 0  # the number of the first episode
        self.steps = self.added = self.sampled = self.evicted = 0

    def __len__(self) -> int:
        """How many steps there are."""
        return self.steps

    def get_num_episodes(self) -> int:
        return len(self.episodes)

    def get_num_timesteps(self) -> int:
        return self.steps

    def add(self, episodes: SingleAgentEpisode | Iterable[SingleAgentEpisode]) -> None:
        """Take in episodes or chunks; copies are kept."""
        chunks = [episodes] if isinstance(episodes, SingleAgentEpisode) else episodes
        for chunk in chunks:
            if len(chunk) > self.capacity:
                raise InvalidInput(
                    f"{chunk!r} has {len(chunk)} steps, more than the capacity {self.capacity}"
                )
            self.added += len(chunk)
            self.steps += len(chunk)
            self._join(SingleAgentEpisode.from_state(chunk.get_state()).to_numpy())
            while self.steps > self.capacity and len(self.episodes) > 1:
                self._evict()
            if self.steps > self.capacity:
                raise InvalidInput(f"{self.episodes[0]!r} alone exceeds the capacity")

    def _join(self, chunk: SingleAgentEpisode) -> None:
        for i in range(len(self.episodes) - 1, -1, -1):
            if self.episodes[i].id_ == chunk.id_ and self.episodes[i].t == chunk.t_started:
                number = self.first + i
                self._grown(number, len(self.episodes[i]), len(chunk))
                self.episodes[number - self.first].concat_episode(chunk)
                return
        self._grown(self.first + len(self.episodes), 0, len(chunk))
        self.episodes.append(chunk)

    def _grown(self, number: int, before: int, more: int) -> None:
        """Steps ``before : before + more`` of an episode are new."""

    def _evict(self) -> None:
        gone = self.episodes.pop(0)
        self.steps -= len(gone)
        self.evicted += len(gone)
        self.first += 1

    # -- drawing --------------------------------------------------------------------------------

    def sample(
        self,
        num_items: int | None = None,
        *,
        batch_size_B: int | None = None,  # noqa: N803
        batch_length_T: int | None = None,  # noqa: N803
        n_step: int | tuple[int, int] = 1,
        gamma: float = 0.99,
    ) -> SampleBatch:
        """Steps drawn with equal chance, as columns `[B, ...]`; or runs of them `[B, T, ...]`.

        Of a step: what was seen and done, the sum of `n_step` discounted rewards (fewer at an end),
        what was seen then, whether that was the end, and how many steps they were (`n_step`). A
        pair: drawn for each anew, both ends included. With a length T above 1: runs of T steps
        padded with zeros after an end; `loss_mask` tells which are real.
        """
        number = num_items or batch_size_B or self.batch_size
        length = batch_length_T or self.batch_length
        places = self._places(number)
        if length > 1:
            found = SampleBatch.concat_samples([self._run(place, length) for place in places])
        else:
            low, high = (n_step, n_step) if isinstance(n_step, int) else n_step
            if not 1 <= low <= high:
                raise InvalidInput(f"n_step is {n_step}; give 1 or more, or a growing pair")
            ahead = self.generator.integers(low, high + 1, size=number).tolist()
            rows = [self._step(p, n, gamma) for p, n in zip(places, ahead, strict=True)]
            found = SampleBatch({name: stacked([row[name] for row in rows]) for name in rows[0]})
        self.sampled += number * length
        return found

    def _places(self, number: int) -> list[Place]:
        lengths = np.array([len(episode) for episode in self.episodes], np.int64)
        if not lengths.sum():
            raise InvalidInput("the buffer is empty; add something first")
        drawn = self.generator.integers(int(lengths.sum()), size=number)
        ends = np.cumsum(lengths)
        which = np.searchsorted(ends, drawn, side="right")
        return [
            (self.first + int(i), int(step - (ends[i] - lengths[i])))
            for i, step in zip(which, drawn, strict=True)
        ]

    def _step(self, place: Place, ahead: int, gamma: float) -> dict[str, Any]:
        number, t = place
        episode = self.episodes[number - self.first]
        n = min(ahead, len(episode) - t)
        rewards = np.asarray(episode.get_rewards(slice(t, t + n)), np.float64)
        last = t + n == len(episode)
        return {
            Columns.OBS: episode.get_observations(t),
            Columns.ACTIONS: episode.get_actions(t),
            Columns.REWARDS: np.float32((rewards * gamma ** np.arange(n)).sum()),
            Columns.NEXT_OBS: episode.get_observations(t + n),
            Columns.TERMINATEDS: np.bool_(last and episode.is_terminated),
            Columns.TRUNCATEDS: np.bool_(last and episode.is_truncated),
            Columns.T: np.int64(episode.t_started + t),
            "n_step": np.int64(n),
        }

    def _run(self, place: Place, length: int) -> SampleBatch:
        number, t = place
        batch = self.episodes[number - self.first][t : t + length].get_sample_batch()
        missing = length - batch.count

        def padded(leaf: Array) -> Array:
            rest = np.zeros((missing, *leaf.shape[1:]), leaf.dtype)
            return np.concatenate([leaf, rest])[None]

        columns = {
            name: mapped(padded, value)
            for name, value in batch.items()
            if name not in (Columns.INFOS, Columns.EPS_ID)
        }
        return SampleBatch({**columns, Columns.LOSS_MASK: (np.arange(length) < batch.count)[None]})

    # -- state ----------------------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """Counts by RLlib's names."""
        return {
            "num_episodes_stored": len(self.episodes),
            "num_env_steps_stored": self.steps,
            "num_env_steps_added_lifetime": self.added,
            "num_env_steps_evicted_lifetime": self.evicted,
            "num_env_steps_sampled_lifetime": self.sampled,
        }

    def get_state(self) -> dict[str, Any]:
        """Plain values and arrays, for `set_state`."""
        return {
            "episodes": [episode.get_state() for episode in self.episodes],
            "counts": [self.first, self.steps, self.added, self.sampled, self.evicted],
            "generator": self.generator.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`, of a buffer with the same settings."""
        self.episodes = [SingleAgentEpisode.from_state(one) for one in state["episodes"]]
        self.first, self.steps, self.added, self.sampled, self.evicted = state["counts"]
        self.generator.bit_generator.state = state["generator"]


class PrioritizedEpisodeReplayBuffer(EpisodeReplayBuffer):
    """Steps are drawn in proportion to priority^alpha; new ones have the highest so far.

    What was drawn has the columns `weights` and `batch_indexes`; `update_priorities` takes the
    latter (without them: those of the last draw).
    """

    def __init__(self, capacity: int = 10_000, *, alpha: float = 0.6, **options: Any) -> None:
        super().__init__(capacity, **options)
        self.priorities = Priorities(alpha, capacity)
        self._free = list(range(capacity - 1, -1, -1))
        self._slot: dict[Place, int] = {}
        self._where: dict[int, Place] = {}
        self._last: Array = np.zeros(0, np.int64)

    def _grown(self, number: int, before: int, more: int) -> None:
        while more > len(self._free) and self.episodes and number != self.first:
            self._evict()
        for t in range(before, before + more):
            slot = self._free.pop()
            self._slot[number, t], self._where[slot] = slot, (number, t)
            self.priorities.put([slot], [self.priorities.highest])

    def _evict(self) -> None:
        for t in range(len(self.episodes[0])):
            slot = self._slot.pop((self.first, t))
            del self._where[slot]
            self.priorities.drop(slot)
            self._free.append(slot)
        super()._evict()

    def sample(
        self,
        num_items: int | None = None,
        *,
        beta: float = 0.4,
        **options: Any,
    ) -> SampleBatch:
        """As `EpisodeReplayBuffer.sample`; `beta`: how much of the bias the `weights` take back."""
        found = super().sample(num_items, **options)
        found["weights"] = self.priorities.weights(self._last, self.steps, beta)
        found["batch_indexes"] = self._last
        return found

    def _places(self, number: int) -> list[Place]:
        if not self.steps:
            raise InvalidInput("the buffer is empty; add something first")
        self._last = self.priorities.draw(number, self.generator)
        return [self._where[int(slot)] for slot in self._last]

    def update_priorities(
        self,
        priorities: Sequence[float] | Array,
        batch_indexes: Sequence[int] | Array | None = None,
    ) -> None:
        """New priorities of steps that were drawn; of those that are gone nothing is kept."""
        index = self._last if batch_indexes is None else np.asarray(batch_indexes, np.int64)
        there = np.array([int(slot) in self._where for slot in index], np.bool_)
        self.priorities.put(index[there], np.asarray(priorities, np.float64)[there])

    def get_state(self) -> dict[str, Any]:
        slots = [[*place, slot] for place, slot in self._slot.items()]
        own = {"slots": slots, "free": list(self._free), "priorities": self.priorities.get_state()}
        return {**super().get_state(), **own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._slot = {(number, t): slot for number, t, slot in state["slots"]}
        self._where = {slot: place for place, slot in self._slot.items()}
        self._free = list(state["free"])
        self.priorities.set_state(state["priorities"])
