"""`ProcessMember`: a member whose environments live in a process of their own, behind a pipe.

Invariant: it answers as `LocalMember` does, with the same numbers; a process that dies fails its
own row only, and one whose parent dies ends by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from algorithms.core.envs.base import Array, EnvState, StepBatch
from algorithms.core.envs.factory import Factory
from algorithms.core.envs.members import Member

WORKER = "algorithms.core.envs.worker"
PATIENCE = 5.0  # seconds a process has to close its environments


class ProcessMember(Member):
    """Speaks with `algorithms.core.envs.worker`. Made anew, not forked: torch's threads survive no
    fork, and multiprocessing's spawn would run a user's unguarded script again."""

    def __init__(
        self, factory: Factory, num_envs: int, seed: int, state: EnvState | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt is for the parent to handle
            )
            self._pipe: Connection[Any, Any] = Connection(os.dup(ours.fileno()))
        try:
            self._send(cloudpickle.dumps((factory, num_envs, seed, state)))
            self.obs = self._answer()
        except BaseException:
            self.close()
            raise

    def send(self, actions: Array) -> None:
        self._send(("step", actions))

    def receive(self) -> StepBatch:
        batch: StepBatch = self._answer()
        self.obs = batch.obs
        return batch

    def read(self) -> EnvState:
        self._send(("read", None))
        state: EnvState = self._answer()
        return state

    def close(self) -> None:
        self._pipe.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: Any) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._death() from error

    def _answer(self) -> Any:
        try:
            kind, content = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if kind == "error":
            raise cloudpickle.loads(content)
        return content

    def _death(self) -> Exception:
        try:
            code: int | None = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        return RuntimeError(f"the environments' process ended unexpectedly (exit code {code})")
