"""How `Tuner.fit` looks in a notebook: one table that is redrawn in place, with the text beside it.

Invariant: it only shows; outside of a notebook the same reporter writes plain lines.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunerl.control.views import Progress, View
from tunerl.errors import InvalidSpec, Problem
from tunerl.markup import GOOD, fragment, tabular
from tunerl.pace import Pace
from tunerl.progress import (
    ROWS,
    WINDOW_S,
    CLIReporter,
    best_first,
    cell,
    farewell,
    headings,
    line,
    share,
    short,
)

EVERY_S = 2.0  # between two drawings, unless the reporter says otherwise


@dataclass(frozen=True)
class JupyterNotebookReporter(CLIReporter):
    """`CLIReporter` for notebooks, with Ray Tune's names.

    `overwrite`: redraw one table in place; False: another one beneath each time.
    `max_report_frequency` None: every two seconds. Without a notebook it writes plain lines.
    """

    overwrite: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.overwrite
        if not isinstance(given, bool):
            path = "progress_reporter.overwrite"
            raise InvalidSpec(Problem(path, f"{given!r} given; True or False"))


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Notebook(Progress):
    """Shows a `Board` in the output of a cell, at most one every `every` seconds."""

    def __init__(self, reporter: CLIReporter | None = None, every: float | None = None) -> None:
        given = reporter or CLIReporter()
        self._reporter = given
        self._every = EVERY_S if every is None else every
        self._overwrite = getattr(given, "overwrite", True)
        self._pace = Pace(WINDOW_S)
        self._began = time.monotonic()
        self._shown = -float("inf")
        self._results = -1
        self._handle: Any = None

    def start(self, view: View) -> None:
        self._show(view)

    def update(self, view: Callable[[], View]) -> None:
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        seen = view()
        if seen.results != self._results:
            self._pace.add(now, seen.results, share(seen))
            self._show(seen)

    def end(self, view: View) -> None:
        self._show(view)

    def _show(self, view: View) -> None:
        self._shown, self._results = time.monotonic(), view.results
        board = Board(view, self._shown - self._began, self._pace, self._reporter)
        if self._handle is not None and self._overwrite:
            self._handle.update(board)
            return
        display = importlib.import_module("IPython.display").display
        self._handle = display(board, display_id=True)


class Board:
    """An experiment at one moment, as text and as HTML."""

    def __init__(
        self, view: View, elapsed: float, pace: Pace | None, reporter: CLIReporter | None = None
    ) -> None:
        self._view, self._reporter = view, reporter or CLIReporter()
        self._line = line(view, elapsed, pace)

    def __repr__(self) -> str:
        hint = farewell(self._view)
        text = f"{self._view.name}: {self._view.status}, {self._line}"
        return f"{text}\n{hint}" if hint else text

    def _repr_html_(self) -> str:
        view, given = self._view, self._reporter
        metrics = headings(given.metric_columns) or {view.metric or "objective": ""}
        parameters = headings(given.parameter_columns)
        rows = []
        for row in (view.top or best_first(view))[: given.max_progress_rows or ROWS]:
            values = [row.objective if n == view.metric else row.metrics.get(n) for n in metrics]
            texts = [row.name or str(row.trial), row.status.lower(), str(row.iteration)]
            texts += [cell(value) for value in values]
            texts += [cell(row.config.get(name)) for name in parameters]
            rows.append([*texts, *([] if parameters else [short(row.config)])])
        names = {**metrics, **parameters}
        head = ["trial", "status", "iteration"]
        head += [heading or name.rsplit("/", 1)[-1] for name, heading in names.items()]
        head += [] if parameters else ["configuration"]
        hint = farewell(view)
        return fragment(
            f"{view.name}",
            view.status.lower(),
            [self._line, *([hint] if hint else [])],
            bar=1.0 if view.status == GOOD else share(view),
            body=tabular(head, rows, words=0 if parameters else 1) if rows else "",
        )
