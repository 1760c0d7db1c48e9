"""The best checkpoint of an experiment, as a zip on its way to a client.

Invariant: what is sent is complete, and its SHA-256 was known before the first byte left.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from service.grid import best_trial
from tunerl import checkpoints
from tunerl.errors import NotFound
from tunerl.store import Store
from tunerl.store.records import CheckpointRecord, Experiment

BLOCK = 1 << 20
IN_MEMORY = 8 << 20  # a larger zip waits on disk


@dataclass(frozen=True)
class Zipped:
    """A finished zip. `blocks` reads it once and lets go of it."""

    file: IO[bytes]
    size: int
    sha256: str

    def blocks(self) -> Iterator[bytes]:
        with self.file:
            while block := self.file.read(BLOCK):
                yield block


def best_checkpoint(store: Store, experiment: Experiment) -> CheckpointRecord:
    """Of the best trial: the checkpoint of its best result, else the nearest one after it, else the
    last. Raises `NotFound` while there is none."""
    trial = best_trial(store, experiment)
    kept = store.checkpoints(experiment.id, trial.number)
    if not kept:
        raise NotFound(
            f"trial {trial.number}, the best of {experiment.name}, has no checkpoint yet; one is "
            "written when it ends, or earlier with checkpoint.frequency"
        )
    best = trial.best_iteration or 0
    later = [record for record in kept if record.iteration >= best]
    return min(later, key=lambda r: r.iteration) if later else kept[-1]


def zip_checkpoint(store: Store, checkpoint: CheckpointRecord) -> Zipped:
    """The checkpoint's files as a zip. It is pinned meanwhile, so that nobody deletes it."""
    store.pin(checkpoint.id)
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `Zipped.blocks` closes it
    try:
        digest = checkpoints.write_zip(checkpoint.uri, file)
        size = file.tell()
        file.seek(0)
        return Zipped(file, size, digest)
    except BaseException:
        file.close()
        raise
    finally:
        store.unpin(checkpoint.id)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client holds what `etag` names (RFC 9110, 13.1.2)."""
    held = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return etag in held or "*" in held
