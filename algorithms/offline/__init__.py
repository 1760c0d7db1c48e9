"""Offline data: transitions in files, to learn from and to record.

`load` reads them (Parquet, JSON lines, Minari), `Writer` writes them, `record` plays with a trained
agent and writes what it did.
"""

from algorithms.offline.dataset import Dataset, load

__all__ = ["Dataset", "load"]
