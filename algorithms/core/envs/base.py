"""`PackEnvs`: the environments of a pack, K members with E sub-environments each.

Invariant: every sub-environment draws from a generator of its own, so a member's numbers depend
on its seed and its actions, never on its neighbours nor on the row it sits in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from tunerl.errors import InvalidConfig

Array = NDArray[Any]
Creator = Callable[[dict[str, Any]], Any]
"""Makes one environment from its configuration; what `register_env` takes."""

EnvState = tuple[dict[str, Array], dict[str, Any]]
"""One member's environments: arrays by name, and values that JSON can hold."""


@dataclass
class StepBatch:
    """What one step of all K x E sub-environments gave. The arrays belong to the environments.

    They are overwritten by the next `step`, `add` or `remove`: copy what must live longer.

    - `obs` ``[K, E, *obs]``: what to act on next; after an episode's end already the first
      observation of the next one (except where the next step is not `valid`).
    - `reward` float32 ``[K, E]``.
    - `terminated`, `truncated` bool ``[K, E]``. Both may be set in one step (the time limit was
      hit by the very step that ended the episode): `terminated` then decides the bootstrap.
    - `final_obs` like `obs`: the true last observation of the finished episode where terminated or
      truncated; elsewhere finite but meaningless.
    - `valid` bool ``[K, E]``: False where this step only reset the sub-environment: its action was
      ignored, its reward is 0, and it is no transition.
    - `error`: exceptions by row. Only that member failed; its arrays are undefined.
    """

    obs: Array
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_obs: Array
    valid: NDArray[np.bool_]
    error: dict[int, Exception] = field(default_factory=dict)


class PackEnvs(ABC):
    """The environments of one pack. Rows are members, in the order in which they were added."""

    single_observation_space: Space[Any]
    single_action_space: Space[Any]
    num_envs: int
    """E: sub-environments per member."""

    @abstractmethod
    def __len__(self) -> int:
        """K: the number of rows."""

    @abstractmethod
    def add(self, seed: int, state: EnvState | None = None) -> None:
        """Append a row: fresh from `seed`, or as `read` found it (then `seed` serves only a state
        that cannot be restored). Raises what the environment raises; no row is added then.
        """

    @abstractmethod
    def remove(self, row: int) -> None:
        """Drop a row; the rows after it move up by one. Raises `IndexError`."""

    @property
    @abstractmethod
    def obs(self) -> Array:
        """Current observations ``[K, E, *obs]``: what to act on. Overwritten by `step`."""

    @abstractmethod
    def step(self, actions: Array) -> StepBatch:
        """One step of every sub-environment with `actions` ``[K, E, *action]``."""

    @abstractmethod
    def read(self, row: int) -> EnvState:
        """The full state of a row, generators included: a row added from it goes on the same."""

    def infos(self, row: int, *, first: bool = False) -> list[dict[str, Any]]:
        """What the last step of a member's environments told beside, E dictionaries; `first`: what
        their last reset did. Empty ones where nothing is known."""
        return [{} for _ in range(self.num_envs)]

    def parts(self, row: int) -> list[Any]:
        """A member's environments as Gymnasium's objects, where there are such in this process."""
        return []

    def close(self) -> None:  # noqa: B027
        """Release processes and windows. The object is unusable afterwards."""


def sub_seeds(seed: int, count: int) -> list[int]:
    """Seeds of a member's sub-environments: 31 bits each, the range every backend accepts."""
    if seed < 0:
        raise InvalidConfig(f"an environment's seed must be an integer from 0, got {seed}")
    return [
        int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint32)[0]) >> 1
        for index in range(count)
    ]


def check_num_envs(num_envs: int) -> int:
    """`num_envs` if it is a count from 1; raises `InvalidConfig`."""
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise InvalidConfig(f"num_envs must be an integer from 1, got {num_envs!r}")
    return int(num_envs)


def check_row(row: int, rows: int) -> int:
    """`row` if there is one of that number (none is counted from the end); else `IndexError`."""
    if not 0 <= row < rows:
        raise IndexError(f"there is no row {row}: the pack has {rows}")
    return row


def check_size(saved: int, num_envs: int) -> None:
    """Raise `ValueError` where a state is of another number of sub-environments than a row."""
    if saved != num_envs:
        raise ValueError(f"the state holds {saved} sub-environments, a row has {num_envs}")
