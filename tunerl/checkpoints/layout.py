"""Where checkpoints lie under a storage root, and which of them can be used."""

from __future__ import annotations

import re

from tunerl.checkpoints.files import verify
from tunerl.checkpoints.places import MANIFEST, place
from tunerl.errors import CorruptCheckpoint

_ITERATION = re.compile(r"checkpoint_(\d{6,})")


def trial_uri(storage: str, experiment_id: str, trial: int) -> str:
    """All checkpoints of a trial."""
    root = storage if storage.endswith("://") else storage.rstrip("/")
    return f"{root}/{experiment_id}/{trial:05d}"


def iteration_uri(storage: str, experiment_id: str, trial: int, iteration: int) -> str:
    """One checkpoint of a trial: all its replicas at one iteration."""
    return f"{trial_uri(storage, experiment_id, trial)}/checkpoint_{iteration:06d}"


def replica_uri(storage: str, experiment_id: str, trial: int, iteration: int, replica: int) -> str:
    """One replica's part of a checkpoint: what `save` writes and `load` reads."""
    return f"{iteration_uri(storage, experiment_id, trial, iteration)}/{replica}"


def list_iterations(trial_uri: str, replicas: int | None = None) -> list[int]:
    """Iterations, ascending, whose checkpoint is finished for every one of `replicas`.

    None: as many as the fullest checkpoint of the trial has. Bytes are not read; see `verify`.
    """
    found = _finished(trial_uri)
    needed = max(map(len, found.values()), default=0) if replicas is None else replicas
    return [
        iteration
        for iteration, finished in sorted(found.items())
        if finished and finished >= set(range(needed))
    ]


def latest_good(trial_uri: str, replica: int, at_most: int | None = None) -> str | None:
    """URI of the newest checkpoint of one replica, not above iteration `at_most`, whose every
    byte is right; None when there is none."""
    for iteration, finished in sorted(_finished(trial_uri).items(), reverse=True):
        if replica in finished and (at_most is None or iteration <= at_most):
            uri = f"{trial_uri.rstrip('/')}/checkpoint_{iteration:06d}/{replica}"
            try:
                verify(uri)
            except CorruptCheckpoint:
                continue
            return uri
    return None


def _finished(trial_uri: str) -> dict[int, set[int]]:
    """Replicas with a manifest, by iteration."""
    trial = place(trial_uri)
    found: dict[int, set[int]] = {}
    for name in trial.names():
        if match := _ITERATION.fullmatch(name):
            folder = trial.sub(name)
            indices = [entry for entry in folder.names() if entry.isdecimal()]
            finished = {int(entry) for entry in indices if folder.sub(entry).has(MANIFEST)}
            found[int(match[1])] = finished
    return found
