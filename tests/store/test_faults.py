"""What a store does when its database fails it, or its URL is wrong."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.helpers import create, result, running
from tunerl.errors import StoreError
from tunerl.store import Store, database
from tunerl.store.records import Event, Tick


class Lossy:
    """An engine whose first commit succeeds without its answer getting through."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.lost = engine, 0

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            yield connection
        if not self.lost:
            self.lost += 1
            error = sa.exc.OperationalError("COMMIT", {}, Exception("connection lost"))
            error.connection_invalidated = True
            raise error


def test_a_commit_whose_answer_was_lost_is_not_applied_twice(store: Store) -> None:
    id, lease = running(store)
    lossy = Lossy(store._database._write_engine)
    store._database._write_engine = lossy  # type: ignore[assignment]
    store.commit(lease, Tick(results=[result(0, 1, 1.0)], events=[Event("k", "once")]))
    assert lossy.lost == 1
    assert [event.message for event in store.events(id)] == ["once"]


def test_an_experiment_whose_creation_lost_its_answer_is_made_once(store: Store) -> None:
    store._database._write_engine = Lossy(store._database._write_engine)  # type: ignore[assignment]
    made = create(store)
    assert [entry.id for entry in store.list_experiments()[0]] == [made.id]


def test_a_dropped_connection_is_replaced_and_the_transaction_repeated(postgres_url: str) -> None:
    store = Store(postgres_url)
    id, lease = running(store)
    admin = sa.create_engine(store._database.url)
    dropped: list[int] = []

    @sa.event.listens_for(store._database.engine, "after_cursor_execute")
    def drop(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("INSERT INTO results") and not dropped:
            dropped.append(cursor.connection.info.backend_pid)
            with admin.begin() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(dropped[0])))

    store.commit(lease, Tick(results=[result(0, 1, 1.0)], events=[Event("k", "once")]))
    admin.dispose()
    assert len(dropped) == 1
    assert len(store.results(id)) == len(store.events(id)) == 1
    store.close()


def test_a_connection_dropped_while_idle_is_not_noticed(postgres_url: str) -> None:
    with Store(postgres_url) as store, Store(postgres_url) as other:
        store.ping()
        others = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        other._database.read(lambda connection: connection.execute(others).all())
        create(store)


def test_a_locked_database_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 1)
    path = tmp_path / "tunerl.db"
    with Store(f"sqlite:///{path}") as store:
        id, lease = running(store)
        rival = sqlite3.connect(path, isolation_level=None)
        rival.execute("BEGIN IMMEDIATE")
        naps: list[float] = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                rival.execute("ROLLBACK")

        monkeypatch.setattr("tunerl.store.database.time.sleep", nap)
        assert store.trials(id) != []  # readers do not wait
        store.commit(lease, Tick(results=[result(0, 1, 1.0)]))
        assert len(naps) == 3
        assert len(store.results(id)) == 1
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            store.commit(lease, Tick(results=[result(0, 2, 1.0)]))
        assert len(naps) < 20
        rival.close()


def test_a_server_with_too_many_connections_is_tried_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    plain = parsed.set(username=parsed.database)
    admin = sa.create_engine(parsed, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE ROLE "{plain.username}" LOGIN CONNECTION LIMIT 1')
        connection.exec_driver_sql(f'ALTER DATABASE "{plain.database}" OWNER TO "{plain.username}"')
        connection.exec_driver_sql(f'GRANT ALL ON SCHEMA public TO "{plain.username}"')
    rival = sa.create_engine(plain, poolclass=sa.pool.NullPool)
    held = rival.connect()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            held.close()

    monkeypatch.setattr("tunerl.store.database.time.sleep", nap)
    with Store(plain.render_as_string(hide_password=False)) as store:
        assert len(naps) == 3
        store.ping()
    with admin.connect() as connection:
        connection.exec_driver_sql(f'REASSIGN OWNED BY "{plain.username}" TO tester')
        connection.exec_driver_sql(f'DROP OWNED BY "{plain.username}"')
        connection.exec_driver_sql(f'DROP ROLE "{plain.username}"')
    admin.dispose()


STATES = ["08006", "40001", "53200", "53300", "57P01", "57P05"]


@pytest.mark.parametrize("state", [*STATES, "22012"])
def test_what_passes_is_tried_again_and_a_mistake_is_not(
    state: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.store.database.time.sleep", lambda seconds: None)
    tries: list[str] = []

    def work(connection: sa.Connection) -> None:
        tries.append(state)
        if len(tries) == 1:
            raising = f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{state}'; END $$"
            connection.exec_driver_sql(raising)

    with Store(postgres_url) as store:
        if state in STATES:
            store._database.write(work)
        else:
            with pytest.raises(StoreError, match="cannot be used: so"):
                store._database.write(work)
    assert len(tries) == 1 + (state in STATES)


def test_a_server_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tunerl.store.database.time.sleep", lambda seconds: None)
    with pytest.raises(StoreError, match=r"postgresql.*tester.*127\.0\.0\.1:1/none") as caught:
        Store("postgresql://tester:hush@127.0.0.1:1/none")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("mysql://host/db", "use sqlite or postgresql"),
        ("sqlite://", "lives in a file"),
        ("sqlite:///:memory:", "lives in a file"),
        ("no url:hush@", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str, hint: str) -> None:
    with pytest.raises(StoreError, match=hint) as caught:
        Store(url)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tunerl.db"
    path.write_bytes(b"not a database at all, however long it goes on" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(f"sqlite:///{path}")


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="no directory"):
        Store(f"sqlite:///{tmp_path}/file/tunerl.db")


def test_the_default_store_lives_in_a_private_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a %20 b" / "home"
    monkeypatch.setenv("TUNERL_HOME", str(home))
    with Store() as store:
        create(store)
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert (home / "tunerl.db").is_file()


def test_the_store_url_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERL_STORE_URL", f"sqlite:///{tmp_path}/other.db")
    with Store() as store:
        assert store.url.endswith("other.db")
    assert (tmp_path / "other.db").is_file()


def test_a_store_survives_pickling(store: Store) -> None:
    made = create(store)
    with pickle.loads(pickle.dumps(store)) as copy:
        assert copy.get_experiment(made.id) == made
