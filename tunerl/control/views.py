"""What a person sees of a running experiment, as plain data; and who is shown it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunerl.control.ledger import Ledger, Run
from tunerl.trial import Config, Metrics, Status

if TYPE_CHECKING:
    from tunerl.control.outcome import Outcome
    from tunerl.spec import ExperimentSpec, Parts

STEPS = "num_env_steps_sampled_lifetime"
TOP = 50  # how many of the best trials a view shows at most


@dataclass(frozen=True)
class Row:
    """One trial. `name`: what it was called by `trial_name_creator`, else empty."""

    trial: int
    iteration: int
    objective: float | None
    config: Config
    status: str = "RUNNING"
    metrics: Metrics = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class View:
    """One experiment at one moment. `total`: trials in all, None for no end; `steps`: environment
    steps of all replicas; `best`: (objective, trial); `top`: the best trials by their last
    objective, at most `TOP`; `starting`: how many of those that run have not reported yet."""

    name: str
    id: str
    metric: str | None
    mode: str | None
    counts: dict[str, int]
    total: int | None
    results: int
    steps: int
    best: tuple[float, int] | None
    best_config: Config
    running: list[Row] = field(default_factory=list)
    top: list[Row] = field(default_factory=list)
    status: str = "RUNNING"
    reason: str | None = None
    starting: int = 0


class Progress:
    """Is told how an experiment goes. The base class keeps quiet."""

    def start(self, view: View) -> None:
        """The experiment begins, or goes on."""

    def update(self, view: Callable[[], View]) -> None:
        """A turn is over; `view` makes the view if it is wanted now."""

    def end(self, view: View) -> None:
        """The controller leaves the experiment."""


class NoProgress(Progress):
    """Shows nothing."""


def view_of(
    spec: ExperimentSpec,
    ledger: Ledger,
    parts: Parts,
    outcome: Outcome,
    name: Callable[[Run], str] = lambda run: "",
) -> View:
    """The view of a controller's memory. `name`: what a trial is called."""
    best, drawn = ledger.best, parts.space.drawn

    def value(run: Run) -> float | None:
        return _number(run.last.get(spec.metric or ""))

    def row(run: Run) -> Row:
        return Row(
            run.number,
            run.iteration,
            value(run),
            drawn(run.config),
            str(run.status),
            run.last,
            name(run),
        )

    rows = [row(run) for run in sorted(ledger.of[Status.RUNNING].values(), key=_by_number)]
    sign = 1.0 if spec.mode == "min" else -1.0
    judged = [
        (sign * v, run.number)
        for run in ledger.trials.values()
        if (v := value(run)) == v and v is not None
    ]
    top = [row(ledger.trials[number]) for _, number in heapq.nsmallest(TOP, judged)]
    return View(
        name=spec.name,
        id=ledger.experiment_id,
        metric=spec.metric,
        mode=spec.mode,
        counts={str(status): len(runs) for status, runs in ledger.of.items() if runs},
        total=parts.searcher.total,
        results=ledger.results,
        steps=ledger.steps,
        best=best,
        best_config=drawn(ledger.trials[best[1]].config) if best else {},
        running=rows,
        top=top,
        status=str(outcome.status),
        reason=outcome.reason,
        starting=sum(row.iteration == 0 for row in rows),
    )


def _by_number(run: Run) -> int:
    return run.number


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
