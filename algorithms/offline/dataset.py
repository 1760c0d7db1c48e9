"""`Dataset`: transitions as columns, sorted into episodes, with the spaces they are of.

Invariant: a dataset is never changed once loaded, so those who ask for the same files share one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from algorithms.core.envs.members import array_of
from algorithms.offline import files, json_lines, minari_data, parquet
from algorithms.offline.checks import check_part, spaces_of
from algorithms.offline.columns import completed, require
from algorithms.offline.part import Part
from algorithms.offline.spaces_json import to_json
from tunerl.errors import InvalidInput

Array = NDArray[Any]

READERS = {
    "read_parquet": parquet.read,
    "read_json": json_lines.read,
    "minari": minari_data.read,
}
KEPT = 6  # datasets that stay in memory, at most, by what was asked for


@dataclass(frozen=True)
class Dataset:
    """N transitions; the rows of an episode lie together in order of time.

    `obs`, `new_obs` ``[N, *obs]``, flat vectors for Dict and Tuple spaces; `actions`
    ``[N, *action]`` as the environment takes them; `rewards`, `terminateds`, `truncateds`, `eps_id`
    ``[N]``; `action_logp` ``[N]`` where the files have it. An episode whose last row has neither
    flag was cut off there.
    """

    obs: Array
    actions: Array
    rewards: NDArray[np.float32]
    terminateds: NDArray[np.bool_]
    truncateds: NDArray[np.bool_]
    new_obs: Array
    eps_id: NDArray[np.int64]
    observation_space: Space[Any]
    action_space: Space[Any]
    action_logp: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    @classmethod
    def empty(cls, observation_space: Space[Any], action_space: Space[Any]) -> Dataset:
        """No transition at all."""
        shape, dtype = array_of(observation_space)
        obs, flags = np.zeros((0, *shape), dtype), np.zeros(0, np.bool_)
        actions = np.zeros((0, *(action_space.shape or ())), action_space.dtype)
        rewards, ids = np.zeros(0, np.float32), np.zeros(0, np.int64)
        return cls(obs, actions, rewards, flags, flags, obs, ids, observation_space, action_space)

    @property
    def last(self) -> NDArray[np.bool_]:
        """``[N]``: whether a row is the last of its episode."""
        return np.append(self.eps_id[1:] != self.eps_id[:-1], True)

    @property
    def num_episodes(self) -> int:
        return int(self.last.sum())

    def episode_returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode."""
        returns: NDArray[np.float64] = np.bincount(self.eps_id, self.rewards).astype(np.float64)
        return returns


def load(
    input_: Any,
    *,
    observation_space: Space[Any] | None = None,
    action_space: Space[Any] | None = None,
    needed: Sequence[str] = ("obs", "actions"),
    method: str = "auto",
) -> Dataset:
    """The transitions in some files, one after the other.

    `input_`: a path, a glob, a directory, a URL that fsspec knows, ``minari://<dataset id>``, or a
    list of them. Without spaces they are those that the files name, or are guessed. `needed`:
    columns without which nothing can be learned. Files that did not change are read once.
    Raises `InvalidInput`, with file and row where they are known; within `data_may_be_gone` data
    that cannot be read are empty, if both spaces are given.
    """
    try:
        return _cached(input_, observation_space, action_space, needed, method)
    except InvalidInput:
        if not _may_be_gone.get() or observation_space is None or action_space is None:
            raise
        return Dataset.empty(observation_space, action_space)


_may_be_gone: ContextVar[bool] = ContextVar("data may be gone", default=False)


@contextlib.contextmanager
def data_may_be_gone() -> Iterator[None]:
    """Within it agents whose data are gone can be made, to act and not to learn."""
    token = _may_be_gone.set(True)
    try:
        yield
    finally:
        _may_be_gone.reset(token)


def _cached(
    input_: Any,
    observation_space: Space[Any] | None,
    action_space: Space[Any] | None,
    needed: Sequence[str],
    method: str,
) -> Dataset:
    found = files.find(files.places(input_), method)
    signed = tuple(files.signature(path) for path, _ in found)

    def key(*given: Space[Any] | None) -> Any:
        told = tuple(space is not None and json.dumps(to_json(space)) for space in given)
        return tuple(found), signed, told, tuple(needed)

    asked = key(observation_space, action_space)
    if asked in _loaded:
        _loaded[asked] = _loaded.pop(asked)
        return _loaded[asked]
    dataset = _load(found, observation_space, action_space, needed)
    _loaded[asked] = dataset
    _loaded[key(dataset.observation_space, dataset.action_space)] = dataset
    while len(_loaded) > KEPT:
        del _loaded[next(iter(_loaded))]
    return dataset


_loaded: dict[Any, Dataset] = {}


def _load(
    found: Sequence[tuple[str, str]],
    observation_space: Space[Any] | None,
    action_space: Space[Any] | None,
    needed: Sequence[str],
) -> Dataset:
    parts = [READERS[method](path) for path, method in found]
    parts = [part for part in parts if part.columns and len(next(iter(part.columns.values())))]
    if not parts:
        raise InvalidInput(
            f"{found[0][0]} holds no transition" + " (nor do others)" * len(found[1:])
        )
    for part in parts:
        require(part.columns, needed, part.there, part.path)
    if observation_space is None or action_space is None:
        theirs = spaces_of(parts)
        observation_space = theirs[0] if observation_space is None else observation_space
        action_space = theirs[1] if action_space is None else action_space
    for part in parts:
        check_part(part, observation_space, action_space)
    columns = _joined(parts)
    if not len(columns["obs"]):
        raise InvalidInput(
            f"{parts[0].path} holds no step whose next observation is known; write 'new_obs'"
        )
    return Dataset(
        **{name: columns[name] for name in Dataset.__dataclass_fields__ if name in columns},
        observation_space=observation_space,
        action_space=action_space,
    )


def _joined(parts: Sequence[Part]) -> dict[str, Array]:
    """The parts' columns one after the other; episodes of different files are different ones."""
    done = [completed(part.columns) for part in parts]
    offset = 0
    for columns in done:
        columns["eps_id"] = columns["eps_id"] + offset
        offset = int(columns["eps_id"][-1]) + 1 if len(columns["eps_id"]) else offset
    common = [name for name in done[0] if all(name in other for other in done)]
    return {name: np.concatenate([columns[name] for columns in done]) for name in common}
