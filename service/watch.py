"""A live terminal view of one experiment: how far it is, how fast, the best so far.

Invariant: it only reads; closing it changes nothing. `frame` and `line` are pure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.show import brief_config, duration, quantity
from tunerl.errors import NotFound
from tunerl.pace import Pace
from tunerl.trial import ExperimentStatus

Json = dict[str, Any]
LINE_SECONDS = 5.0  # between two lines where the output is no terminal


class Source(Protocol):
    """Where the view reads from: a `Client`, or the store of a run in this process."""

    def get(self, id: str) -> Json: ...
    def best(self, id: str) -> Json: ...
    def trials(self, id: str, *, status: str | None, limit: int | None) -> list[Json]: ...


@dataclass
class View:
    """What was seen so far of one experiment."""

    experiment: Json = field(default_factory=dict)
    best: Json | None = None
    pace: Pace = field(default_factory=Pace)  # in environment steps

    def add(self, experiment: Json, now: float) -> None:
        self.experiment = experiment
        self.pace.add(now, experiment["steps"], experiment["progress"])

    @property
    def speed(self) -> float:
        """Env steps per second over the last moments; over the whole run once it has ended."""
        if self.finished:
            return self.experiment["steps"] / max(self.elapsed, 1e-9) if self.elapsed else 0.0
        return self.pace.speed

    @property
    def finished(self) -> bool:
        return ExperimentStatus(self.experiment["status"]).finished

    @property
    def over(self) -> bool:
        """Nothing more will happen by itself: it has finished, or is paused for good."""
        paused = self.experiment["status"] == ExperimentStatus.PAUSED
        return self.finished or (paused and self.experiment["request"] is None)

    @property
    def best_config(self) -> str:
        """What of the best trial's configuration was searched, in one line."""
        assert self.best is not None
        return brief_config(self.best["config"], self.experiment["spec"]["param_space"])

    @property
    def elapsed(self) -> float:
        """Seconds since a worker took the experiment."""
        started, ended = self.experiment["started_at"], self.experiment["ended_at"]
        if started is None:
            return 0.0
        end = datetime.now(UTC) if ended is None else _time(ended)
        return max(0.0, (end - _time(started)).total_seconds())

    @property
    def eta(self) -> float | None:
        """Seconds still to go at the pace of the last moments, or None."""
        return None if self.finished else self.pace.eta


def watch(
    source: Source,
    id: str,
    console: Console,
    poll: float = 0.5,
    over: Callable[[View], bool] = lambda view: view.over,
) -> Json:
    """Show the experiment until it is `over`, in place on a terminal, else in lines."""
    view = View()
    if not console.is_terminal:
        _watch_in_lines(source, id, console, view, poll, over)
    else:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                _look(source, id, view)
                live.update(frame(view), refresh=True)
                if over(view):
                    break
                time.sleep(poll)
    for each in ending(view, source):
        console.print(each, soft_wrap=True)
    return view.experiment


def _watch_in_lines(
    source: Source,
    id: str,
    console: Console,
    view: View,
    poll: float,
    over: Callable[[View], bool],
) -> None:
    printed, seen = -LINE_SECONDS, None
    while True:
        _look(source, id, view)
        status, now = view.experiment["status"], time.monotonic()
        if now - printed >= LINE_SECONDS or status != seen:
            console.print(line(view), soft_wrap=True, highlight=False, markup=False)
            printed, seen = now, status
        if over(view):
            return
        time.sleep(poll)


def _look(source: Source, id: str, view: View) -> None:
    experiment = source.get(id)
    view.add(experiment, time.monotonic())
    known, best = view.best, experiment["best"]
    if best is not None and (
        known is None or _key(best) != (known["number"], known["best_objective"])
    ):
        try:
            view.best = source.best(id)
        except NotFound:
            view.best = None


def _key(best: Mapping[str, Any]) -> tuple[int, float | None]:
    return best["trial"], best["objective"]


def line(view: View) -> str:
    """The state as one line of plain text."""
    experiment = view.experiment
    parts = [
        f"{experiment['name']}: {experiment['status']}",
        f"{experiment['progress']:.0%}",
        _counts(experiment) or "no trial yet",
        f"{quantity(experiment['steps'])} steps",
        f"{quantity(view.speed)} steps/s",
        f"after {duration(view.elapsed)}",
    ]
    if view.eta is not None:
        parts.append(f"about {duration(view.eta)} to go")
    if view.best is not None:
        parts.append(f"best {_value(view.best)} (trial {view.best['number']})")
    if experiment["reason"] and not view.over:
        parts.append(experiment["reason"])
    return ", ".join(parts)


def frame(view: View) -> RenderableType:
    """The state as a picture of a few lines."""
    experiment = view.experiment
    head = Table.grid(padding=(0, 2))
    eta = f"about {duration(view.eta)} to go" if view.eta is not None else ""
    head.add_row(
        Text(experiment["name"], style="bold"),
        Text(experiment["status"], style=STYLES.get(experiment["status"], "")),
        ProgressBar(total=1.0, completed=experiment["progress"], width=40),
        Text(f"{experiment['progress']:4.0%}"),
        Text(f"{duration(view.elapsed)}  {eta}"),
    )
    body = Table.grid(padding=(0, 2))
    body.add_row(Text("trials", style="dim"), Text(_counts(experiment) or "none yet"))
    steps = f"{quantity(experiment['steps'])} env steps, {quantity(view.speed)} per second"
    body.add_row(Text("speed", style="dim"), Text(steps))
    if view.best is not None:
        metric = experiment["metric"] or "objective"
        found = f"{_value(view.best)} {metric}, trial {view.best['number']}"
        body.add_row(Text("best", style="dim"), Text(found, style="bold"))
        body.add_row("", Text(view.best_config))
    if experiment["reason"]:
        body.add_row(Text("reason", style="dim"), Text(experiment["reason"]))
    return Group(head, body)


STYLES = {"RUNNING": "cyan", "COMPLETED": "green", "ERROR": "red", "CANCELED": "yellow"}


def ending(view: View, source: Source) -> list[Text]:
    """What is said once the experiment has finished: the result, and why trials failed."""
    experiment, said = view.experiment, []
    took = f"{experiment['name']} {experiment['status']} after {duration(view.elapsed)}"
    said.append(Text(f"{took}: {quantity(experiment['steps'])} env steps"))
    if view.best is not None:
        said.append(Text(f"best: trial {view.best['number']} with {_value(view.best)}"))
        said.append(Text(f"  {view.best_config}"))
    if experiment["reason"]:
        said.append(Text(f"reason: {experiment['reason']}", style="yellow"))
    failed = experiment["counts"].get("ERROR", 0)
    if failed:
        said.append(Text(f"{failed} failed, the first ones:", style="red"))
        for trial in source.trials(experiment["id"], status="ERROR", limit=3):
            said.append(Text(f"  trial {trial['number']}: {last_line(trial['error'])}"))
    return said


def last_line(error: str | None) -> str:
    """The line of a traceback that says what happened."""
    lines = [each for each in (error or "").splitlines() if each.strip()]
    return lines[-1].strip() if lines else "no reason was recorded"


def _counts(experiment: Mapping[str, Any]) -> str:
    """Trials by status; of those that run, who has not reported yet is starting."""
    counts, starting = dict(experiment["counts"]), experiment["starting"]
    if starting:
        counts["RUNNING"] = max(0, counts.get("RUNNING", 0) - starting)
        counts["STARTING"] = starting
    return ", ".join(f"{number} {status.lower()}" for status, number in counts.items() if number)


def _value(trial: Mapping[str, Any]) -> str:
    return quantity(trial["best_objective"])


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
