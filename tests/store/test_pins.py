"""What experiments need of one another is kept as long as they need it, and no longer."""

from __future__ import annotations

import pytest

from tests.store.helpers import create, running
from tunerl.errors import Conflict
from tunerl.store import Store
from tunerl.store.records import CheckpointRecord, Event, Lease, Tick


def saved(store: Store) -> tuple[str, Lease]:
    """An experiment with two checkpoints."""
    id, lease = running(store)
    made = [CheckpointRecord(0, i, f"file{i}", 1, "sum", None) for i in (1, 2)]
    store.commit(lease, Tick(checkpoints=made))
    return id, lease


def pins(store: Store, id: str) -> list[int]:
    return [record.pins for record in store.checkpoints(id)]


def test_a_fork_that_forgets_a_checkpoint_or_is_deleted_pins_it_no_longer(store: Store) -> None:
    id, _ = saved(store)
    first = store.fork_experiment(id, "first", claimable=False).id
    second = store.fork_experiment(id, "second", claimable=False).id
    assert pins(store, id) == [2, 2]
    lease = store.acquire(first, "me", 60)
    store.commit(lease, Tick(forgotten=["file1", "its own"]))
    assert pins(store, id) == [1, 2]
    store.release(lease)
    store.delete_experiment(first)
    assert pins(store, id) == [1, 1]
    store.delete_experiment(second)
    assert pins(store, id) == [0, 0]


def test_a_fork_of_a_fork_keeps_what_the_first_has(store: Store) -> None:
    id, _ = saved(store)
    first = store.fork_experiment(id, "first", claimable=False).id
    second = store.fork_experiment(first, "second", claimable=False).id
    assert (pins(store, id), pins(store, first)) == ([1, 1], [1, 1])
    store.delete_experiment(second)
    assert (pins(store, id), pins(store, first)) == ([1, 1], [0, 0])


def test_what_a_searcher_learned_from_cannot_be_deleted_before_the_learner(store: Store) -> None:
    teacher = create(store, "teacher").id
    learner, lease = running(store)
    data = {"experiment": teacher, "trials": []}
    store.commit(lease, Tick(events=[Event("searcher.learned", "knows 0 trials", data=data)]))
    store.release(lease)
    with pytest.raises(Conflict, match=f"{learner} learned from {teacher}; delete those first"):
        store.delete_experiment(teacher)
    assert store.get_experiment(teacher).id == teacher
    store.delete_experiment(learner)
    store.delete_experiment(teacher)
    assert store.list_experiments()[0] == []
