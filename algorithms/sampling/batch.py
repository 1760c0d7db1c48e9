"""`SampleBatch`: columns of equal length, one row a time step.

Invariant: every column (every leaf of one, where observations are nested) has `count` rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.sampling.tree import leaves, mapped
from tunerl.errors import InvalidInput, nearest

Array = NDArray[Any]
Span = slice


class Columns:
    """The names that columns have."""

    OBS = "obs"
    NEXT_OBS = "new_obs"
    ACTIONS = "actions"
    ACTIONS_FOR_ENV = "actions_for_env"
    REWARDS = "rewards"
    TERMINATEDS = "terminateds"
    TRUNCATEDS = "truncateds"
    DONES = "dones"
    INFOS = "infos"
    T = "t"
    EPS_ID = "eps_id"
    AGENT_ID = "agent_id"
    MODULE_ID = "module_id"
    ENV_ID = "env_id"
    AGENT_INDEX = "agent_index"
    UNROLL_ID = "unroll_id"
    SEQ_LENS = "seq_lens"
    PREV_ACTIONS = "prev_actions"
    PREV_REWARDS = "prev_rewards"
    STATE_IN = "state_in"
    STATE_OUT = "state_out"
    ACTION_DIST_INPUTS = "action_dist_inputs"
    ACTION_LOGP = "action_logp"
    ACTION_PROB = "action_prob"
    VF_PREDS = "vf_preds"
    VALUES_BOOTSTRAPPED = "values_bootstrapped"
    ADVANTAGES = "advantages"
    VALUE_TARGETS = "value_targets"
    RETURNS_TO_GO = "returns_to_go"
    LOSS_MASK = "loss_mask"


class SampleBatch(dict[str, Any], Columns):
    """A dictionary of columns: arrays `[count, ...]`, or nested dictionaries and tuples of them.

    ``len(batch)`` is the number of rows. Raises `InvalidInput` for columns of different lengths.
    """

    def __init__(self, *args: Any, **columns: Any) -> None:
        super().__init__()
        self.count = 0
        for name, value in dict(*args, **columns).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        column = mapped(_array, value)
        lengths = {len(leaf) for leaf in leaves(column)}
        others = self.keys() - {name}
        if len(lengths) != 1 or (others and lengths != {self.count}):
            told = f"this batch has {self.count}" if others else "its parts must be of one length"
            raise InvalidInput(f"column {name!r} has {sorted(lengths)} rows; {told}")
        self.count = lengths.pop()
        super().__setitem__(name, column)

    def __getitem__(self, key: Any) -> Any:
        """A column by its name, or the rows of a slice as a batch."""
        if isinstance(key, slice):
            return self._rows(key)
        if key not in self.keys():
            raise KeyError(f"there is no column {key!r}; {nearest(str(key), list(self.keys()))}")
        return super().__getitem__(key)

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0

    def __repr__(self) -> str:
        return f"SampleBatch({self.count}: {list(self.keys())})"

    def env_steps(self) -> int:
        """How many steps of an environment it holds: one a row."""
        return self.count

    agent_steps = env_steps

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, one dictionary each."""
        for i in range(self.count):
            yield {name: mapped(lambda leaf, i=i: leaf[i], value) for name, value in self.items()}

    def columns(self, keys: Iterable[str]) -> list[Any]:
        """Several columns at once."""
        return [self[key] for key in keys]

    def copy(self, shallow: bool = False) -> SampleBatch:
        """A batch with copies of the columns; `shallow`: with the very columns."""
        return SampleBatch(
            {
                name: value if shallow else mapped(lambda leaf: leaf.copy(), value)
                for name, value in self.items()
            }
        )

    def size_bytes(self) -> int:
        """The memory of all columns."""
        return sum(leaf.nbytes for value in self.values() for leaf in leaves(value))

    def shuffle(self, generator: np.random.Generator | None = None) -> SampleBatch:
        """The rows in a random order, in place; a batch of sequences is refused (`InvalidInput`).

        `generator`: what draws the order; a fresh one by default.
        """
        if self.SEQ_LENS in self.keys():
            raise InvalidInput("the rows of sequences (seq_lens) cannot be shuffled one by one")
        order = (generator or np.random.default_rng()).permutation(self.count)
        for name, value in list(self.items()):
            super().__setitem__(name, mapped(lambda leaf: leaf[order], value))
        return self

    def slice(self, start: int, end: int) -> SampleBatch:
        """Rows ``start : end``, as views."""
        return self._rows(slice(start, end))

    def timeslices(self, size: int) -> list[SampleBatch]:
        """The batch in pieces of `size` rows; the last may be smaller."""
        if size < 1:
            raise InvalidInput(f"a slice has at least one row, not {size}")
        return [self.slice(i, i + size) for i in range(0, self.count, size)]

    def split_by_episode(self, key: str | None = None) -> list[SampleBatch]:
        """The batch in runs of one episode each.

        By the column `key`, else `eps_id`, else after each row that is terminated, truncated or
        done. Raises `InvalidInput` where there is none of them.
        """
        if key is None and self.EPS_ID in self.keys():
            key = self.EPS_ID
        if key is not None:
            ids = self[key]
            cuts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        else:
            flags = [
                self[name]
                for name in (self.TERMINATEDS, self.TRUNCATEDS, self.DONES)
                if name in self.keys()
            ]
            if not flags:
                raise InvalidInput(
                    "episodes are told apart by eps_id, terminateds, truncateds or dones; "
                    f"this batch has {list(self.keys())}"
                )
            cuts = np.flatnonzero(np.logical_or.reduce(flags)) + 1
        edges = [0, *(int(cut) for cut in cuts if cut < self.count), self.count]
        return [self.slice(a, b) for a, b in itertools.pairwise(edges) if b > a]

    def concat(self, other: SampleBatch) -> SampleBatch:
        """This batch and another one below it."""
        return self.concat_samples([self, other])

    @staticmethod
    def concat_samples(samples: Iterable[Any]) -> SampleBatch:
        """One batch of several; what has `get_sample_batch` (an episode) and lists count as well.

        Raises `InvalidInput` where they do not have the same columns.
        """
        batches = [batch for sample in samples for batch in _batches(sample) if batch.count]
        if not batches:
            return SampleBatch()
        names = list(batches[0].keys())
        for batch in batches[1:]:
            if batch.keys() != batches[0].keys():
                odd = sorted(batch.keys() ^ batches[0].keys())
                raise InvalidInput(f"batches with other columns cannot be one: {', '.join(odd)}")
        return SampleBatch(
            {
                name: mapped(
                    lambda *parts: np.concatenate(parts),
                    *(dict.__getitem__(batch, name) for batch in batches),
                )
                for name in names
            }
        )

    def _rows(self, rows: Span) -> SampleBatch:
        return SampleBatch(
            {name: mapped(lambda leaf: leaf[rows], value) for name, value in self.items()}
        )


def concat_samples(samples: Iterable[Any]) -> SampleBatch:
    """`SampleBatch.concat_samples`."""
    return SampleBatch.concat_samples(samples)


def _batches(sample: Any) -> Sequence[SampleBatch]:
    if isinstance(sample, SampleBatch):
        return [sample]
    if isinstance(sample, Mapping):
        return [SampleBatch(sample)]
    if hasattr(sample, "get_sample_batch"):
        return [sample.get_sample_batch()]
    if isinstance(sample, list | tuple):
        return [batch for part in sample for batch in _batches(part)]
    raise InvalidInput(f"{sample!r} is no batch of samples")


def _array(value: Any) -> Array:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        column: Array = np.empty(len(value), object)  # infos
        column[:] = value
        return column
    column = np.asarray(value)
    if column.ndim == 0:
        raise InvalidInput(f"a column needs one entry a row, not {value!r}")
    return column
