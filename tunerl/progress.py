"""How `Tuner.fit` looks in a terminal: one calm table there, plain lines anywhere else.

Invariant: it only shows; what it is given is a `View`. `table` and `line` are pure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tunerl.control.views import NoProgress, Progress, Row, View

if TYPE_CHECKING:
    from rich.table import Table

REFRESH_S = 0.5  # on a terminal
LINE_S = 15.0  # between plain lines
ROWS = 8  # of running trials


def progress_for(verbose: int) -> Progress:
    """0: silent; 1: a table on a terminal, else a line now and then; 2: every turn with news."""
    if verbose <= 0:
        return NoProgress()
    if verbose == 1 and sys.stderr.isatty():
        return Terminal()
    return Lines(0.0 if verbose > 1 else LINE_S)


class Lines(Progress):
    """Plain lines on stderr, at most one in `every` seconds and only when there is news."""

    def __init__(self, every: float = LINE_S) -> None:
        self._every = every
        self._began = self._shown = time.monotonic()
        self._results = -1

    def start(self, view: View) -> None:
        _print(f"{view.name}: experiment {view.id}" + (", going on" if view.results else ""))

    def update(self, view: Callable[[], View]) -> None:
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        seen = view()
        if seen.results != self._results:
            self._shown, self._results = now, seen.results
            _print(f"{seen.name}: {line(seen, now - self._began)}")

    def end(self, view: View) -> None:
        _print(f"{view.name}: {view.status}, {line(view, time.monotonic() - self._began)}")
        if hint := farewell(view):
            _print(hint)


class Terminal(Progress):
    """One table that is redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)
        self._began = self._shown = time.monotonic()

    def start(self, view: View) -> None:
        self._live.start()

    def update(self, view: Callable[[], View]) -> None:
        now = time.monotonic()
        if now - self._shown >= REFRESH_S:
            self._shown = now
            self._live.update(table(view(), now - self._began), refresh=True)

    def end(self, view: View) -> None:
        self._live.update(table(view, time.monotonic() - self._began), refresh=True)
        self._live.stop()
        if hint := farewell(view):
            self._console.print(hint, markup=False)


def table(view: View, elapsed: float) -> Table:
    """What runs, under one line on the whole."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(f"{view.name}  {view.status}  {line(view, elapsed)}"),
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for column in ("TRIAL", "ITERATION", (view.metric or "objective").rsplit("/", 1)[-1].upper()):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("CONFIG", no_wrap=True)
    for row in best_first(view)[:ROWS]:
        made.add_row(
            str(row.trial), str(row.iteration), amount(row.objective), Text(short(row.config))
        )
    if len(view.running) > ROWS:
        made.add_row("...", "", "", f"{len(view.running) - ROWS} more run")
    return made


def best_first(view: View) -> list[Row]:
    """Running trials, the best first, those without a number last."""

    def rank(row: Row) -> tuple[int, float, int]:
        if row.objective is None or row.objective != row.objective:
            return (1, 0.0, row.trial)
        return (0, row.objective if view.mode == "min" else -row.objective, row.trial)

    return sorted(view.running, key=rank)


def line(view: View, elapsed: float) -> str:
    """The whole experiment in one line."""
    counts, ended = view.counts, ("TERMINATED", "ERROR", "CANCELED")
    total = "" if view.total is None else f"/{view.total}"
    parts = [f"{sum(counts.get(name, 0) for name in ended)}{total} trials done"]
    for status in ("RUNNING", "PAUSED", "ERROR"):
        if counts.get(status):
            parts.append(f"{counts[status]} {status.lower()}")
    if view.steps:
        parts.append(f"{view.steps:,} steps")
    if view.best is not None:
        parts.append(f"best {amount(view.best[0])} (trial {view.best[1]})")
    minutes, seconds = divmod(round(elapsed), 60)
    parts.append(f"{minutes} min {seconds} s" if minutes else f"{seconds} s")
    return ", ".join(parts)


def farewell(view: View) -> str | None:
    """What to say at the end: the reason, and how to go on."""
    if view.status in ("PAUSED", "PENDING"):
        return (
            f"{view.reason or 'paused'}: nothing is lost; go on with "
            f"Tuner.restore({view.id!r}, trainable).fit()"
        )
    return view.reason


def amount(value: float | None) -> str:
    """A number in a few characters."""
    return "-" if value is None else f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def short(config: Mapping[str, Any]) -> str:
    """A configuration in one line, without what is nested in it."""
    shown = {name: value for name, value in config.items() if not isinstance(value, Mapping)}
    return " ".join(
        f"{name}={amount(value) if isinstance(value, float) else value}"
        for name, value in shown.items()
    )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
