"""Loggers to plain files: one table, or one line of JSON a result, in each trial's directory.

Invariant: after every result the files are whole; half a line that a crash left behind is removed
before anything is added.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunerl.callbacks.base import TrialView
from tunerl.callbacks.logger import LoggerCallback

ITERATION = "training_iteration"


class JsonLoggerCallback(LoggerCallback):
    """``result.json``, one object a line, and ``params.json``; what JSON lacks (NaN) is null."""

    def log_trial_start(self, trial: TrialView) -> None:
        text = json.dumps(valid(trial.config), indent=2, sort_keys=True, default=repr)
        _replace(Path(trial.local_path) / "params.json", text + "\n")

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        line = json.dumps(valid(result), allow_nan=False, default=repr)
        _append(Path(trial.local_path) / "result.json", line + "\n")

    def written(self, trial: TrialView) -> int:
        line = _last_line(Path(trial.local_path) / "result.json")
        return int(json.loads(line)[ITERATION]) if line else 0


class CSVLoggerCallback(LoggerCallback):
    """``progress.csv``: one row a result, one column a metric.

    A metric that comes up later gets a column then: the table is written anew, once for each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._columns: dict[int, list[str]] = {}

    def log_trial_start(self, trial: TrialView) -> None:
        path = Path(trial.local_path) / "progress.csv"
        self._columns[trial.number] = _rows(path)[0]

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        path, columns = Path(trial.local_path) / "progress.csv", self._columns[trial.number]
        new = [name for name in result if name not in columns]
        if new:
            _, rows = _rows(path)
            columns += new
            _replace(path, _table(columns, [dict(zip(columns, row, strict=False)) for row in rows]))
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow([_cell(result.get(n)) for n in columns])
        _append(path, row.getvalue())

    def log_trial_end(self, trial: TrialView, failed: bool = False) -> None:
        self._columns.pop(trial.number, None)

    def written(self, trial: TrialView) -> int:
        path = Path(trial.local_path) / "progress.csv"
        _last_line(path)
        columns, rows = _rows(path)
        return int(rows[-1][columns.index(ITERATION)]) if rows else 0


def valid(value: Any) -> Any:
    """`value` with null for the numbers that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): valid(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [valid(entry) for entry in value]
    return value


def _cell(value: Any) -> Any:
    return json.dumps(valid(value), default=repr) if isinstance(value, list | dict) else value


def _table(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table that may not be there yet."""
    if not path.exists():
        return [], []
    with path.open(newline="") as file:
        found = list(csv.reader(file))
    return (found[0], found[1:]) if found else ([], [])


def _last_line(path: Path) -> str:
    """The last whole line of a file that may not be there; what follows it is cut off."""
    if not path.exists():
        return ""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return whole.rstrip(b"\n").rpartition(b"\n")[2].decode()


def _append(path: Path, text: str) -> None:
    with path.open("a", newline="") as file:
        file.write(text)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    os.replace(part, path)
