"""A trial's row while a tick is applied to it: summary and status. Pure."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunerl.store.records import Change, ResultRecord
from tunerl.store.tables import join, split
from tunerl.trial import Metrics, Status, check_transition

STEPS = "num_env_steps_sampled_lifetime"
TIME = "time_total_s"


@dataclass(slots=True)
class Standing:
    """The columns of a trial that change, in the order of `COLUMNS`."""

    status: str
    reason: str | None
    attempt: int
    failures: int
    error: str | None
    iteration: int
    steps: int
    time_total_s: float
    objective: float | None
    objective_kind: int
    best_objective: float | None
    best_objective_kind: int
    best_iteration: int | None
    started_at: datetime | None
    ended_at: datetime | None

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COLUMNS}

    def add(self, result: ResultRecord, mode: str | None) -> None:
        """Take a new result into the summary."""
        if result.iteration > self.iteration:
            self.iteration = result.iteration
            self.steps = count(result.metrics, STEPS)
            self.time_total_s = number(result.metrics, TIME)
            self.objective, self.objective_kind = split(result.objective)
        best = join(self.best_objective, self.best_objective_kind)
        if better(result.objective, best, mode):
            self.best_objective, self.best_objective_kind = split(result.objective)
            self.best_iteration = result.iteration

    def change(self, change: Change, now: datetime) -> bool:
        """Take over a change; whether the status is another one now."""
        status, old = Status(change.status), Status(self.status)
        if status is not old:
            check_transition(old, status)
            self.status, self.reason = status.value, None
            self.ended_at = now if status.finished else None
            if status is Status.RUNNING and self.started_at is None:
                self.started_at = now
        if change.reason is not None:
            self.reason = change.reason.value
        if change.attempt is not None:
            self.attempt = change.attempt
        if change.failures is not None:
            self.failures = change.failures
        if change.error is not None:
            self.error = clean(change.error) or None
        return status is not old


COLUMNS = tuple(field.name for field in dataclasses.fields(Standing))


def better(value: float | None, than: float | None, mode: str | None) -> bool:
    """Whether `value` beats `than` under `mode`; NaN beats only None, None beats nothing."""
    if value is None or mode is None:
        return False
    if than is None:
        return True
    if math.isnan(value) or math.isnan(than):
        return math.isnan(than) and not math.isnan(value)
    return value > than if mode == "max" else value < than


def number(metrics: Metrics, name: str) -> float:
    """A finite number among `metrics`, else 0."""
    value = metrics.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return 0.0


def count(metrics: Metrics, name: str) -> int:
    """A whole number among `metrics`, rounded, else 0."""
    return round(number(metrics, name))


def clean(text: str) -> str:
    """Text that every database takes: no NUL, no lone surrogate."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
