"""Leases on both databases: one holder at a time, whoever and however many ask."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.store.helpers import create, result, running
from tunerl.errors import Conflict, Fenced, IllegalTransition, InvalidInput
from tunerl.store import Store
from tunerl.store.records import Experiment, Lease, Tick
from tunerl.trial import ExperimentStatus, Reason, Status

E = ExperimentStatus


def until(ask: Callable[[], Any]) -> Any:
    """What `ask` gives once it gives something; a lease runs out by the database's clock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.01)
    raise AssertionError("nothing came of it in time")


def expired(store: Store, lease: Lease) -> None:
    """Let a lease run out."""
    store.renew(lease, 1e-6)


def test_the_oldest_pending_experiment_is_claimed_and_runs(store: Store) -> None:
    create(store, claimable=False)
    first, second = create(store), create(store)
    claimed = [store.claim("w", 60) for _ in range(3)]
    assert [entry and entry[0].id for entry in claimed] == [first.id, second.id, None]
    assert claimed[0] is not None
    experiment, lease = claimed[0]
    assert experiment.status is E.RUNNING
    assert experiment.started_at is not None
    assert lease == Lease(first.id, "w", 1)


def test_a_killed_workers_experiment_is_taken_up_with_a_higher_token(store: Store) -> None:
    id = create(store).id
    store.claim("dead", 0.01)
    experiment, lease = until(lambda: store.claim("next", 60))
    assert (experiment.id, lease.token, experiment.status) == (id, 2, E.RUNNING)


def test_a_released_experiment_can_be_claimed_at_once(store: Store) -> None:
    create(store)
    claimed = store.claim("a", 60)
    assert claimed is not None
    store.release(claimed[1])
    again = store.claim("b", 60)
    assert again is not None
    assert again[1].token == 2


def put(store: Store, status: E, request: str | None) -> str:
    """An experiment in this status, with this request, that nobody holds."""
    id = create(store).id
    lease = store.acquire(id, "me", 60)
    path = {
        E.PENDING: [],
        E.RUNNING: [E.RUNNING],
        E.PAUSED: [E.RUNNING, E.PAUSED],
        E.CANCELING: [E.RUNNING, E.CANCELING],
        E.COMPLETED: [E.RUNNING, E.COMPLETED],
        E.CANCELED: [E.CANCELED],
        E.ERROR: [E.ERROR],
    }
    for step in path[status]:
        store.set_status(lease, step)
    if request:
        store.set_request(id, request)
    store.release(lease)
    return id


@pytest.mark.parametrize(
    ("status", "request_", "becomes"),
    [
        (E.PENDING, None, E.RUNNING),
        (E.PENDING, "pause", None),
        (E.RUNNING, None, E.RUNNING),
        (E.RUNNING, "pause", E.RUNNING),
        (E.RUNNING, "cancel", E.RUNNING),
        (E.CANCELING, None, E.CANCELING),
        (E.PAUSED, None, None),
        (E.PAUSED, "resume", E.RUNNING),
        (E.COMPLETED, None, None),
        (E.CANCELED, None, None),
        (E.ERROR, None, None),
    ],
)
def test_only_what_waits_for_a_worker_is_claimed(
    store: Store, status: E, request_: str | None, becomes: E | None
) -> None:
    put(store, status, request_)
    claimed = store.claim("w", 60)
    assert (claimed and claimed[0].status) == becomes
    if claimed and request_ == "resume":
        assert claimed[0].request is None
    elif claimed:
        assert claimed[0].request == request_


def test_a_held_lease_is_refused_and_says_who_holds_it(store: Store) -> None:
    id = create(store).id
    store.acquire(id, "notebook", 60)
    with pytest.raises(Conflict, match=r"'notebook'.* runs out in \d+ s"):
        store.acquire(id, "other", 60)
    assert store.claim("worker", 60) is None


WRITES: list[Callable[[Store, Lease], Any]] = [
    lambda store, lease: store.commit(lease, Tick(results=[result(0, 1, 1.0)])),
    lambda store, lease: store.commit(lease, Tick()),
    lambda store, lease: store.set_status(lease, E.COMPLETED),
    lambda store, lease: store.renew(lease, 60),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_with_an_old_token_is_fenced(
    store: Store, write: Callable[[Store, Lease], Any]
) -> None:
    id, lease = running(store)
    expired(store, lease)
    newer = until(lambda: _try(store, id))
    with pytest.raises(Fenced, match=r"token 1, but 'other' holds it with 2"):
        write(store, lease)
    store.release(lease)  # not its to give back any more
    with pytest.raises(Conflict):
        store.acquire(id, "third", 60)
    assert store.results(id) == []
    assert store.get_experiment(id).status is E.RUNNING
    store.renew(newer, 60)


def _try(store: Store, id: str) -> Lease | None:
    try:
        return store.acquire(id, "other", 60)
    except Conflict:
        return None


@pytest.mark.parametrize("write", WRITES)
def test_a_write_after_release_or_deletion_is_fenced(
    store: Store, write: Callable[[Store, Lease], Any]
) -> None:
    id, lease = running(store)
    store.release(lease)
    with pytest.raises(Fenced, match="released"):
        write(store, lease)
    store.delete_experiment(id)
    with pytest.raises(Fenced, match="deleted"):
        write(store, lease)


def test_a_lease_that_ran_out_but_was_not_taken_still_writes(store: Store) -> None:
    id, lease = running(store)
    expired(store, lease)
    store.commit(lease, Tick(results=[result(0, 1, 1.0)]))
    assert len(store.results(id)) == 1


def test_renew_tells_what_the_user_asked(store: Store) -> None:
    id, lease = running(store)
    assert store.renew(lease, 60) is None
    store.set_request(id, "cancel")
    assert store.renew(lease, 60) == "cancel"


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_lease_needs_a_sensible_length(store: Store, seconds: float) -> None:
    with pytest.raises(InvalidInput, match="positive"):
        store.claim("w", seconds)


def test_status_moves_by_the_table_and_keeps_the_times(store: Store) -> None:
    id = create(store).id
    lease = store.acquire(id, "me", 60)
    with pytest.raises(IllegalTransition, match="PENDING to COMPLETED"):
        store.set_status(lease, E.COMPLETED)
    started = store.set_status(lease, E.RUNNING)
    assert started.started_at is not None
    done = store.set_status(lease, E.COMPLETED, "all trials ended")
    assert (done.status, done.reason) == (E.COMPLETED, "all trials ended")
    assert done.ended_at is not None
    again = store.set_status(lease, E.RUNNING)
    assert (again.started_at, again.ended_at) == (started.started_at, None)
    assert again.reason is None


@pytest.mark.parametrize(
    ("asked", "status", "left"),
    [
        ("pause", E.PAUSED, None),
        ("pause", E.RUNNING, "pause"),
        ("cancel", E.CANCELING, "cancel"),
        ("cancel", E.CANCELED, None),
        ("pause", E.COMPLETED, None),
    ],
)
def test_a_status_that_fulfils_the_request_clears_it(
    store: Store, asked: str, status: E, left: str | None
) -> None:
    id, lease = running(store)
    store.set_request(id, asked)
    assert store.set_status(lease, status).request == left


@pytest.mark.parametrize(
    ("status", "request_", "gives"),
    [
        (E.PENDING, "cancel", (E.CANCELED, None)),
        (E.PAUSED, "cancel", (E.CANCELED, None)),
        (E.RUNNING, "cancel", (E.RUNNING, "cancel")),
        (E.CANCELING, "cancel", (E.CANCELING, "cancel")),
        (E.CANCELED, "cancel", (E.CANCELED, None)),
        (E.COMPLETED, "cancel", Conflict),
        (E.PENDING, "pause", (E.PENDING, "pause")),
        (E.RUNNING, "pause", (E.RUNNING, "pause")),
        (E.PAUSED, "pause", (E.PAUSED, None)),
        (E.CANCELING, "pause", Conflict),
        (E.ERROR, "pause", Conflict),
        (E.PAUSED, "resume", (E.PAUSED, "resume")),
        (E.RUNNING, "resume", (E.RUNNING, None)),
        (E.COMPLETED, "resume", Conflict),
        (E.RUNNING, "stop", InvalidInput),
    ],
)
def test_a_request_by_status(store: Store, status: E, request_: str, gives: Any) -> None:
    id = put(store, status, None)
    if isinstance(gives, type):
        with pytest.raises(gives):
            store.set_request(id, request_)
    else:
        found = store.set_request(id, request_)
        assert (found.status, found.request) == gives


@pytest.mark.parametrize(
    ("status", "first", "then", "left"),
    [
        (E.RUNNING, "pause", "resume", None),
        (E.PAUSED, "resume", "pause", None),
        (E.PENDING, "pause", "resume", None),
        (E.RUNNING, "pause", "cancel", "cancel"),
        (E.RUNNING, "cancel", None, None),
    ],
)
def test_a_later_request_replaces_an_earlier(
    store: Store, status: E, first: str, then: str | None, left: str | None
) -> None:
    id = put(store, status, first)
    assert store.set_request(id, then).request == left


def test_what_is_being_canceled_cannot_be_paused(store: Store) -> None:
    id = put(store, E.RUNNING, "cancel")
    with pytest.raises(Conflict, match="being canceled"):
        store.set_request(id, "pause")


def test_the_holder_alone_ends_an_experiment_that_is_held(store: Store) -> None:
    id = create(store).id
    store.acquire(id, "me", 60)
    found = store.set_request(id, "cancel")
    assert (found.status, found.request) == (E.PENDING, "cancel")


def test_cancel_ends_a_notebooks_experiment_whose_process_is_gone(store: Store) -> None:
    id, lease = running(store, trials=2, claimable=False)
    store.set_request(id, "pause")
    store.release(lease)
    found: Experiment = store.set_request(id, "cancel")
    assert (found.status, found.request, found.counts) == (E.CANCELED, None, {"CANCELED": 2})
    assert found.ended_at is not None
    trial = store.trial(id, 0)
    assert (trial.status, trial.reason) == (Status.CANCELED, Reason.USER)
    assert [event.kind for event in store.events(id)] == ["experiment.canceled"]


def test_threads_with_stores_of_their_own_never_claim_the_same(store: Store, url: str) -> None:
    made = {create(store).id for _ in range(12)}
    start = threading.Barrier(6)

    def worker(number: int) -> list[str]:
        claimed = []
        with Store(url) as own:
            start.wait()
            while found := own.claim(f"w{number}", 60):
                claimed.append(found[0].id)
        return claimed

    with ThreadPoolExecutor(6) as pool:
        claimed = [id for ids in pool.map(worker, range(6)) for id in ids]
    assert sorted(claimed) == sorted(made)


def test_processes_never_claim_the_same(store: Store, url: str) -> None:
    made = {create(store).id for _ in range(10)}
    script = (
        "import sys\n"
        "from tunerl.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "while found := store.claim(sys.argv[2], 60):\n"
        "    print(found[0].id)\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, f"w{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    outputs = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        outputs += worker.communicate(timeout=60)[0].split()
        assert worker.returncode == 0
    assert sorted(outputs) == sorted(made)


def test_one_key_from_many_threads_makes_one_experiment(store: Store, url: str) -> None:
    start = threading.Barrier(5)

    def submit(_: int) -> str:
        with Store(url) as own:
            start.wait()
            return create(own, idempotency_key="k", request_hash="h").id

    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(submit, range(5)))) == 1
    assert len(store.list_experiments()[0]) == 1


def test_threads_share_one_store_while_it_is_written_and_read(store: Store) -> None:
    held = [running(store) for _ in range(4)]

    def drive(entry: tuple[str, Lease]) -> int:
        id, lease = entry
        for iteration in range(1, 16):
            store.commit(lease, Tick(results=[result(0, iteration, 1.0)]))
            store.trials(id)
        return len(store.results(id))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(drive, held)) == [15] * 4
