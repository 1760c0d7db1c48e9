"""`Writer`: runs of episodes into files of a directory, one after another.

Invariant: a file is there whole or not at all (on a local disk), no file is ever written over, and
an episode lies in one file.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
from gymnasium import Space

from algorithms.offline import json_lines, parquet
from algorithms.offline.columns import Columns
from algorithms.offline.files import absolute
from algorithms.offline.spaces_json import to_json
from tunerl.errors import InvalidInput

FORMATS: dict[str, tuple[str, Callable[..., None]]] = {
    "write_parquet": (".parquet", parquet.write),
    "write_json": (".json", json_lines.write),
}
MAX_FILE_SIZE = 64 * 2**20  # bytes, as in RLlib


class Writer:
    """Files ``<name>-<token>-<number>.parquet`` (or .json) in `directory`, a path or a URL.

    `add` writes a file once `max_rows` steps or `max_bytes` have come together (None: no limit),
    `flush` what is there. Raises `InvalidInput` where the directory cannot be made.
    """

    def __init__(
        self,
        directory: str,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        method: str = "write_parquet",
        max_rows: int | None = None,
        max_bytes: int | None = MAX_FILE_SIZE,
        name: str = "steps",
    ) -> None:
        self.directory = absolute(directory)
        self.spaces = {
            "observation_space": to_json(observation_space),
            "action_space": to_json(action_space),
        }
        self.suffix, self.write = FORMATS[method]
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.name = f"{name}-{secrets.token_hex(4)}"
        self.files: list[str] = []
        self._runs: list[Columns] = []
        self._episodes = 0
        self._rows = self._bytes = 0
        try:
            system, path = fsspec.core.url_to_fs(self.directory)
            system.makedirs(path, exist_ok=True)
        except (OSError, ImportError, ValueError) as error:
            raise InvalidInput(f"{directory} cannot be written to: {error}") from error

    def add(self, run: Columns) -> None:
        """Take in the steps of one episode; columns of one length, without `eps_id`."""
        rows = len(run["rewards"])
        if rows == 0:
            return
        self._runs.append({**run, "eps_id": np.full(rows, self._episodes, np.int64)})
        self._episodes += 1
        self._rows += rows
        self._bytes += sum(column.nbytes for column in self._runs[-1].values())
        full = self.max_rows is not None and self._rows >= self.max_rows
        if full or (self.max_bytes is not None and self._bytes >= self.max_bytes):
            self.flush()

    def flush(self) -> None:
        """Write what has come together, if there is anything."""
        if not self._runs:
            return
        names = self._runs[0]
        columns = {name: np.concatenate([run[name] for run in self._runs]) for name in names}
        path = f"{self.directory}/{self.name}-{len(self.files):06d}{self.suffix}"
        if "://" in path:
            self.write(path, columns, self.spaces)
        else:
            folder, name = os.path.split(path)
            hidden = f"{folder}/.{name}"
            self.write(hidden, columns, self.spaces)
            os.replace(hidden, path)
        self.files.append(path)
        self._runs, self._rows, self._bytes = [], 0, 0
