"""Processes of a test, each with its own session and log; whatever it started ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
STOP_S = 20.0
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def until(condition: Callable[[], Any], what: str, deadline: float) -> Any:
    """The first truthy answer of `condition`; fails the test when none comes."""
    end, pause = time.monotonic() + deadline, threading.Event()
    while not (answer := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline} s for {what}")
        pause.wait(0.02)
    return answer


class Process:
    """A running command. Only what it started itself is ever signalled: its session."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._child = subprocess.Popen(
                command, env=env, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
            )
        self.pid = self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    def kill(self) -> None:
        """SIGKILL to the process itself, and nothing else."""
        self._child.kill()
        self._child.wait()

    def kill_all(self) -> None:
        """SIGKILL to the process and all that it started."""
        while members := self._members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._child.poll()
        self._child.wait()

    def end(self) -> None:
        """SIGTERM, time to leave in order, then SIGKILL to whatever is left."""
        if self.returncode is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_S)
        self.kill_all()

    def titles(self) -> list[str]:
        """The command lines of what the session runs now."""
        found = []
        for pid in self._members():
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        return found

    def _members(self) -> list[int]:
        """Living processes of the session that began with this one."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state != "Z":
                    found.append(int(stat.parent.name))
        return found


class Processes:
    """Starts processes with one environment; kills them when the block is left."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._root, self._env = root, env
        self._running: list[Process] = []

    def start(self, name: str, *command: str, **env: str) -> Process:
        """`command` with its output in ``<root>/<name>.log``, appended."""
        process = Process(command, {**self._env, **env}, self._root / f"{name}.log")
        self._running.append(process)
        return process

    def logs(self) -> str:
        """All that the processes said, for a failing test."""
        texts = {process.log for process in self._running}
        return "\n".join(f"--- {t.name}\n{t.read_text(errors='replace')[-4000:]}" for t in texts)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            process.kill_all()
