"""Databases and controllers that go away under a sweep, on each database; see
docs/surviving.md."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.helpers import create, result
from tests.support import full, postgres
from tests.support.crash import acquire
from tests.support.runs import Experiment, Watched
from tests.test_interruptions import stop_at
from tunerl import spec as specs
from tunerl.control import heartbeat
from tunerl.errors import Fenced, InvalidSpec, StoreFull
from tunerl.runtime.local import LocalRuntime
from tunerl.store import Store, database
from tunerl.store.records import Change, Event, Tick
from tunerl.store.tables import attempts
from tunerl.trial import ExperimentStatus, Reason, Status

WHOLE = [(t, i, (t + 1.0) * i) for t in range(3) for i in (1, 2, 3)]


@pytest.fixture
def run(tmp_path: Path, url: str) -> Iterator[Callable[..., Experiment]]:
    """Makes one experiment, on either database."""
    made: list[Experiment] = []

    def make(**fields: Any) -> Experiment:
        made.append(Experiment(tmp_path, url=url, **fields))
        return made[0]

    yield make
    made[0].store.close()


def rows(experiment: Experiment) -> list[Any]:
    found = experiment.store.results(experiment.id)
    return sorted((r.trial, r.iteration, r.objective) for r in found)


class Killed(BaseException):
    """The end of a process, as far as its controller can tell."""


def die() -> None:
    raise Killed


def test_a_controller_that_comes_back_finds_itself_fenced_and_no_trial_has_two_attempts(
    run: Any,
) -> None:
    experiment = run()
    stop_at(experiment, 2, die)
    zombie = acquire(experiment.store, experiment.id)
    with pytest.raises(Killed):
        experiment.run(lease=zombie, lease_seconds=0.02)
    experiment.custom = type(experiment.custom)()
    assert experiment.run(lease=acquire(experiment.store, experiment.id)) == "COMPLETED"
    with pytest.raises(Fenced):
        experiment.store.commit(zombie, Tick(events=[Event("k", "from the dead")]))
    columns = (attempts.c.trial, attempts.c.started_at, attempts.c.ended_at)
    order = (attempts.c.trial, attempts.c.attempt)
    made = experiment.store._database.read(
        lambda connection: connection.execute(sa.select(*columns).order_by(*order)).all()
    )
    assert len(made) > 3
    for (trial, _, ended), (other, started, _) in itertools.pairwise(made):
        assert trial != other or ended <= started
    assert all(ended is not None for *_, ended in made)
    assert rows(experiment) == WHOLE


def gone_for(experiment: Experiment, seconds: float, request: Any) -> Callable[[], None]:
    """What takes the database away for a while: a restart, or a lock that somebody holds."""
    if experiment.store._database.sqlite:
        rival = sa.create_engine(experiment.store._database.url, poolclass=sa.pool.NullPool)

        def take() -> None:
            ready = threading.Event()
            threading.Thread(target=hold, args=(ready,)).start()
            ready.wait()

        def hold(ready: threading.Event) -> None:
            with rival.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                ready.set()
                threading.Event().wait(seconds)

        return take
    server: postgres.Server = request.getfixturevalue("postgres_server")

    def restart() -> None:
        server.stop()
        threading.Timer(seconds, server.start).start()

    return restart


def test_a_database_that_is_gone_for_a_while_is_waited_for_and_trials_keep_their_places(
    run: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 1)
    monkeypatch.setattr(database, "_TRIES", 2)
    experiment = run()
    stop_at(experiment, 2, gone_for(experiment, 0.4, request))
    runtime = Watched()
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert rows(experiment) == WHOLE
    assert [t.attempt for t in experiment.trials] == [1, 1, 1]
    assert "StoreError" not in str(experiment.events)


def test_a_long_reader_holds_up_no_write_and_no_heartbeat(
    run: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 1)
    monkeypatch.setattr(database, "_TRIES", 1)
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.001)
    experiment, missed = run(), []
    monkeypatch.setattr(heartbeat.log, "warning", lambda *args: missed.append(args))
    with Store(url) as reader:

        def read(connection: sa.Connection) -> None:
            before = connection.scalar(sa.text("SELECT count(*) FROM results"))
            assert experiment.run() is ExperimentStatus.COMPLETED
            assert reader.list_experiments()[0][0].status is ExperimentStatus.COMPLETED
            assert before == 0

        reader._database.read(read)
    assert rows(experiment) == WHOLE
    assert missed == []


def test_a_heartbeat_that_is_late_but_within_the_lease_loses_nothing(
    run: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat.Heartbeat, "_run", lambda self: None)
    experiment = run()
    held = create(experiment.store)
    lease = experiment.store.acquire(held.id, "in a long call", 30)
    with Store(url) as other:
        stop_at(experiment, 2, lambda: taken.append(other.claim("another", 30)))
        taken: list[Any] = []
        assert experiment.run() is ExperimentStatus.COMPLETED
    assert taken == [None]
    experiment.store.commit(lease, Tick(events=[Event("k", "still mine")]))


@pytest.fixture(params=["sqlite", "postgresql", "postgresql on a small disk"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Experiment, Any]]:
    """An experiment on a database without much room: its second part takes all of it, or none."""
    limits = {"sqlite": full.pages, "postgresql": full.trigger}
    if request.param not in limits:
        url = request.getfixturevalue("small_disk_url")
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = ""
    experiment = Experiment(tmp_path, url=url, stop={"training_iteration": 40})
    store = experiment.store
    with limits.get(request.param, full.disk)(store._database.engine) as room:
        yield experiment, room
    store.close()


@pytest.fixture
def small_disk_url(postgres_server: postgres.Server) -> Iterator[str]:
    """A PostgreSQL database on a file system of its own."""
    with full.file_system(postgres_server) as url:
        yield url


def without_room(room: full.Room, then: Callable[..., object], *arguments: Any) -> None:
    """From now on the database may not grow; a moment later `then` is called."""
    room.take()
    threading.Timer(0.3, then, arguments).start()


LONG = [(t, i, (t + 1.0) * i) for t in range(3) for i in range(1, 41)]


def test_a_database_without_room_is_waited_for_and_the_sweep_goes_on(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONGEST_S", 0.01)
    experiment, room = small

    stop_at(experiment, 3, lambda: without_room(room, room.give))
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert rows(experiment) == LONG
    (waited,) = experiment.store.events(experiment.id, kind="store.full")
    assert re.search("no room left: .*(disk is full|disk full|No space left)", waited.message)
    assert [t.attempt for t in experiment.trials] == [1, 1, 1]


def test_who_is_interrupted_while_there_is_no_room_loses_nothing_and_the_next_one_goes_on(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONGEST_S", 0.01)
    experiment, room = small

    stop_at(experiment, 3, lambda: without_room(room, controller.interrupt, "enough"))
    controller = experiment.controller()
    with pytest.raises(StoreFull, match="no room left"):
        controller.run()
    found = rows(experiment)
    assert len(found) < 120
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.RUNNING
    room.give()
    experiment.store.release(controller.lease)
    experiment.custom = type(experiment.custom)()
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert rows(experiment) == LONG
    assert set(found) <= set(rows(experiment))


def test_a_spec_of_another_version_is_refused_by_the_name_of_its_field(store: Store) -> None:
    made = create(store).id
    change = sa.text("UPDATE experiments SET spec = :spec")
    broken = '{"trainable": "PPO", "param_space": {}, "sampler": {"type": "random"}}'
    store._database.write(lambda connection: connection.execute(change, {"spec": broken}))
    found = store.get_experiment(made)
    with pytest.raises(InvalidSpec, match="sampler"):
        specs.from_json(found.spec)
    assert found.status is ExperimentStatus.PENDING


@pytest.mark.slow
def test_ten_thousand_trials_half_of_them_queued_are_taken_up_in_seconds(
    tmp_path: Path, url: str
) -> None:
    took = {}
    for trials in (2_500, 10_000):
        home = tmp_path / str(trials)
        home.mkdir()
        experiment = Experiment(home, url=url, num_samples=trials, scheduler={"type": "asha"})
        store, lease = experiment.store, experiment.store.acquire(experiment.id, "first", 60)
        store.set_status(lease, ExperimentStatus.RUNNING)
        for first in range(0, trials, 500):
            numbers = range(first, first + 500)
            ended = [number for number in numbers if number % 2]
            tick = Tick(new_trials=[(number, {"lr": 1.0}, (number,)) for number in numbers])
            tick.changes = [Change(number, Status.RUNNING, attempt=1) for number in ended]
            tick.results = [result(number, i, float(i)) for number in ended for i in (1, 2, 3)]
            tick.changes += [Change(n, Status.TERMINATED, Reason.STOP_RULE) for n in ended]
            store.commit(lease, tick)
        store.release(lease)
        controller = experiment.controller(LocalRuntime(1))
        began = time.process_time()  # others may be at work on this machine
        controller._start()
        took[trials] = time.process_time() - began
        assert len(controller._ledger.of[Status.PENDING]) == trials // 2
        store.close()
    assert took[10_000] < 5.0
    assert took[10_000] < 8 * took[2_500]
