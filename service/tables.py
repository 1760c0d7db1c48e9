"""Results as CSV: one line a trial, a column for everything that any trial has. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.schemas import Result

FIRST = ("trial", "status")


def csv_lines(results: Iterable[Result]) -> Iterator[str]:
    """The header, then a line for each result: ``config/...``, ``metrics/...``, ``objective/...``.

    The columns are only known once all results were read, so those are read first.
    """
    rows = [_row(result) for result in results]
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _row(result: Result) -> dict[str, Any]:
    summary = result.statistics.model_dump() if result.statistics else {}
    row = {"trial": result.trial, "status": result.status}
    for prefix, values in (
        ("config", result.config),
        ("metrics", result.metrics),
        ("objective", summary),
    ):
        row |= {f"{prefix}/{name}": _cell(value) for name, value in _flat(values)}
    return row | {"error": _cell((result.error or "").strip().rpartition("\n")[2])}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> Any:
    """A value as spreadsheets take it; a text that they would run as a formula is quoted."""
    if isinstance(value, Mapping | list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
