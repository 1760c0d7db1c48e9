"""Offline data: transitions in files, to learn from and to record.

`load` reads them (Parquet, JSON lines, Minari), `Writer` writes them, `record` plays with a trained
agent and writes what it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algorithms.offline.dataset import Dataset, load
from algorithms.offline.writer import Writer

if TYPE_CHECKING:
    from algorithms.offline.recording import record

__all__ = ["Dataset", "Writer", "load", "record"]


def __getattr__(name: str) -> Any:
    if name == "record":  # it plays with agents, which read data from here
        from algorithms.offline.recording import record

        return record
    raise AttributeError(f"module 'algorithms.offline' has no attribute {name!r}")
