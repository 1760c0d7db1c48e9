"""How `Tuner.fit` looks in a terminal: one calm table there, else plain lines (see `notebook`).

Invariant: it only shows; what it is given is a `View`. `table` and `line` are pure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunerl.control.views import NoProgress, Progress, Row, View
from tunerl.errors import InvalidSpec, Problem
from tunerl.pace import Pace

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

REFRESH_S = 0.5  # on a terminal
LINE_S = 15.0  # between plain lines
ROWS = 8  # of trials
WINDOW_S = 60.0  # over which the pace is measured
ENDED = ("TERMINATED", "ERROR", "CANCELED")


@dataclass(frozen=True)
class CLIReporter:
    """How `Tuner.fit` reports, with Ray Tune's names.

    `metric_columns`, `parameter_columns`: names of metrics and of (flat) parameters to show, or
    ``{name: heading}``; None: the objective, and all that was searched. `max_progress_rows`: how
    many trials. `max_report_frequency`: seconds between two reports; None: half a second on a
    terminal, 15 elsewhere; never less than half a second on a terminal.
    """

    metric_columns: Sequence[str] | Mapping[str, str] | None = None
    parameter_columns: Sequence[str] | Mapping[str, str] | None = None
    max_progress_rows: int = ROWS
    max_report_frequency: float | None = None

    def __post_init__(self) -> None:
        problems = [
            Problem(f"progress_reporter.{name}", f"{value!r} given; a list of names or a dict")
            for name in ("metric_columns", "parameter_columns")
            if isinstance(value := getattr(self, name), str)
        ]
        if self.max_progress_rows < 1:
            given = self.max_progress_rows
            problems.append(Problem("progress_reporter.max_progress_rows", f"{given}; at least 1"))
        every = self.max_report_frequency
        if every is not None and not every >= 0:
            path = "progress_reporter.max_report_frequency"
            problems.append(Problem(path, f"{every}; seconds, 0 or more"))
        if problems:
            raise InvalidSpec(problems)


def check_reporter(given: Any) -> CLIReporter:
    """The reporter, or the default one. Raises `InvalidSpec` for what is none."""
    if given is None:
        return CLIReporter()
    if not isinstance(given, CLIReporter):
        what = "a CLIReporter or a JupyterNotebookReporter"
        raise InvalidSpec(Problem("progress_reporter", f"{given!r} given; give {what}"))
    return given


def progress_for(verbose: int, reporter: CLIReporter | None = None) -> Progress:
    """0: silent; 1: a table on a terminal or in a notebook, else a line now and then; 2: every turn
    with news, as lines."""
    from tunerl.notebook import JupyterNotebookReporter, Notebook, in_notebook

    given = check_reporter(reporter)
    if verbose <= 0:
        return NoProgress()
    every = given.max_report_frequency
    if in_notebook() and (verbose == 1 or isinstance(given, JupyterNotebookReporter)):
        return Notebook(given, every)
    if verbose == 1 and sys.stderr.isatty():
        return Terminal(given, max(REFRESH_S, every or 0.0))
    return Lines(0.0 if verbose > 1 else LINE_S if every is None else every)


class Lines(Progress):
    """Plain lines on stderr, at most one in `every` seconds and only when there is news."""

    def __init__(self, every: float = LINE_S) -> None:
        self._every = every
        self._began = self._shown = time.monotonic()
        self._news: tuple[int, str | None] = (-1, None)
        self._pace = Pace(WINDOW_S)

    def start(self, view: View) -> None:
        _print(f"{view.name}: experiment {view.id}" + (", going on" if view.results else ""))

    def update(self, view: Callable[[], View]) -> None:
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        seen = view()
        if (seen.results, seen.reason) != self._news:
            self._shown, self._news = now, (seen.results, seen.reason)
            self._pace.add(now, seen.results, share(seen))
            _print(f"{seen.name}: {line(seen, now - self._began, self._pace)}")

    def end(self, view: View) -> None:
        _print(f"{view.name}: {view.status}, {line(view, time.monotonic() - self._began)}")
        if hint := farewell(view):
            _print(hint)


class Terminal(Progress):
    """One table that is redrawn in place, every `every` seconds; it never gets shorter."""

    def __init__(self, reporter: CLIReporter | None = None, every: float = REFRESH_S) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)
        self._reporter, self._every = reporter or CLIReporter(), every
        self._pace, self._height = Pace(WINDOW_S), 0
        self._began = self._shown = time.monotonic()

    def start(self, view: View) -> None:
        self._live.start()

    def update(self, view: Callable[[], View]) -> None:
        now = time.monotonic()
        if now - self._shown >= self._every:
            self._shown = now
            self._draw(view(), now)

    def end(self, view: View) -> None:
        self._draw(view, time.monotonic())
        self._live.stop()
        if hint := farewell(view):
            self._console.print(hint, markup=False)

    def _draw(self, view: View, now: float) -> None:
        from rich.console import Group

        self._pace.add(now, view.results, share(view))
        made = table(view, self._reporter)
        for _ in range(self._height - made.row_count):
            made.add_row("")
        self._height = made.row_count
        self._live.update(Group(*head(view, now - self._began, self._pace), made), refresh=True)


def head(view: View, elapsed: float, pace: Pace | None = None) -> list[Text]:
    """Two lines on the whole, cut off where the terminal ends."""
    from rich.text import Text

    texts = (f"{view.name}  {view.status}", line(view, elapsed, pace))
    return [Text(text, no_wrap=True, overflow="ellipsis") for text in texts]


def table(view: View, reporter: CLIReporter | None = None) -> Table:
    """The best trials; as long as none has a number, what runs."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    given = reporter or CLIReporter()
    metrics = headings(given.metric_columns) or {view.metric or "objective": ""}
    parameters = headings(given.parameter_columns)
    for column in ("TRIAL", "STATUS", "ITERATION"):
        made.add_column(column, justify="right", no_wrap=True)
    for name, heading in {**metrics, **parameters}.items():
        text = heading or name.rsplit("/", 1)[-1].upper()
        made.add_column(text, justify="right", no_wrap=True)
    if not parameters:
        made.add_column("CONFIG", no_wrap=True)
    for row in (view.top or best_first(view))[: given.max_progress_rows]:
        values = [row.objective if n == view.metric else row.metrics.get(n) for n in metrics]
        values += [row.config.get(name) for name in parameters]
        cells = [Text(row.name or str(row.trial)), Text(row.status), Text(str(row.iteration))]
        cells += [Text(cell(value)) for value in values]
        made.add_row(*cells, *([] if parameters else [Text(short(row.config))]))
    return made


def headings(given: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Columns by name, with what stands above them where that was said."""
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(given or (), "")


def cell(value: Any) -> str:
    """Any value in a few characters."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return amount(value) if number or value is None else str(value)


def share(view: View) -> float:
    """How much of an experiment is done, by its trials; 0 where nobody knows how many come."""
    done = sum(view.counts.get(name, 0) for name in ENDED)
    return done / view.total if view.total else 0.0


def best_first(view: View) -> list[Row]:
    """Running trials, the best first, those without a number last."""

    def rank(row: Row) -> tuple[int, float, int]:
        if row.objective is None or row.objective != row.objective:
            return (1, 0.0, row.trial)
        return (0, row.objective if view.mode == "min" else -row.objective, row.trial)

    return sorted(view.running, key=rank)


def line(view: View, elapsed: float, pace: Pace | None = None) -> str:
    """The whole experiment in one line."""
    counts, ended = view.counts, ENDED
    total = "" if view.total is None else f"/{view.total}"
    parts = [f"{sum(counts.get(name, 0) for name in ended)}{total} trials done"]
    shown = counts | {"STARTING": view.starting}
    shown["RUNNING"] = counts.get("RUNNING", 0) - view.starting
    for status in ("RUNNING", "STARTING", "PENDING", "PAUSED", "ERROR"):
        if shown.get(status):
            parts.append(f"{shown[status]} {status.lower()}")
    if view.steps:
        parts.append(f"{view.steps:,} steps")
    if view.best is not None:
        parts.append(f"best {amount(view.best[0])} (trial {view.best[1]})")
    parts.append(duration(elapsed))
    if pace is not None and view.status == "RUNNING":
        if pace.speed > 0:
            parts.append(f"{amount(pace.speed)} results/s")
        if pace.eta is not None:
            parts.append(f"about {duration(pace.eta)} to go")
    if view.reason and view.status == "RUNNING":
        parts.append(view.reason)
    return ", ".join(parts)


def duration(elapsed: float) -> str:
    """Seconds in words."""
    minutes, seconds = divmod(round(elapsed), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


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
