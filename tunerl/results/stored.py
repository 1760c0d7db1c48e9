"""A checkpoint that an experiment wrote, as its user meets it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunerl import checkpoints
from tunerl.author.directories import FILES, unpack_files
from tunerl.author.face import Checkpoint
from tunerl.trainable import State


class StoredCheckpoint(Checkpoint):
    """A trial's checkpoint at one iteration.

    `uri`: of the whole, with a directory for each replica. `path`: of the first replica's, which
    is what ``Algorithm.from_checkpoint`` and ``Trainable.restore`` take.
    """

    def __init__(self, uri: str, replica: int = 0) -> None:
        self.uri = uri
        super().__init__(f"{uri}/{replica}")

    def replica(self, index: int) -> StoredCheckpoint:
        """The same checkpoint, with `path` at another replica."""
        return StoredCheckpoint(self.uri, index)

    def load(self) -> tuple[State, dict[str, Any]]:
        """State and meta (trainable, config, seed, ...). Raises `CorruptCheckpoint`."""
        return checkpoints.load(self.path)

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """A local directory with what the trainable wrote; removed afterwards."""
        path = tempfile.mkdtemp(prefix="tunerl-checkpoint-")
        try:
            yield self.to_directory(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def to_directory(self, path: str | Path | None = None) -> str:
        """Write to `path` (a new temporary directory by default) what the trainable wrote: its own
        files, or, where it wrote none, the state as TuneRL keeps it."""
        target = str(path) if path is not None else tempfile.mkdtemp(prefix="tunerl-checkpoint-")
        state, meta = self.load()
        if any(name.startswith(FILES) for name in state.arrays):
            unpack_files(state.arrays, target)
        else:
            checkpoints.save(state, target, meta)
        return target

    def __repr__(self) -> str:
        return f"StoredCheckpoint({self.path!r})"
