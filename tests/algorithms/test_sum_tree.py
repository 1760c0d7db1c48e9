"""Sum trees: hand-worked sums and finds, growth, and frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.core.collecting.sum_tree import SumTrees


def tree(*priorities: float, leaves: int = 4) -> SumTrees:
    made = SumTrees(1, leaves)
    index = np.arange(len(priorities))
    made.write(np.zeros(len(index), np.int64), index, np.array(priorities, np.float64))
    made.refresh(np.zeros(len(index), np.int64), index)
    return made


def find(made: SumTrees, *mass: float) -> list[int]:
    return made.find(np.zeros(len(mass), np.int64), np.array(mass, np.float64)).tolist()


def test_inner_nodes_are_the_sums_of_their_children() -> None:
    assert tree(1, 2, 3, 4).nodes.tolist() == [[0, 10, 3, 7, 1, 2, 3, 4]]


def test_the_leaf_is_found_in_which_the_running_sum_lies() -> None:
    made = tree(1, 2, 3, 4)  # running sums 1, 3, 6, 10
    assert find(made, 0.0, 0.99, 1.0, 2.99, 3.0, 5.99, 6.0, 9.99) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_leaf_of_priority_0_is_never_found() -> None:
    made = tree(0, 2, 0, 3)
    assert find(made, 0.0, 1.99, 2.0, 4.99, 5.0, 99.0) == [1, 1, 3, 3, 3, 3]
    assert find(tree(5, 0, 0, 0), 4.9, 5.0) == [0, 0]


def test_a_changed_leaf_changes_the_nodes_above_it_alone() -> None:
    made = SumTrees(3, 4)
    for row in range(3):
        made.write(np.full(4, row), np.arange(4), np.ones(4))
        made.rebuild(row)
    made.write(np.array([1, 1, 1]), np.array([2, 3, 2]), np.array([5.0, 6.0, 7.0]))
    made.refresh(np.array([1, 1, 1]), np.array([2, 3, 2]))
    assert made.nodes[1].tolist() == [0, 15, 2, 13, 1, 1, 7, 6]
    assert made.nodes[0].tolist() == made.nodes[2].tolist() == [0, 4, 2, 2, 1, 1, 1, 1]
    assert made.totals(np.array([2, 1])).tolist() == [4, 15]
    assert made.leaf(np.array([1, 1]), np.array([2, 0])).tolist() == [7, 1]


def test_a_grown_tree_has_the_same_sums_and_finds() -> None:
    random = np.random.default_rng(0)
    small = tree(*random.random(64), leaves=64)
    large = small.resized(2, 512)
    assert large.totals(np.zeros(1, np.int64)) == small.totals(np.zeros(1, np.int64))
    mass = random.random(500) * small.nodes[0, 1]
    rows = np.zeros(500, np.int64)
    np.testing.assert_array_equal(large.find(rows, mass), small.find(rows, mass))
    small.rebuild(slice(None))
    np.testing.assert_array_equal(small.nodes[0, 1:2], large.nodes[0, 1:2])


@pytest.mark.parametrize("leaves", [2, 8])
def test_leaves_are_found_in_proportion_to_their_priorities(leaves: int) -> None:
    priorities = np.arange(1.0, leaves + 1.0)
    made = tree(*priorities, leaves=leaves)
    mass = (np.arange(10_000) + 0.5) / 10_000 * priorities.sum()
    counts = np.bincount(find(made, *mass), minlength=leaves)
    np.testing.assert_allclose(counts / 10_000, priorities / priorities.sum(), atol=2e-4)
