"""Checkpoints: a member's `State` as a directory of safetensors and JSON, never pickle.

Invariant: a checkpoint is there as a whole with the bytes that were written, or it is not there.
Layout: ``<storage>/<experiment>/<trial:05d>/checkpoint_<iteration:06d>/<replica>/``.
"""

from tunerl.checkpoints.files import Saved, delete, load, prepare, save, verify
from tunerl.checkpoints.layout import (
    iteration_uri,
    latest_good,
    list_iterations,
    replica_uri,
    trial_uri,
)
from tunerl.checkpoints.retention import Retention
from tunerl.checkpoints.zipping import extract_zip, write_zip, zip_chunks, zip_digest

__all__ = [
    "Retention",
    "Saved",
    "delete",
    "extract_zip",
    "iteration_uri",
    "latest_good",
    "list_iterations",
    "load",
    "prepare",
    "replica_uri",
    "save",
    "trial_uri",
    "verify",
    "write_zip",
    "zip_chunks",
    "zip_digest",
]
