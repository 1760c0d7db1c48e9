"""`Track`: one quantity of an episode over time, with what came before the chunk (its lookback)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from algorithms.sampling.tree import length, mapped, stacked

Index = int | slice | Sequence[int] | None


class Track:
    """Values one after another, a list or (after `to_numpy`) a tree of arrays `[T, ...]`.

    The first `lookback` of them lie before the chunk: index 0 is the first after them.
    """

    def __init__(self, data: Any, lookback: int, space: Any = None) -> None:
        self.data, self.lookback, self.space = data, lookback, space
        if isinstance(data, list):
            self.lookback = min(lookback, len(data))

    def __len__(self) -> int:
        return self._length() - self.lookback

    def _length(self) -> int:
        return len(self.data) if isinstance(self.data, list) else length(self.data)

    def __getitem__(self, index: Index) -> Any:
        """As `get`."""
        return self.get(index)

    def append(self, value: Any) -> None:
        self.data.append(value)

    def to_numpy(self) -> None:
        """Stack the list; an empty one stays as it is."""
        if isinstance(self.data, list) and self.data:
            self.data = stacked(self.data)

    def get(
        self, indices: Index = None, lookback: bool = False, fill: Any = None, one_hot: bool = False
    ) -> Any:
        """What lies at an index, or at several; see `SingleAgentEpisode.get_observations`."""
        if isinstance(indices, int | np.integer):
            return self._one(self._place(int(indices), lookback), fill, one_hot)
        if indices is None or isinstance(indices, slice):
            places = self._span(indices or slice(None), lookback, fill)
        else:
            places = [self._place(int(index), lookback) for index in indices]
        if not isinstance(self.data, list) and not one_hot:
            inside = np.array(places, np.int64)
            if not len(inside) or (inside.min() >= 0 and inside.max() < self._length()):
                return mapped(lambda leaf: leaf[inside], self.data)
        found = [self._one(place, fill, one_hot) for place in places]
        return found if isinstance(self.data, list) or not found else stacked(found)

    def _place(self, index: int, lookback: bool) -> int:
        if index >= 0 or lookback:
            return self.lookback + index
        return self._length() + index

    def _span(self, asked: slice, lookback: bool, fill: Any) -> list[int]:
        start = self.lookback if asked.start is None else self._place(asked.start, lookback)
        stop = self._length() if asked.stop is None else self._place(asked.stop, lookback)
        if fill is None:
            start, stop = max(0, start), min(self._length(), stop)
        return list(range(start, stop, asked.step or 1))

    def _one(self, place: int, fill: Any, one_hot: bool) -> Any:
        if 0 <= place < self._length():
            value = (
                self.data[place]
                if isinstance(self.data, list)
                else mapped(lambda leaf: leaf[place], self.data)
            )
            return self._hot(value) if one_hot else value
        if fill is None:
            raise IndexError(f"there is nothing at {place - self.lookback}; {len(self)} are there")
        if isinstance(fill, Mapping) or not self._length():
            return fill
        like = self._one(0, None, one_hot)
        return mapped(lambda leaf: np.full_like(leaf, fill), like)

    def _hot(self, value: Any) -> Any:
        discrete = isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete)
        return spaces.flatten(self.space, value).astype(np.float32) if discrete else value

    def part(self, start: int, stop: int, back: int) -> Track:
        """Items ``start : stop`` of the chunk with `back` ones before them."""
        rows = slice(self.lookback + start - back, self.lookback + stop)
        data = (
            self.data[rows]
            if isinstance(self.data, list)
            else mapped(lambda leaf: leaf[rows], self.data)
        )
        return Track(data, back, self.space)

    def joined(self, other: Track, first: int) -> Track:
        """This track, and the other from its item `first` on."""
        rest = other.part(first, len(other), 0).data
        if isinstance(self.data, list) and isinstance(rest, list):
            return Track(self.data + rest, self.lookback, self.space)
        ours, theirs = (
            stacked(part) if isinstance(part, list) and part else part for part in (self.data, rest)
        )
        if isinstance(ours, list) or isinstance(theirs, list):
            return Track(theirs if isinstance(ours, list) else ours, self.lookback, self.space)
        both = mapped(lambda a, b: np.concatenate([a, b]), ours, theirs)
        return Track(both, self.lookback, self.space)

    def get_state(self) -> dict[str, Any]:
        data = list(self.data) if isinstance(self.data, list) else self.data
        return {"data": data, "lookback": self.lookback}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Track:
        return Track(state["data"], state["lookback"])
