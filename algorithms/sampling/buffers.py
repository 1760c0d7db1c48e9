"""Replay buffers of batches: the last steps, fragments, sequences or episodes, drawn again.

Invariant: what is drawn follows from what was added, the seed and the draws before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.collecting.sum_tree import SumTrees
from algorithms.sampling.batch import SampleBatch
from tunerl.errors import InvalidInput, nearest

STORAGE_UNITS = ("timesteps", "sequences", "episodes", "fragments")
Array = NDArray[Any]


class ReplayBuffer:
    """Keeps items of at most `capacity` time steps in all; the oldest go first.

    `storage_unit`, what an item is: "timesteps" each row by itself, "sequences" runs of at most
    `sequence_length` rows of one episode, "episodes" whole ones (a batch is split by its ends),
    "fragments" each batch as it was added. Raises `InvalidInput`.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        storage_unit: str = "timesteps",
        *,
        sequence_length: int = 20,
        seed: int | None = None,
    ) -> None:
        if storage_unit not in STORAGE_UNITS:
            hint = nearest(str(storage_unit), STORAGE_UNITS)
            raise InvalidInput(f"storage_unit is {storage_unit!r}; {hint}")
        for name, value in (("capacity", capacity), ("sequence_length", sequence_length)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; give a number of 1 or more")
        self.capacity, self.storage_unit = capacity, storage_unit
        self.sequence_length = sequence_length
        self.generator = np.random.default_rng(seed)
        self.items: list[SampleBatch] = []
        self.next = 0  # where the next item goes once the buffer is full
        self.steps = 0
        self.added = self.sampled = self.evicted = 0

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.items)

    def add(self, batch: SampleBatch, **options: Any) -> None:
        """Take in a batch (or what can become one: a dictionary, an episode, a list of those)."""
        for item in self._cut(SampleBatch.concat_samples([batch])):
            self._insert(item, **options)

    def _cut(self, batch: SampleBatch) -> list[SampleBatch]:
        if self.storage_unit == "timesteps":
            return batch.timeslices(1) if batch else []
        if self.storage_unit == "fragments":
            return [batch] if batch else []
        episodes = batch.split_by_episode()
        if self.storage_unit == "episodes":
            return episodes
        return [part for e in episodes for part in e.timeslices(self.sequence_length)]

    def _insert(self, item: SampleBatch) -> None:
        if item.count > self.capacity:
            raise InvalidInput(
                f"an item of {item.count} steps does not fit in a capacity of {self.capacity}"
            )
        self.added += item.count
        self.steps += item.count
        if self.storage_unit == "timesteps" and len(self.items) == self.capacity:
            self._replace(self.next, item)
            self.next = (self.next + 1) % self.capacity
            return
        while self.steps > self.capacity:
            self._evict()
        self.items.append(item)

    def _replace(self, place: int, item: SampleBatch) -> None:
        self.steps -= self.items[place].count
        self.evicted += self.items[place].count
        self.items[place] = item

    def _evict(self) -> None:
        gone = self.items.pop(0)
        self.steps -= gone.count
        self.evicted += gone.count

    def sample(self, num_items: int) -> SampleBatch:
        """`num_items` items, each drawn from all with equal chance, one below the other.

        Raises `InvalidInput` where there is none.
        """
        return self._drawn(self.generator.integers(len(self._some()), size=num_items))

    def _some(self) -> list[SampleBatch]:
        if not self.items:
            raise InvalidInput("the buffer is empty; add something first")
        return self.items

    def _drawn(self, places: Sequence[int] | Array) -> SampleBatch:
        found = SampleBatch.concat_samples([self.items[int(place)] for place in places])
        self.sampled += found.count
        return found

    def stats(self) -> dict[str, int]:
        """Counts by RLlib's names."""
        return {
            "num_entries": len(self),
            "num_env_steps_stored": self.steps,
            "num_env_steps_added_lifetime": self.added,
            "num_env_steps_evicted_lifetime": self.evicted,
            "num_env_steps_sampled_lifetime": self.sampled,
            "est_size_bytes": sum(item.size_bytes() for item in self.items),
        }

    def get_state(self) -> dict[str, Any]:
        """Plain values and arrays, for `set_state`."""
        return {
            "items": [dict(item) for item in self.items],
            "counts": [self.next, self.steps, self.added, self.sampled, self.evicted],
            "generator": self.generator.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`, of a buffer with the same settings."""
        self.items = [SampleBatch(item) for item in state["items"]]
        self.next, self.steps, self.added, self.sampled, self.evicted = state["counts"]
        self.generator.bit_generator.state = state["generator"]


class FifoReplayBuffer(ReplayBuffer):
    """Gives each batch once, in the order in which they were added."""

    def __init__(self, capacity: int = 10_000, *, seed: int | None = None) -> None:
        super().__init__(capacity, "fragments", seed=seed)

    def sample(self, num_items: int = 1) -> SampleBatch:
        """The `num_items` oldest batches, fewer where there are fewer; they are gone then."""
        taken, self.items = self.items[:num_items], self.items[num_items:]
        self.steps -= sum(item.count for item in taken)
        found = SampleBatch.concat_samples(taken)
        self.sampled += found.count
        return found


class ReservoirReplayBuffer(ReplayBuffer):
    """A uniform sample of all items ever added (Vitter's algorithm R)."""

    seen = 0

    def _insert(self, item: SampleBatch) -> None:
        self.seen += 1
        if self.steps + item.count <= self.capacity:
            self.items.append(item)
            self.steps += item.count
            self.added += item.count
            return
        place = int(self.generator.integers(self.seen))
        self.added += item.count
        if place < len(self.items):
            self.steps += item.count
            self._replace(place, item)
            while self.steps > self.capacity:
                self._evict()
        else:
            self.evicted += item.count

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "seen": self.seen}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.seen = state["seen"]


class Priorities:
    """Priorities of `capacity` places, drawn in proportion."""

    def __init__(self, alpha: float, capacity: int) -> None:
        if alpha < 0:
            raise InvalidInput(f"alpha is {alpha}; give a number of 0 or more")
        self.alpha, self.highest = alpha, 1.0
        self.tree = SumTrees(1, 1 << (capacity - 1).bit_length())

    def put(self, places: Sequence[int] | Array, priorities: Sequence[float] | Array) -> None:
        """Set priorities (before the power `alpha`); they must be positive."""
        index = np.asarray(places, np.int64)
        raw = np.asarray(priorities, np.float64)
        if not np.isfinite(raw).all() or (raw <= 0).any():
            raise InvalidInput(f"priorities must be positive and finite, got {raw.tolist()}")
        self.highest = max([self.highest, *raw.tolist()])
        self._write(index, raw**self.alpha)

    def drop(self, place: int) -> None:
        """A place is never drawn any more."""
        self._write(np.array([place]), np.zeros(1))

    def _write(self, index: Array, values: Array) -> None:
        trees = np.zeros(len(index), np.int64)
        self.tree.write(trees, index, values)
        self.tree.refresh(trees, index)

    def draw(self, number: int, generator: np.random.Generator) -> Array:
        """`number` places, one from each equal part of the mass."""
        total = self.tree.totals(np.zeros(1, np.int64))[0]
        mass = (np.arange(number) + generator.random(number)) * total / number
        return self.tree.find(np.zeros(number, np.int64), np.minimum(mass, np.nextafter(total, 0)))

    def chances(self, places: Array) -> Array:
        """How likely each place is to be drawn."""
        zeros = np.zeros(len(places), np.int64)
        found: Array = self.tree.leaf(zeros, places) / self.tree.totals(zeros[:1])[0]
        return found

    def weights(self, places: Array, count: int, beta: float) -> Array:
        """Importance weights (count * chance)^-beta, the largest of those possible being 1."""
        leaves = self.tree.nodes[0, self.tree.leaves :]
        least = leaves[leaves > 0].min() / self.tree.nodes[0, 1]
        found: Array = (self.chances(places) * count) ** -beta / (least * count) ** -beta
        return found.astype(np.float32)

    def get_state(self) -> dict[str, Any]:
        leaves = self.tree.nodes[0, self.tree.leaves :].copy()
        return {"leaves": leaves, "highest": self.highest}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.tree.nodes[0, self.tree.leaves :] = state["leaves"]
        self.tree.rebuild(slice(None))
        self.highest = float(state["highest"])


class PrioritizedReplayBuffer(ReplayBuffer):
    """Items are drawn in proportion to priority^alpha (arXiv 1511.05952).

    New ones have the highest priority so far. A batch that was drawn has the columns `weights` and
    `batch_indexes`, one entry a row; `update_priorities` takes the latter.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        storage_unit: str = "timesteps",
        alpha: float = 1.0,
        *,
        sequence_length: int = 20,
        seed: int | None = None,
    ) -> None:
        super().__init__(capacity, storage_unit, sequence_length=sequence_length, seed=seed)
        self.priorities = Priorities(alpha, capacity)
        self.first = 0  # the number of the item that is first in `items`

    def _insert(self, item: SampleBatch, weight: float | None = None) -> None:
        place = self.next
        super()._insert(item)
        number = self.first + (place if self.next != place else len(self.items) - 1)
        priority = self.priorities.highest if weight is None else weight
        self.priorities.put(self._slots([number]), [priority])

    def _evict(self) -> None:
        super()._evict()
        self.priorities.drop(int(self._slots([self.first])[0]))
        self.first += 1

    def _slots(self, numbers: Sequence[int] | Array) -> Array:
        """Where the items of these numbers lie in the tree: there are never more than it has."""
        return np.asarray(numbers, np.int64) % self.priorities.tree.leaves

    def sample(self, num_items: int, beta: float = 0.4) -> SampleBatch:
        """`beta`: how much of the bias the `weights` take back, from 0 (nothing) to 1 (all)."""
        self._some()
        slots = self.priorities.draw(num_items, self.generator)
        weights = self.priorities.weights(slots, len(self.items), beta)
        places = (slots - self.first) % self.priorities.tree.leaves
        found = self._drawn(places)
        counts = [self.items[int(place)].count for place in places]
        found["weights"] = np.repeat(weights, counts)
        found["batch_indexes"] = np.repeat(places + self.first, counts)
        return found

    def update_priorities(
        self, batch_indexes: Sequence[int] | Array, new_priorities: Sequence[float] | Array
    ) -> None:
        """New priorities of items that were drawn; those that are gone are passed over."""
        index = np.asarray(batch_indexes, np.int64)
        there = (index >= self.first) & (index < self.first + len(self.items))
        new = np.asarray(new_priorities, np.float64)[there]
        self.priorities.put(self._slots(index[there]), new)

    def get_state(self) -> dict[str, Any]:
        own = {"priorities": self.priorities.get_state(), "first": self.first}
        return {**super().get_state(), **own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.priorities.set_state(state["priorities"])
        self.first = state["first"]
