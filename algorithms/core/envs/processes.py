"""`ProcessMember`: a member whose environments live in a process of their own, behind a pipe.

Invariant: it answers as `LocalMember` does, with the same numbers; a process that dies fails its
own row only, and one whose parent dies ends by itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import Any

from algorithms.core.envs.base import Array, EnvState, StepBatch, check_size, sub_seeds
from algorithms.core.envs.factory import Factory
from algorithms.core.envs.local import LocalMember
from algorithms.core.envs.members import Member
from tunerl.errors import InvalidConfig

PATIENCE = 5.0  # seconds a process has to close its environments
_FORKED_THREADS = r".*use of fork\(\) may lead to deadlocks"  # the child touches no thread's work


class ProcessMember(Member):
    """A `LocalMember` at the other end of a pipe.

    Forked on Linux, so that any creator, a lambda too, is there already. Elsewhere the process
    starts empty, and only a creator that can be imported reaches it; else `InvalidConfig`.
    """

    def __init__(
        self,
        factory: Factory,
        num_envs: int,
        seed: int,
        state: EnvState | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        self._timeout = timeout
        sub_seeds(seed, num_envs)
        if state is not None:
            check_size(len(state[1]["lanes"]), num_envs)
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._pipe, theirs = context.Pipe()
        # daemonic: what is still open when the interpreter ends is ended with it
        self._process = context.Process(
            target=serve, args=(theirs, self._pipe, factory, num_envs, seed, state), daemon=True
        )
        with theirs, warnings.catch_warnings():
            warnings.filterwarnings("ignore", _FORKED_THREADS, DeprecationWarning)
            try:
                self._process.start()
            except Exception as error:
                self._pipe.close()
                raise InvalidConfig(
                    f"vectorize_mode='async' cannot start a process for {factory.name!r}: {error}; "
                    f"give a creator that can be imported, or use vectorize_mode='sync'"
                ) from error
        try:
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
        # said, not only hung up: processes forked later hold copies of this end
        with contextlib.suppress(OSError):
            self._pipe.send(("close", None))
        self._pipe.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _send(self, message: tuple[str, Any]) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._death() from error

    def _answer(self) -> Any:
        """What the process says. One that says nothing for too long is ended; so it fails."""
        try:
            if self._timeout is not None and not self._pipe.poll(self._timeout):
                self._process.kill()
                raise TimeoutError(
                    f"the environment did not answer within {self._timeout:g} seconds "
                    f"(env_step_timeout_s); its process was ended"
                )
            kind, content = self._pipe.recv()
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise self._death() from error
        if kind == "error":
            summary, full = content
            failure = RuntimeError(summary)
            failure.add_note(f"In the environments' process:\n{full}")
            raise failure
        return content

    def _death(self) -> Exception:
        self._process.join(PATIENCE)
        code = self._process.exitcode
        return RuntimeError(f"the environments' process ended unexpectedly (exit code {code})")


def serve(
    pipe: Connection[Any, Any],
    parents: Connection[Any, Any],
    factory: Factory,
    num_envs: int,
    seed: int,
    state: EnvState | None,
) -> None:
    """What the process runs: make the member, then answer until the pipe is closed."""
    parents.close()  # a fork's copy of the other end would hide the parent's death
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent to handle
    try:
        member = LocalMember(factory, num_envs, seed, state)
    except Exception as error:
        pipe.send(("error", _as_text(error)))
        return
    try:
        pipe.send(("obs", member.obs))
        while True:
            order, content = pipe.recv()
            if order == "close":
                return
            try:
                answer = _obey(member, order, content)
            except Exception as error:
                pipe.send(("error", _as_text(error)))
            else:
                pipe.send((order, answer))
    except (EOFError, OSError):
        return
    finally:
        member.close()


def _obey(member: LocalMember, order: str, content: Any) -> Any:
    if order == "read":
        return member.read()
    member.send(content)
    return member.receive()


def _as_text(error: Exception) -> tuple[str, str]:
    """Text, since an exception of the user's may not survive a pipe."""
    summary = f"{type(error).__name__}: {error}"
    return summary, "".join(traceback.format_exception(error))
