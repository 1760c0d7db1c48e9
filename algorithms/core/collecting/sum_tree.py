"""Sum trees of many agents, side by side: sampling in proportion to priorities (arXiv 1511.05952).

Invariant: an inner node is the float64 sum of its two children, so a tree is a function of its
leaves, and its numbers do not change when it grows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SumTrees:
    """`trees` trees of `leaves` leaves (a power of two) each: `nodes` `[trees, 2 * leaves]`.

    Node 1 is the root, the children of i are 2 i and 2 i + 1, the leaves come last.
    """

    def __init__(self, trees: int, leaves: int) -> None:
        self.leaves = leaves
        self.nodes = np.zeros((trees, 2 * leaves))

    def resized(self, trees: int, leaves: int) -> SumTrees:
        """A copy with room for more trees, or more leaves."""
        made = SumTrees(trees, leaves)
        made.nodes[: len(self.nodes), leaves : leaves + self.leaves] = self.nodes[:, self.leaves :]
        made.rebuild(slice(None))
        return made

    def rebuild(self, tree: Any) -> None:
        """All inner nodes of one tree, or of a slice of them, from the leaves."""
        nodes, first = self.nodes[tree], self.leaves
        while first > 1:
            half = first // 2
            nodes[..., half:first] = (
                nodes[..., first : 2 * first : 2] + nodes[..., first + 1 : 2 * first : 2]
            )
            first = half

    def leaf(self, tree: Ints, index: Ints) -> Floats:
        """The leaves at `index`."""
        found: Floats = self.nodes[tree, self.leaves + index]
        return found

    def totals(self, tree: Ints) -> Floats:
        """The sum of each tree's leaves."""
        found: Floats = self.nodes[tree, 1]
        return found

    def write(self, tree: Ints, index: Ints, values: Floats) -> None:
        """Set leaves `[N]`; the nodes above them are brought up to date by `refresh`."""
        self.nodes[tree, self.leaves + index] = values

    def refresh(self, tree: Ints, index: Ints) -> None:
        """Sum up again above the leaves at `index` `[N]` of the trees `[N]`."""
        flat, size = self.nodes.reshape(-1), 2 * self.leaves
        base, node = tree * size, index + self.leaves
        pairs = flat.reshape(-1, 2)
        half = base >> 1
        while True:
            node = node >> 1
            if not node.size or node[0] == 0:
                return
            both = pairs.take(half + node, 0)
            flat[base + node] = both[:, 0] + both[:, 1]

    def find(self, tree: Ints, mass: Floats) -> Ints:
        """The leaf in which the running sum reaches `mass` `[N]`, which is below the total.

        A leaf of priority 0 is never found while another is not 0.
        """
        pairs = self.nodes.reshape(-1, 2)
        half = tree * self.leaves
        node, mass = np.ones(len(tree), np.int64), mass.copy()
        for _ in range(self.leaves.bit_length() - 1):
            both = pairs.take(half + node, 0)
            left = both[:, 0]
            right = (mass >= left) & (both[:, 1] > 0.0)
            mass -= np.where(right, left, 0.0)
            node += node
            node += right
        return node - self.leaves
