"""`MemberEnvs`: a pack as a list of members, each of which steps its own E sub-environments.

Invariant: whatever a member raises, or whatever it returns that is not finite, is an error of its
own row; the other rows take their step. A failed row stays failed until it is removed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from algorithms.core.envs.base import (
    Array,
    EnvState,
    PackEnvs,
    StepBatch,
    check_num_envs,
    check_row,
)
from algorithms.core.envs.spaces import is_composite


def not_finite(what: str, array: Array) -> str:
    """Which number of an observation `[E, *obs]` or reward `[E]` is NaN or infinite."""
    env, *place = np.argwhere(~np.isfinite(array))[0].tolist()
    number = array[(env, *place)]
    where = f"element {', '.join(map(str, place))} of the {what}" if place else f"the {what}"
    return f"the environment returned {number}: {where} of sub-environment {env} is NaN or infinite"


class Member(ABC):
    """E sub-environments of one member; arrays ``[E, ...]``. `send` may return before the step."""

    obs: Array

    @abstractmethod
    def send(self, actions: Array) -> None:
        """Begin a step with `actions` ``[E, *action]``."""

    @abstractmethod
    def receive(self) -> StepBatch:
        """End the step: a `StepBatch` without the leading K. Raises what the environment raised."""

    @abstractmethod
    def read(self) -> EnvState:
        """The full state."""

    def infos(self, first: bool) -> list[dict[str, Any]]:
        """See `PackEnvs.infos`."""
        return []

    def parts(self) -> list[Any]:
        """See `PackEnvs.parts`."""
        return []

    def close(self) -> None:  # noqa: B027
        """Release what the member holds."""


class MemberEnvs(PackEnvs):
    """`PackEnvs` over members made by ``start(seed, state)``.

    Observations of Dict and Tuple spaces are delivered as flat float32 vectors, in the order of
    ``gymnasium.spaces.flatten``; floating-point observations as float32; others as they are.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        num_envs: int,
        start: Callable[[int, EnvState | None], Member],
    ) -> None:
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.num_envs = check_num_envs(num_envs)
        self._start = start
        self._members: list[Member] = []
        self._failed: dict[int, Exception] = {}
        self._allocate()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def obs(self) -> Array:
        return self._batch.obs

    def add(self, seed: int, state: EnvState | None = None) -> None:
        member = self._start(seed, state)
        if member.obs.dtype.kind == "f" and not np.isfinite(member.obs).all():
            member.close()
            raise FloatingPointError(not_finite("observation", member.obs))
        self._members.append(member)
        self._allocate()

    def remove(self, row: int) -> None:
        check_row(row, len(self))
        self._members.pop(row).close()
        self._failed = {r - (r > row): e for r, e in self._failed.items() if r != row}
        self._allocate()

    def read(self, row: int) -> EnvState:
        return self._members[check_row(row, len(self))].read()

    def step(self, actions: Array) -> StepBatch:
        for row, member in self._alive():
            self._attempt(row, member.send, actions[row])
        for row, member in self._alive():
            self._attempt(row, self._receive, row, member)
        self._find_failures()
        return replace(self._batch, error=dict(self._failed))

    def infos(self, row: int, *, first: bool = False) -> list[dict[str, Any]]:
        return self._members[row].infos(first) or super().infos(row)

    def parts(self, row: int) -> list[Any]:
        return self._members[row].parts()

    def close(self) -> None:
        for member in self._members:
            member.close()
        self._members.clear()

    def _alive(self) -> list[tuple[int, Member]]:
        return [(row, m) for row, m in enumerate(self._members) if row not in self._failed]

    def _attempt(self, row: int, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:
            self._failed[row] = error

    def _receive(self, row: int, member: Member) -> None:
        one, all_rows = member.receive(), self._batch
        all_rows.obs[row] = one.obs
        all_rows.reward[row] = one.reward
        all_rows.terminated[row] = one.terminated
        all_rows.truncated[row] = one.truncated
        all_rows.valid[row] = one.valid
        if one.terminated.any() or one.truncated.any():
            all_rows.final_obs[row] = one.final_obs

    def _find_failures(self) -> None:
        batch = self._batch
        for name, array in (("observation", batch.obs), ("reward", batch.reward)):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                for row, _ in self._alive():
                    if not np.isfinite(array[row]).all():
                        self._failed[row] = FloatingPointError(not_finite(name, array[row]))
        for row in self._failed:  # finite, so that arithmetic on the whole batch warns of nothing
            for array in (batch.obs, batch.reward, batch.terminated, batch.truncated):
                array[row] = 0

    def _allocate(self) -> None:
        lead = (len(self._members), self.num_envs)
        shape, dtype = array_of(self.single_observation_space)
        obs = np.zeros((*lead, *shape), dtype)
        for row, member in enumerate(self._members):
            if row not in self._failed:
                obs[row] = member.obs
        self._batch = StepBatch(
            obs=obs,
            reward=np.zeros(lead, np.float32),
            terminated=np.zeros(lead, np.bool_),
            truncated=np.zeros(lead, np.bool_),
            final_obs=np.zeros_like(obs),
            valid=np.ones(lead, np.bool_),
        )


def array_of(space: gymnasium.Space[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype in which observations of `space` are delivered."""
    if is_composite(space):
        return (int(gymnasium.spaces.flatdim(space)),), np.dtype(np.float32)
    dtype = np.dtype(space.dtype)
    return space.shape or (), np.dtype(np.float32) if dtype.kind == "f" else dtype


def empty_step(num_envs: int, space: gymnasium.Space[Any]) -> StepBatch:
    """The arrays ``[E, ...]`` that a member fills."""
    shape, dtype = array_of(space)
    flags: NDArray[np.bool_] = np.zeros((3, num_envs), np.bool_)
    return StepBatch(
        obs=np.zeros((num_envs, *shape), dtype),
        reward=np.zeros(num_envs, np.float32),
        terminated=flags[0],
        truncated=flags[1],
        final_obs=np.zeros((num_envs, *shape), dtype),
        valid=~flags[2],
    )
