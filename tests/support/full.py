"""Databases without room: a file that may not grow, a server that says so, a full disk."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.support import postgres

DISK = 32 << 20  # bytes; an empty database takes about 8 MB
_TRIGGER = """
CREATE TABLE taken ();
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM taken) THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON results FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@dataclass(frozen=True)
class Room:
    """Of a database: `take` leaves none, `give` gives it back."""

    take: Callable[[], object]
    give: Callable[[], object]


@contextmanager
def pages(engine: sa.Engine) -> Iterator[Room]:
    """SQLite: the file may not have more pages than it has."""
    most = [10**9]

    @sa.event.listens_for(engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={most[0]}")

    yield Room(lambda: most.__setitem__(0, 1), lambda: most.__setitem__(0, 10**9))


@contextmanager
def trigger(engine: sa.Engine) -> Iterator[Room]:
    """PostgreSQL: the server refuses results with the state of a full disk."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def run(statement: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())

    run(_TRIGGER)
    yield Room(lambda: run("INSERT INTO taken DEFAULT VALUES"), lambda: run("DELETE FROM taken"))


@contextmanager
def disk(engine: sa.Engine) -> Iterator[Room]:
    """PostgreSQL on a file system of its own (`file_system`), which a file fills to the brim."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT pg_tablespace_location(dattablespace) FROM pg_database "
            "WHERE datname = current_database()"
        )
        ballast = Path(found.scalar_one()).parent / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    yield Room(fill, lambda: ballast.unlink(missing_ok=True))
    ballast.unlink(missing_ok=True)


@contextmanager
def file_system(server: postgres.Server) -> Iterator[str]:
    """The URL of an empty database on a small file system. Skips where none can be mounted."""
    root = Path(tempfile.mkdtemp(prefix="tunerl-small-disk-"))
    options = ["-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(root)]
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(["mount", *options], capture_output=True).returncode
    )
    if not mounted:
        root.rmdir()
        pytest.skip(
            "mounting a file system takes more rights; the server is told to say it is full"
        )
    name = f"s{secrets.token_hex(6)}"
    try:
        with psycopg.connect(f"{server.url}postgres", autocommit=True) as connection:
            (root / "space").mkdir()
            for path in (root, root / "space"):
                shutil.chown(path, server.user)
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{root}/space'".encode())
            connection.execute(f"CREATE DATABASE {name} TABLESPACE {name}".encode())
            try:
                yield f"{server.url}{name}"
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
                connection.execute(f"DROP TABLESPACE {name}".encode())
    finally:
        subprocess.run(["umount", str(root)], check=True)
        root.rmdir()
