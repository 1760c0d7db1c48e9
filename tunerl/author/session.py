"""Who is being trained on which thread: `report`, `get_checkpoint`, `get_context` find it out here.

Invariant: user code of two replicas in one process never sees the other's session.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunerl.author.directories import Arrays, unpack_files
from tunerl.errors import TrainableError
from tunerl.metrics import flatten
from tunerl.trial import ReplicaId


class Checkpoint:
    """A directory with whatever training needs to go on."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)

    @classmethod
    def from_directory(cls, path: str | Path) -> Checkpoint:
        """The checkpoint in the directory `path`; nothing is copied."""
        return cls(path)

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """The path, to read from."""
        yield self.path

    def to_directory(self, path: str | Path | None = None) -> str:
        """Copy the files to `path` (a new temporary directory by default) and return it."""
        target = str(path) if path is not None else tempfile.mkdtemp(prefix="tunerl-checkpoint-")
        shutil.copytree(self.path, target, dirs_exist_ok=True)
        return target

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r})"


@dataclass
class Context:
    """Who is being trained: what `get_context` returns. A scratch directory comes on demand."""

    id: ReplicaId = field(default_factory=lambda: ReplicaId(0, 0))
    seed: int = 0
    _directory: str | None = field(default=None, repr=False)

    def get_trial_id(self) -> str:
        """The trial's number within the experiment, in five digits."""
        return f"{self.id.trial:05d}"

    def get_trial_name(self) -> str:
        """The trial and the index of its replica, such as ``00003.1``."""
        return str(self.id)

    def get_replica_index(self) -> int:
        """Which of the trial's seeds this is, from 0."""
        return self.id.index

    def get_seed(self) -> int:
        """The replica's own seed; all its randomness should come from it."""
        return self.seed

    def get_trial_dir(self) -> str:
        """A scratch directory of this replica in this worker; removed when the replica leaves."""
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix=f"tunerl-{self.id}-")
        return self._directory

    def discard(self) -> None:
        """Remove the scratch directory."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


class Session:
    """What binds user code on a thread to its replica: context, checkpoint, where reports go."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.files: Arrays | None = None  # of the latest checkpoint
        self.reporter: Callable[[Mapping[str, Any], Checkpoint | None], None] | None = None
        self._unpacked: tuple[Arrays, Checkpoint] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """User code on this thread belongs to this session."""
        before = getattr(_thread, "session", None)
        _thread.session = self
        try:
            yield
        finally:
            _thread.session = before

    def checkpoint(self) -> Checkpoint | None:
        """The latest checkpoint as a directory below the scratch directory."""
        if self.files is None:
            return None
        if self._unpacked is None or self._unpacked[0] is not self.files:
            path = tempfile.mkdtemp(prefix="checkpoint-", dir=self.context.get_trial_dir())
            unpack_files(self.files, path)
            self._unpacked = self.files, Checkpoint(path)
        return self._unpacked[1]


_thread = threading.local()
_running: set[Session] = set()  # sessions of functions that run; for threads which they start


def running(session: Session, yes: bool) -> None:
    """Note that the function of `session` runs (or no longer does)."""
    (_running.add if yes else _running.discard)(session)


def present() -> Session | None:
    """The session that this thread's user code belongs to."""
    found: Session | None = getattr(_thread, "session", None)
    return found


def _session() -> Session | None:
    found = present()
    if found is None and len(_running) == 1:
        (found,) = _running
    return found


def report(
    metrics: Any = None,
    *,
    checkpoint: Checkpoint | None = None,
    **more: Any,
) -> None:
    """Hand over one result of a function trainable, and wait until the next one is wanted.

    `metrics` is a dict, nested or not; they may also be given as keywords. `checkpoint` is copied
    before this returns, so its directory may then be removed. Raises
    `TrainableError` outside of a running function, `MetricError` for unusable metrics.
    """
    session = _session()
    if session is None or session.reporter is None:
        raise TrainableError(
            "tunerl.report() was called outside of a function trainable; a class returns its "
            "metrics from step(), and a thread must belong to the only function of its process"
        )
    if metrics is not None and not isinstance(metrics, Mapping):
        flatten(metrics)  # says what is wrong
    session.reporter({**(metrics or {}), **more}, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """The checkpoint to go on from (the latest one of this replica), or None for a fresh start."""
    session = _session()
    return session.checkpoint() if session else None


def get_context() -> Context:
    """Who is being trained. Outside of training: replica 0 of trial 0 with seed 0."""
    session = _session()
    return session.context if session else Context()
