"""A `ResultGrid` as HTML, for notebooks. Nothing of a trial reaches it unescaped."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunerl.results.grid import ResultGrid
    from tunerl.results.result import Result

SHOWN = 20  # trials


def page(grid: ResultGrid) -> str:
    """A line on the whole, and the best trials with their status, objective and settings."""
    metric = grid.metric or ""
    sign = 1.0 if grid.spec.get("mode") == "min" else -1.0

    def rank(result: Result) -> tuple[bool, float]:
        value = result.metrics.get(metric)
        number = isinstance(value, int | float) and not math.isnan(value)
        return (not number, sign * float(value) if number else 0.0)

    results = sorted(grid, key=rank)[:SHOWN]
    names = list(dict.fromkeys(name for result in results for name in result.config))
    head = ["trial", "status", "iteration", *([metric] if metric else []), *names]
    rows = [_row(result, metric, names) for result in results]
    more = len(grid) - len(results)
    note = f"<p>and {more} more</p>" if more else ""
    return (
        f"<p>{escape(repr(grid))}</p><table><thead><tr>{_cells('th', head)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _row(result: Result, metric: str, names: list[str]) -> str:
    values: list[Any] = [result.trial, result.status, result.metrics.get("training_iteration")]
    values += [result.metrics.get(metric)] if metric else []
    values += [result.config.get(name) for name in names]
    return f"<tr>{_cells('td', values)}</tr>"


def _cells(tag: str, values: list[Any]) -> str:
    return "".join(f"<{tag}>{escape(_text(value))}</{tag}>" for value in values)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
