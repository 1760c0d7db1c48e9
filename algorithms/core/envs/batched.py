"""`BatchedEnvs`: environments as arithmetic on arrays ``[.., K*E]``, without an object per episode.

Invariant: with equal seeds the numbers are Gymnasium's. Starts are drawn in blocks from each
sub-environment's own PCG64, in the order in which `reset` would draw them.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from algorithms.core.envs.base import (
    Array,
    EnvState,
    PackEnvs,
    StepBatch,
    check_num_envs,
    check_row,
    check_size,
    sub_seeds,
)

BLOCK = 32  # starts drawn at once from one generator
NO_LIMIT = np.iinfo(np.int32).max
NOT_FINITE = "the environment's reward is not finite: an action was NaN or infinite"
Float = NDArray[np.float64]


class BatchedEnvs(PackEnvs):
    """Buffers, starts, time limit and rows; a subclass brings the dynamics.

    `start_low`, `start_high`: the bounds of the uniform start, for all `start_size` draws or one
    each. `state_dtype`, `state_size`: what an episode's state is made of.
    """

    start_low: ClassVar[float | Float]
    start_high: ClassVar[float | Float]
    start_size: ClassVar[int]
    state_size: ClassVar[int]
    state_dtype: ClassVar[type[np.floating[Any]]] = np.float64

    def __init__(self, num_envs: int, max_episode_steps: int | None) -> None:
        self.num_envs = check_num_envs(num_envs)
        self._limit = max_episode_steps or NO_LIMIT
        self._generators: list[np.random.Generator] = []
        self._state: Array = np.zeros((self.state_size, 0), self.state_dtype)
        self._steps = np.zeros(0, np.int32)
        self._starts = np.zeros((0, BLOCK, self.start_size))
        self._cursor = np.zeros(0, np.intp)
        self._obs: Array = np.zeros((0, *self._obs_shape), np.float32)
        self._allocate()

    @abstractmethod
    def _advance(self, actions: Array) -> None:
        """Step `_state` with `actions` ``[N, *action]``; write `_reward` and `_terminated`."""

    @abstractmethod
    def _observe(self) -> None:
        """Write `_obs` ``[N, *obs]`` from `_state`."""

    @abstractmethod
    def _begin(self, index: NDArray[np.intp], draws: Float) -> None:
        """Start episodes at `index` ``[n]`` from `draws` ``[n, start_size]``: state and `_obs`."""

    def _failures(self) -> dict[int, Exception]:
        """Rows whose numbers are not finite. Discrete dynamics never have any."""
        return {}

    def _workspace(self, size: int) -> None:
        """Allocate what `_advance` computes in, for `size` = K*E sub-environments."""

    def __len__(self) -> int:
        return len(self._generators) // self.num_envs

    @property
    def obs(self) -> Array:
        return self._obs_rows

    def step(self, actions: Array) -> StepBatch:
        self._advance(actions.reshape(self._steps.size, *actions.shape[2:]))
        self._steps += 1
        np.greater_equal(self._steps, self._limit, out=self._truncated)
        self._observe()
        error = self._failures()
        np.logical_or(self._terminated, self._truncated, out=self._done)
        finished = self._done.nonzero()[0]
        if finished.size:
            self._final_obs[finished] = self._obs[finished]
            self._restart(finished)
        return replace(self._batch, error=error)

    def add(self, seed: int, state: EnvState | None = None) -> None:
        if state is not None:
            check_size(len(state[0]["steps"]), self.num_envs)
        new = slice(self._steps.size, self._steps.size + self.num_envs)
        generators = [np.random.Generator(np.random.PCG64(s)) for s in self._seeds(seed)]
        self._grow()
        self._generators += generators
        if state is None:
            self._restart(np.arange(new.start, new.stop))
            return
        arrays, _ = state
        self._state[:, new] = arrays["state"]
        self._steps[new] = arrays["steps"]
        self._obs[new] = arrays["obs"]
        for generator, words in zip(generators, arrays["generators"], strict=True):
            _set_words(generator, words)

    def read(self, row: int) -> EnvState:
        first = check_row(row, len(self)) * self.num_envs
        rows = slice(first, first + self.num_envs)
        left = (BLOCK - self._cursor[rows]) * self.start_size
        arrays: dict[str, Array] = {
            "state": self._state[:, rows].copy(),
            "steps": self._steps[rows].copy(),
            "obs": self._obs[rows].copy(),
            "generators": np.stack(
                [
                    _get_words(generator, int(ahead))
                    for generator, ahead in zip(self._generators[rows], left, strict=True)
                ]
            ),
        }
        return arrays, {}

    def remove(self, row: int) -> None:
        first = check_row(row, len(self)) * self.num_envs
        rows = slice(first, first + self.num_envs)
        del self._generators[rows]
        self._state = np.ascontiguousarray(np.delete(self._state, rows, axis=1))
        self._steps = np.delete(self._steps, rows)
        self._cursor = np.delete(self._cursor, rows)
        self._starts = np.delete(self._starts, rows, axis=0)
        self._obs = np.delete(self._obs, rows, axis=0)
        self._allocate()

    def _seeds(self, seed: int) -> list[int]:
        return sub_seeds(seed, self.num_envs)

    def _restart(self, index: NDArray[np.intp]) -> None:
        cursor = self._cursor[index]
        for i in index[cursor == BLOCK]:
            self._starts[i] = self._generators[i].uniform(
                self.start_low, self.start_high, (BLOCK, self.start_size)
            )
        cursor[cursor == BLOCK] = 0
        draws = self._starts[index, cursor]
        self._cursor[index] = cursor + 1
        self._steps[index] = 0
        self._begin(index, draws)

    def _grow(self) -> None:
        extra = self.num_envs
        self._state = np.concatenate(
            [self._state, np.zeros((self.state_size, extra), self.state_dtype)], axis=1
        )
        self._steps = np.append(self._steps, np.zeros(extra, np.int32))
        self._cursor = np.append(self._cursor, np.full(extra, BLOCK, np.intp))
        starts = np.zeros((extra, BLOCK, self.start_size))
        self._starts = np.concatenate([self._starts, starts])
        self._obs = np.concatenate([self._obs, np.zeros((extra, *self._obs_shape), np.float32)])
        self._allocate()

    @property
    def _obs_shape(self) -> tuple[int, ...]:
        return self.single_observation_space.shape or ()

    def _allocate(self) -> None:
        """The buffers that carry nothing from step to step, and their views by row."""
        size = self._steps.size
        self._reward = np.zeros(size, np.float32)
        self._terminated = np.zeros(size, np.bool_)
        self._truncated = np.zeros(size, np.bool_)
        self._done = np.zeros(size, np.bool_)
        self._final_obs = np.zeros_like(self._obs)
        count = size // self.num_envs
        self._obs_rows = self._obs.reshape(count, self.num_envs, *self._obs_shape)
        self._batch = StepBatch(
            obs=self._obs_rows,
            reward=self._reward.reshape(count, self.num_envs),
            terminated=self._terminated.reshape(count, self.num_envs),
            truncated=self._truncated.reshape(count, self.num_envs),
            final_obs=self._final_obs.reshape(self._obs_rows.shape),
            valid=np.ones((count, self.num_envs), np.bool_),
        )
        self._workspace(size)


def not_finite(reward: NDArray[np.float32]) -> dict[int, Exception]:
    """An error for each row of `reward` ``[K, E]`` that holds NaN or an infinity."""
    if np.isfinite(reward).all():
        return {}
    rows = np.flatnonzero(~np.isfinite(reward).all(axis=1))
    return {int(row): FloatingPointError(NOT_FINITE) for row in rows}


def _get_words(generator: np.random.Generator, ahead: int) -> NDArray[np.uint64]:
    """PCG64's state as it was `ahead` draws ago: ``[state high, low, increment high, low]``."""
    bits = np.random.PCG64()
    bits.state = cast(Any, generator.bit_generator.state)
    bits.advance(-ahead)
    inner = bits.state["state"]
    words = [part for word in (inner["state"], inner["inc"]) for part in divmod(word, 2**64)]
    return np.array(words, np.uint64)


def _set_words(generator: np.random.Generator, words: NDArray[np.uint64]) -> None:
    high, low, inc_high, inc_low = (int(word) for word in words)
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": inc_high << 64 | inc_low},
        "has_uint32": 0,
        "uinteger": 0,
    }
