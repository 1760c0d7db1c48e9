"""A database and its transactions: opened from a URL, retried where trying again can help.

Invariant: on SQLite one writer at a time, which asks for the write lock before it reads.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from tunerl import codec
from tunerl.errors import StoreError, StoreFull

T = TypeVar("T")

_TRIES, LONGEST_S = 7, 1.6  # seconds between two tries, at most
_BUSY_MS = 10_000
_RETRYABLE_STATES = {
    *("40001", "40P01"),  # serialization failure, deadlock
    *("53200", "53300"),  # out of memory, too many connections
    *("57P01", "57P02", "57P03", "57P05"),  # shutdown, crash, cannot connect now, idle for too long
}
_CONNECTION = "08"  # the class of states that say that the connection failed
_FULL_STATE = "53100"  # disk_full


def default_url() -> str:
    """``$TUNERL_STORE_URL``, else an SQLite file in ``$TUNERL_HOME`` (``~/.tunerl``)."""
    url = os.environ.get("TUNERL_STORE_URL")
    if url:
        return url
    home = Path(os.environ.get("TUNERL_HOME") or "~/.tunerl").expanduser().absolute()
    return sa.URL.create("sqlite", database=str(home / "tunerl.db")).render_as_string(False)


def parse_url(url: str) -> sa.URL:
    """A usable database URL. Raises `StoreError` for another database or no file."""
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        raise StoreError(
            "the store's URL cannot be read; write sqlite:////absolute/path/tunerl.db "
            "or postgresql://user:password@host/database"
        ) from None
    backend = parsed.drivername.split("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"{backend!r} is no database for the store; use sqlite or postgresql")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError("a store lives in a file; write sqlite:////absolute/path/tunerl.db")
    return parsed.set(drivername="sqlite")


class Database:
    """Connections to one database. `read` and `write` run a piece of work in one transaction.

    `patience_s`: how long to try at least; a few seconds are tried anyway. `when_full`: is told why
    there is no room, and says whether to try again.
    """

    patience_s = 0.0
    when_full: Callable[[str], bool] | None = None

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.label = self.url.render_as_string(hide_password=True)
        self.sqlite = self.url.drivername == "sqlite"
        self._writer: AbstractContextManager[Any] = (
            threading.Lock() if self.sqlite else nullcontext()
        )
        if self.sqlite:
            self._make_home()
        try:
            self.engine = sa.create_engine(self.url, **self._options())
        except ImportError:
            raise StoreError(
                f"PostgreSQL at {self.label} needs a driver: pip install 'tunerl[postgres]'"
            ) from None
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._write_engine = self.engine.execution_options(tunerl_write=True)

    def _make_home(self) -> None:
        folder = Path(str(self.url.database)).absolute().parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"no directory for the store {self.label}: {error}") from error

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "json_serializer": codec.dumps,
            "json_deserializer": codec.loads,
            "hide_parameters": True,
            "pool_size": 5,
            "max_overflow": 15,
        }
        if self.sqlite:
            return {**options, "connect_args": {"timeout": _BUSY_MS / 1000}}
        return {**options, "pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """`work` in one transaction that sees one state. Raises `StoreError`."""
        return self._run(self.engine, work)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """`work` in one transaction, run anew as a whole when the connection was lost or the
        database busy. Raises `StoreError`."""
        return self._run(self._write_engine, work, self._writer)

    def _run(
        self,
        engine: sa.Engine,
        work: Callable[[sa.Connection], T],
        guard: AbstractContextManager[Any] | None = None,
    ) -> T:
        pauses, until = _pauses(), time.monotonic() + self.patience_s
        while True:
            try:
                with guard or nullcontext(), engine.begin() as connection:
                    return work(connection)
            except exc.IntegrityError:
                raise
            except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error) as error:
                pause = next(pauses, LONGEST_S if time.monotonic() < until else None)
                reason = str(getattr(error, "orig", None) or error).strip()
                if _full(error):
                    reason = f"the store {self.label} has no room left: {reason}"
                    if self.when_full is None or not self.when_full(reason):
                        raise StoreFull(reason) from error
                    pause = pause or LONGEST_S
                elif pause is None or not _worth_retrying(error):
                    raise StoreError(f"the store {self.label} cannot be used: {reason}") from error
            time.sleep(pause * (0.5 + random.random()))

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self.engine.dispose()


def _pauses() -> Iterator[float]:
    """Seconds between the first tries."""
    return (min(0.05 * 2**n, LONGEST_S) for n in range(_TRIES - 1))


def _full(error: Exception) -> bool:
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return "is full" in str(cause)
    return getattr(cause, "sqlstate", None) == _FULL_STATE


def _worth_retrying(error: Exception) -> bool:
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return "is locked" in str(cause)
    if not isinstance(error, exc.DBAPIError):
        return False
    state = getattr(cause, "sqlstate", None)
    unconnected = isinstance(error, exc.OperationalError) and state is None
    passing = state is not None and (state in _RETRYABLE_STATES or state.startswith(_CONNECTION))
    return error.connection_invalidated or unconnected or passing


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("tunerl_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
