"""Random numbers of many members, drawn ahead in blocks, each from the member's own generator.

Invariant: what a member gets depends on how much it took itself since the dice were made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.packs.member import Member

Array = NDArray[Any]
BLOCK = 16  # updates for which a member draws at once


class Dice:
    """`draw(member, count)` gives arrays ``[count, ...]`` by name."""

    def __init__(
        self, members: Sequence[Member], draw: Callable[[Member, int], dict[str, Array]]
    ) -> None:
        self.members, self.draw = list(members), draw
        self.pool: dict[str, Array] = {}
        self.used = np.full(len(members), BLOCK)

    def take(self, rows: NDArray[np.int64]) -> dict[str, Array]:
        """The next numbers of some rows: ``[R, ...]`` by name."""
        empty = rows[self.used[rows] == BLOCK]
        for row in empty.tolist():
            for name, numbers in self.draw(self.members[row], BLOCK).items():
                if name not in self.pool:
                    shape = (len(self.members), *numbers.shape)
                    self.pool[name] = np.zeros(shape, numbers.dtype)
                self.pool[name][row] = numbers
        self.used[empty] = 0
        found = {name: numbers[rows, self.used[rows]] for name, numbers in self.pool.items()}
        self.used[rows] += 1
        return found

    def drop(self, row: int) -> None:
        """A member leaves; the rows after it move up."""
        del self.members[row]
        self.used = np.delete(self.used, row)
        self.pool = {name: np.delete(numbers, row, 0) for name, numbers in self.pool.items()}
