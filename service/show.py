"""How things look in a terminal: numbers, durations, tables. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tunerl.space import Space, from_json
from tunerl.space.space import look_up

Json = Mapping[str, Any]


def quantity(value: Any) -> str:
    """A number with four digits that matter; ``-`` for None."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e15:
        return f"{value:.3g}"
    if abs(value) >= 10_000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """``8 s``, ``3 min 5 s``, ``2 h 10 min``; ``-`` for None."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def brief_config(config: Json, param_space: Json) -> str:
    """``lr=0.001 gamma=0.99``: of a configuration what was searched, in one line."""
    drawn = Space(from_json(param_space)).drawn(dict(config))
    return " ".join(f"{name}={cell(value)}" for name, value in drawn.items())


def cell(value: Any) -> str:
    """A value of a configuration or a result in a few characters."""
    if isinstance(value, Mapping | list):
        return json.dumps(value)
    return quantity(value)


def experiments(items: Iterable[Json]) -> Table:
    """One line for each experiment."""
    table = _table("ID", "NAME", "STATUS", "TRAINABLE", "DONE", "TRIALS", "STEPS", "BEST")
    for item in items:
        best = item["best"]["objective"] if item["best"] else None
        table.add_row(
            *map(Text, (item["id"], item["name"], item["status"], item["trainable"])),
            f"{item['progress']:.0%}",
            str(sum(item["counts"].values())),
            quantity(item["steps"]),
            quantity(best),
        )
    return table


def experiment(item: Json) -> Table:
    """An experiment, one fact a line."""
    table = Table.grid(padding=(0, 2))
    counts = ", ".join(f"{n} {status.lower()}" for status, n in item["counts"].items() if n)
    best = item["best"]
    facts = {
        "id": item["id"],
        "name": item["name"],
        "status": item["status"] + (f" ({item['reason']})" if item["reason"] else ""),
        "trainable": f"{item['trainable']} on {item['environment'] or 'its own environment'}",
        "objective": f"{item['mode']} {item['metric']}" if item["metric"] else "none",
        "progress": f"{item['progress']:.0%}",
        "trials": counts or "none yet",
        "env steps": quantity(item["steps"]),
        "created": item["created_at"],
        "best": f"{quantity(best['objective'])} (trial {best['trial']})" if best else "none yet",
    }
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), Text(str(value)))
    return table


def results(items: Iterable[Json], searched: Iterable[str], metric: str | None) -> Table:
    """One line for each trial: objective, spread over seeds, what was searched."""
    columns = list(searched)
    short = (metric or "objective").rsplit("/", 1)[-1]
    table = _table("TRIAL", "STATUS", short.upper(), "STD", "SEEDS", *columns)
    for item in items:
        values = item["statistics"] or {}
        table.add_row(
            str(item["trial"]),
            Text(item["status"]),
            quantity(item["metrics"].get(metric) if metric else None),
            quantity(values.get("std")),
            quantity(values.get("n")),
            *(cell(_at(item["config"], name)) for name in columns),
        )
    return table


def searched(param_space: Json) -> list[str]:
    """Paths, such as ``model/fcnet_hiddens``, of what a search space (as JSON) leaves open."""
    return Space(from_json(param_space)).searched


def _at(config: Json, path: str) -> Any:
    try:
        return look_up(dict(config), path)
    except LookupError:
        return None


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in ("ID", "NAME", "STATUS"))
    return table
