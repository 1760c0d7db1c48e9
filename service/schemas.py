"""What the API answers, as typed models made from records.

Invariant: JSON that leaves is valid JSON: NaN and infinities are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from service.progress import Totals, environment_name, progress
from tunerl.store.records import Event as EventRecord
from tunerl.store.records import Experiment as ExperimentRecord
from tunerl.store.records import TrialRecord

Json = dict[str, Any]


def clean(value: Any) -> Any:
    """`value` with null for NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


class BestTrial(BaseModel):
    trial: int
    objective: float | None


class Experiment(BaseModel):
    """One sweep. `progress` is between 0 and 1, `steps` env steps of all trials together;
    `starting`: how many of those that are RUNNING have not reported yet; `origin`: kind and
    experiment that it was made from, else empty."""

    id: str
    name: str
    status: str
    reason: str | None
    request: str | None
    trainable: str
    environment: str | None
    metric: str | None
    mode: str | None
    num_samples: int
    num_seeds: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: dict[str, int]
    starting: int
    progress: float
    steps: int
    best: BestTrial | None
    origin: Json

    @classmethod
    def of(cls, record: ExperimentRecord, totals: Totals, **more: Any) -> Self:
        spec, best = record.spec, totals.best
        return cls(
            **{name: getattr(record, name) for name in _OF_EXPERIMENT},
            **{name: spec.get(name) for name in ("trainable", "metric", "mode")},
            num_samples=spec.get("num_samples", 1),
            num_seeds=spec.get("num_seeds", 1),
            environment=environment_name(spec),
            progress=progress(record, totals),
            steps=totals.steps,
            starting=totals.starting,
            best=BestTrial(trial=best[0], objective=clean(best[1])) if best else None,
            origin=spec.get("origin") or {},
            **more,
        )


_OF_EXPERIMENT = (
    "id", "name", "status", "reason", "request", "created_at", "started_at", "ended_at", "counts",
)  # fmt: skip


class ExperimentWithSpec(Experiment):
    spec: Json


class Trial(BaseModel):
    """A configuration with its last and its best result."""

    number: int
    status: str
    reason: str | None
    config: Json
    seeds: list[int]
    attempt: int
    failures: int
    iteration: int
    steps: int
    time_total_s: float | None
    objective: float | None
    best_objective: float | None
    best_iteration: int | None
    last: Json
    best: Json
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, record: TrialRecord, **more: Any) -> Self:
        return cls(**{name: clean(getattr(record, name)) for name in Trial.model_fields}, **more)


class Statistics(BaseModel):
    """The objective of the replicas: their values and summaries; `low` and `high` bound the IQM."""

    mean: float | None
    iqm: float | None
    median: float | None
    std: float | None
    min: float | None
    max: float | None
    low: float | None
    high: float | None
    n: int
    values: list[float | None]


class TrialWithStatistics(Trial):
    statistics: Statistics | None


class Result(BaseModel):
    """A trial as the ResultGrid has it."""

    trial: int
    status: str
    config: Json
    metrics: Json
    statistics: Statistics | None
    error: str | None


class Experiments(BaseModel):
    items: list[Experiment]
    next: str | None


class Trials(BaseModel):
    items: list[Trial]
    next: int | None


class Point(BaseModel):
    """A point of a learning curve. `replicas`: the value under each seed, if several."""

    iteration: int
    steps: int
    value: float | None
    replicas: list[float | None]

    @classmethod
    def of(cls, point: Json) -> Point:
        return cls(**clean(point))


class Curve(BaseModel):
    metric: str
    points: list[Point]


class TrialCurve(BaseModel):
    trial: int
    points: list[Point]


class Curves(BaseModel):
    metric: str
    curves: list[TrialCurve]


class Event(BaseModel):
    id: int
    kind: str
    message: str
    trial: int | None
    data: Json
    created_at: datetime | None

    @classmethod
    def of(cls, record: EventRecord) -> Event:
        return cls(**{name: clean(getattr(record, name)) for name in cls.model_fields})


class Events(BaseModel):
    items: list[Event]
    next: int | None


class Trainable(BaseModel):
    """What can be tuned, with the JSON schema of its configuration."""

    name: str
    objective: tuple[str, str] | None
    schema_: Json = Field(alias="schema")


class Leader(BaseModel):
    """A configuration of a confirmation. See `tunerl.results.confirmation.Leader`."""

    rank: int
    trial: int
    config: Json
    tuned: float | None
    values: list[float | None]
    iqm: float | None
    low: float | None
    high: float | None
    improvement: float | None
    improvement_low: float | None
    improvement_high: float | None


class Importance(BaseModel):
    """A hyperparameter's share of 1."""

    parameter: str
    importance: float
    low: float | None
    high: float | None


class ParetoPoint(BaseModel):
    trial: int
    config: Json
    values: dict[str, float]


class ParetoFront(BaseModel):
    """`objectives`: name to mode."""

    objectives: dict[str, str]
    points: list[ParetoPoint]
