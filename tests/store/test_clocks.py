"""Machines whose clocks are wrong: leases go by the database's, and history keeps its order."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.store.helpers import create, result, running
from tests.support.processes import until
from tunerl.errors import Conflict
from tunerl.store import Store
from tunerl.store import commit as commits
from tunerl.store.records import Change, Event, Tick
from tunerl.trial import Status


def skew(patch: pytest.MonkeyPatch, by: timedelta) -> None:
    """This process's clock is wrong by so much."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    real = time.time
    patch.setattr(time, "time", lambda: real() + by.total_seconds())
    patch.setattr(commits, "datetime", Wrong)
    patch.setattr("tunerl.store.leases.datetime", Wrong)


def took(store: Store, id: str) -> bool:
    try:
        store.acquire(id, "second", 60)
    except Conflict:
        return False
    return True


@pytest.mark.parametrize("days", [-1, 1])
def test_a_wrong_clock_neither_loses_nor_keeps_a_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    held, over = create(store, "held").id, create(store, "over").id
    with monkeypatch.context() as patch:
        skew(patch, timedelta(days=days))
        store.acquire(held, "first", 60)
        store.acquire(over, "first", 1e-6)
    with pytest.raises(Conflict):
        store.acquire(held, "second", 60)
    assert until(lambda: took(store, over), "the end of a lease", 5.0)
    skew(monkeypatch, timedelta(days=days))
    with pytest.raises(Conflict):
        store.acquire(held, "third", 60)


def test_what_a_slow_clock_writes_comes_after_what_was_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, lease = running(store)
    store.commit(lease, Tick(results=[result(0, 1, 1.0)], events=[Event("k", "before")]))
    store.release(lease)
    skew(monkeypatch, -timedelta(days=1))
    later = store.acquire(id, "another machine", 60)
    new = Tick(new_trials=[(1, {"lr": 1.0}, (1,))], changes=[Change(0, Status.PENDING)])
    store.commit(later, new)
    store.commit(later, Tick(events=[Event("k", "after")]))
    (old,), (before, after) = store.results(id), store.events(id)
    added = store.trial(id, 1).created_at
    assert old.created_at == before.created_at < added < after.created_at
    assert after.created_at < datetime.now(UTC) + timedelta(seconds=1)
