"""`tunerl serve` and `tunerl api`: uvicorn in this process, a worker as its child.

Invariant: when this process ends, in whatever way, its worker ends too.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from service.settings import Settings
from tunerl.errors import InvalidInput

log = logging.getLogger(__name__)

BACKOFF = (0.5, 30.0)  # seconds before a worker that died is started again: at first, at most
CALM_SECONDS = 60.0  # a worker that lived so long had a good start
STOP_SECONDS = 25.0  # for a worker to put its work back


def listen(settings: Settings) -> socket.socket:
    """A bound socket at the address of `settings` (port 0: any). Raises `InvalidInput`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        raise InvalidInput(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "choose another address with --host and --port, or TUNERL_HOST and TUNERL_PORT"
        ) from None
    return sock


def address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_api(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is told the address once it is bound."""
    from service.app import create_app

    app = create_app(settings)
    with listen(settings) as sock:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        announce(address(sock))
        uvicorn.Server(config).run(sockets=[sock])


def run_all(settings: Settings, announce: Callable[[str], None]) -> None:
    """API and worker, until SIGINT or SIGTERM."""
    settings.require_token()
    with _signals_end_this(), Supervisor(worker_command(), environment(settings)):
        run_api(settings, announce)


def worker_command() -> list[str]:
    return [sys.executable, "-m", "service.cli", "worker", "--until-stdin-closes"]


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with `settings` written into it, for a child."""
    own = {
        "TUNERL_HOME": str(settings.root),
        "TUNERL_STORE_URL": settings.url,
        "TUNERL_STORAGE": settings.checkpoints,
        "TUNERL_RUNTIME": settings.runtime,
        "TUNERL_LOCAL_SLOTS": str(settings.local_slots),
        "TUNERL_POLL_SECONDS": str(settings.poll_seconds),
        "TUNERL_LEASE_SECONDS": str(settings.lease_seconds),
    }
    return {**os.environ, **own}


class Supervisor:
    """Keeps one child process running: started again when it dies, later and later if it keeps
    dying; ended when the block is left. The child's stdin is a pipe that closes with this
    process."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.command, self.env = command, env
        self.starts = 0
        self.child: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        wait = BACKOFF[0]
        while not self._stop.is_set():
            started = time.monotonic()
            self._start()
            while self.child and self.child.poll() is None and not self._stop.wait(0.1):
                pass
            if self._stop.is_set():
                break
            wait = BACKOFF[0] if time.monotonic() - started > CALM_SECONDS else wait
            code = self.child.returncode if self.child else None
            log.error("the worker ended with %s; another one starts in %.1f s", code, wait)
            self._stop.wait(wait)
            wait = min(2 * wait, BACKOFF[1])
        self._end()

    def _start(self) -> None:
        self._forget()
        # A session of its own: Ctrl-C reaches this process, which then ends the child in order.
        self.child = subprocess.Popen(
            self.command, env=self.env, stdin=subprocess.PIPE, start_new_session=True
        )
        self.starts += 1

    def _end(self) -> None:
        child = self.child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("the worker did not stop in %.0f s; it is killed", STOP_SECONDS)
            child.kill()
            child.wait()
        self._forget()

    def _forget(self) -> None:
        """Close the pipe to the child that there was; one that still reads it then ends."""
        if self.child and self.child.stdin:
            self.child.stdin.close()


@contextmanager
def _signals_end_this() -> Iterator[None]:
    """SIGTERM leaves the block as Ctrl-C does, so that what the block started is ended."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
