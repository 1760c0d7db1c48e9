"""A real PostgreSQL server for the tests: a temporary directory, a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
}


def binaries() -> Path | None:
    """The folder with initdb and postgres: on PATH, else the newest that Debian installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parts[-2]), default=None
    )


def _user() -> str | None:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """A server in `root`, which `start` starts; `url`: a database's name is appended to it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder, self.user, self._port = root, folder, _user(), _free_port()
        self.url = f"postgresql://tester@127.0.0.1:{self._port}/"
        if self.user:
            shutil.chown(root, self.user)
        options = ("-D", root / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "-N")
        subprocess.run(
            [folder / "initdb", *options],
            check=True,
            capture_output=True,
            cwd=root,
            user=self.user,
        )

    def start(self) -> None:
        """Returns once it answers."""
        options = ["-D", str(self._root / "data"), "-p", str(self._port)]
        options += [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._folder / "postgres", *options],
                stdout=log,
                stderr=log,
                cwd=self._root,
                user=self.user,
            )
        _wait(self._process, self._port, self._root / "log")

    def stop(self) -> None:
        """At once: whoever is connected is not any more."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def server() -> Iterator[Server]:
    """A running server. Skips without binaries, fails without them where CI is set."""
    folder = binaries()
    if folder is None:
        reason = (
            "no PostgreSQL here: install postgresql (initdb and postgres) to test the store on it"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="tunerl-postgres-"))
    try:
        made = Server(root, folder)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(f"postgresql://tester@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)  # nothing to wait on: the server tells nobody when it is up
        else:
            return
    pytest.fail(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")


def create_database(url: str, name: str) -> str:
    """A new, empty database on the server at `url`; its URL."""
    with psycopg.connect(f"{url}postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{url}{name}"


def drop_database(url: str, name: str) -> None:
    """Drop a database together with the connections to it."""
    with psycopg.connect(f"{url}postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
