"""A ResultGrid and a Result as HTML, for notebooks. Pure but for what they read from the store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunerl.markup import folded, fragment, tabular
from tunerl.policy import flat_config

if TYPE_CHECKING:
    from tunerl.results.confirmation import Confirmation
    from tunerl.results.grid import ResultGrid
    from tunerl.results.result import Result

SHOWN = 20  # trials
ENOUGH = 1000  # trials, beyond which the front is not looked for


def page(grid: ResultGrid) -> str:
    """A line on the whole, and the best trials with their status, objectives and settings."""
    objectives = grid.objectives
    results = _ranked(grid)[:SHOWN]
    configs = [flat_config(result.config) for result in results]
    names = varying(configs)
    front = _front(grid) if len(objectives) > 1 and len(grid) <= ENOUGH else None
    heads = [name.rsplit("/", 1)[-1] for name in objectives]
    if len(set(heads)) < len(heads):
        heads = list(objectives)
    head = ["trial", "status", "iteration", *heads, *(["front"] if front is not None else [])]
    head += names
    rows = []
    for result, config in zip(results, configs, strict=True):
        status = str(result.status).lower()
        values = [result.trial, status, result.metrics.get("training_iteration")]
        values += [result.metrics.get(name) for name in objectives]
        values += [] if front is None else ["◆" if result.trial in front else ""]
        values += [config.get(name) for name in names]
        rows.append([text(value) for value in values])
    more = len(grid) - len(results)
    lines = [_counts(grid), *([grid.reason] if grid.reason else [])]
    same = {name: value for name, value in _first(configs).items() if name not in names}
    body = tabular(head, rows, strong=frozenset([0] if objectives and rows else []))
    body += _lines([f"and {more} more"] if more else [])
    body += folded("the same for all that are shown", _pairs(same)) if same else ""
    return fragment(repr(grid), str(grid.status).lower(), lines, body=body)


def card(result: Result) -> str:
    """One trial: its objectives over the seeds, its settings, its last metrics."""
    lines = [f"{name}: {text(result.metrics.get(name))}" for name in result.objectives]
    summary = result.statistics
    if summary and len(result.seeds) > 1:
        low, high = text(summary["low"]), text(summary["high"])
        lines.append(f"IQM {text(summary['iqm'])} [{low}, {high}] over {len(result.seeds)} seeds")
    error = result.error
    if error is not None:
        lines.append(str(error).strip().rpartition("\n")[2])
    standing = str(result.status).lower() + (f", {result.reason}" if result.reason else "")
    body = _pairs(flat_config(result.config)) + folded("last metrics", _pairs(result.metrics))
    return fragment(f"trial {result.trial}", standing, lines, body=body)


def ranking(found: Confirmation) -> str:
    """The leaders by their IQM on fresh seeds, with what they had reached while tuning."""
    leaders = found.ranking
    configs = [flat_config(leader.config) for leader in leaders]
    names = varying(configs)
    head = ["rank", "trial", "IQM", "95 % interval", "while tuning", "beats the next", *names]
    rows = [
        [
            *map(text, (leader.rank, leader.trial, leader.iqm)),
            f"{text(leader.low)} … {text(leader.high)}",
            text(leader.tuned),
            "" if math.isnan(leader.improvement) else text(leader.improvement),
            *(text(config.get(name)) for name in names),
        ]
        for leader, config in zip(leaders, configs, strict=True)
    ]
    lines = [f"{len(found.seeds)} fresh seeds, none of them tuned on"]
    body = tabular(head, rows, strong=frozenset([0]))
    return fragment("Confirmation", str(found.results.status).lower(), lines, body=body)


def varying(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the settings that differ between configurations; of a single one all."""
    names = list(dict.fromkeys(name for config in configs for name in config))
    if len(configs) < 2:
        return names
    return [
        name
        for name in names
        if len({json.dumps(config.get(name), default=repr) for config in configs}) > 1
    ]


def text(value: Any) -> str:
    """Any value in a few characters."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _ranked(grid: ResultGrid) -> list[Result]:
    metric = grid.metric or ""
    sign = 1.0 if grid.spec.get("mode") == "min" else -1.0

    def rank(result: Result) -> tuple[bool, float]:
        value = result.metrics.get(metric)
        number = isinstance(value, int | float) and not math.isnan(value)
        return (not number, sign * float(value) if number else 0.0)

    return sorted(grid, key=rank)


def _counts(grid: ResultGrid) -> str:
    counts: dict[str, int] = {}
    for result in grid:
        counts[str(result.status).lower()] = counts.get(str(result.status).lower(), 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "no trials"


def _front(grid: ResultGrid) -> set[int]:
    return {result.trial for result in grid.get_pareto_front()}


def _first(configs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return configs[0] if configs else {}


def _pairs(values: Mapping[str, Any]) -> str:
    return tabular(["", ""], [[name, text(value)] for name, value in values.items()], words=2)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"<p>{each}</p>" for each in lines)
