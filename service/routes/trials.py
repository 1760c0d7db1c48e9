"""Trials of an experiment and their learning curves."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service import schemas
from service.deps import (
    After,
    Limit,
    MaxPoints,
    Metric,
    OneStatus,
    Order,
    TheExperiment,
    TheStore,
    TheTrial,
)
from tunerl.errors import InvalidInput, Problem
from tunerl.store.records import Experiment

router = APIRouter(prefix="/experiments/{id}", tags=["trials"])

SortKey = Literal[
    "number", "status", "iteration", "steps", "time_total_s", "objective", "best_objective"
]


@router.get("/trials")
def list_trials(
    experiment: TheExperiment,
    store: TheStore,
    sort: SortKey = "number",
    order: Order = "asc",
    status: OneStatus = None,
    limit: Limit = 100,
    after: After = 0,
) -> schemas.Trials:
    """A page of trials; `next` is the `after` of the next page."""
    records = store.trials(
        experiment.id,
        sort=sort,
        descending=order == "desc",
        limit=limit,
        after=after,
        status=status,
    )
    items = [schemas.Trial.of(record) for record in records]
    return schemas.Trials(items=items, next=items[-1].number + 1 if len(items) == limit else None)


@router.get("/trials/{number}")
def get_trial(trial: TheTrial) -> schemas.Trial:
    """One trial."""
    return schemas.Trial.of(trial)


@router.get("/trials/{number}/curve")
def get_curve(
    experiment: TheExperiment,
    trial: TheTrial,
    store: TheStore,
    metric: Metric = None,
    max_points: MaxPoints = 500,
) -> schemas.Curve:
    """A metric over the trial's iterations, downsampled; the objective unless another is named."""
    metric = metric or _objective(experiment)
    points = store.curve(experiment.id, trial.number, metric, max_points)
    return schemas.Curve(metric=metric, points=[schemas.Point.of(point) for point in points])


@router.get("/curves")
def list_curves(
    experiment: TheExperiment,
    store: TheStore,
    metric: Metric = None,
    top: Annotated[int, Query(ge=1, le=200)] = 20,
    max_points: MaxPoints = 200,
) -> schemas.Curves:
    """The curves of the `top` best trials, those without a point left out."""
    metric = metric or _objective(experiment)
    descending = experiment.spec.get("mode") != "min"
    best = store.trials(experiment.id, sort="best_objective", descending=descending, limit=top)
    found = [
        (trial.number, store.curve(experiment.id, trial.number, metric, max_points))
        for trial in best
    ]
    curves = [
        schemas.TrialCurve(trial=number, points=[schemas.Point.of(point) for point in points])
        for number, points in found
        if points
    ]
    return schemas.Curves(metric=metric, curves=curves)


def _objective(experiment: Experiment) -> str:
    metric = experiment.spec.get("metric")
    if not metric:
        raise InvalidInput(Problem("metric", "this experiment has no objective; name a metric"))
    return str(metric)
