"""What an experiment was worth: confirm its leaders, a random baseline, importances, the front."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from service import schemas
from service.deps import IdempotencyKey, JsonObject, Metric, TheExperiment, TheStore
from service.progress import totals
from tunerl import judging, spec
from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.results.confirmation import Confirmation
from tunerl.results.grid import ResultGrid
from tunerl.results.importance import importance_of
from tunerl.spec import ExperimentSpec
from tunerl.store import Store
from tunerl.store.records import Experiment

router = APIRouter(prefix="/experiments", tags=["judging"])
Resamples = Annotated[int | None, Query(ge=0, le=200)]


@router.post("/{id}:confirm", status_code=201)
def confirm(
    body: JsonObject,
    experiment: TheExperiment,
    store: TheStore,
    response: Response,
    key: IdempotencyKey = None,
) -> schemas.ExperimentWithSpec:
    """Run the leaders again on fresh seeds: ``{top_k: 3, seeds: 10 or [...], scope: "last"}``."""
    make: Callable[..., ExperimentSpec] = judging.confirmation
    return _create(
        store, experiment, make, _options(body, "top_k", "seeds", "scope"), response, key
    )


@router.post("/{id}:baseline", status_code=201)
def baseline(
    experiment: TheExperiment, store: TheStore, response: Response, key: IdempotencyKey = None
) -> schemas.ExperimentWithSpec:
    """Random search over the same space on the budget that the experiment has spent."""
    return _create(store, experiment, judging.baseline, {}, response, key)


def _options(body: dict[str, Any], *known: str) -> dict[str, Any]:
    problems = [
        Problem(str(name), f"there is no such field; {nearest(str(name), known)}")
        for name in body
        if name not in known
    ]
    seeds = body.get("seeds", 10)
    if isinstance(seeds, bool) or not isinstance(seeds, int | list):
        problems.append(Problem("seeds", f"{seeds!r} given; how many, or a list of them"))
    if problems:
        raise InvalidSpec(problems)
    return body


def _create(
    store: Store,
    experiment: Experiment,
    make: Callable[..., ExperimentSpec],
    options: dict[str, Any],
    response: Response,
    key: str | None,
) -> schemas.ExperimentWithSpec:
    made = spec.check(judging.check_service(make(store, experiment, **options)))
    request = json.dumps([experiment.id, make.__name__, options], sort_keys=True)
    record = store.create_experiment(
        made.to_json(),
        made.name,
        claimable=True,
        idempotency_key=key,
        request_hash=hashlib.sha256(request.encode()).hexdigest(),
    )
    response.headers["Location"] = f"/api/v1/experiments/{record.id}"
    found = totals(store, record)
    return schemas.ExperimentWithSpec.of(record, found, spec=schemas.clean(record.spec))


@router.get("/{id}/ranking")
def get_ranking(experiment: TheExperiment, store: TheStore) -> list[schemas.Leader]:
    """Of a confirmation: its configurations, best IQM over the confirming seeds first."""
    leaders = Confirmation(store, experiment.id).to_json()
    return [schemas.Leader(**schemas.clean(leader)) for leader in leaders]


@router.get("/{id}/importance")
def get_importance(
    experiment: TheExperiment,
    store: TheStore,
    metric: Metric = None,
    evaluator: Literal["ped-anova", "fanova"] = "ped-anova",
    resamples: Resamples = None,
) -> list[schemas.Importance]:
    """How much each hyperparameter mattered, with a 95 % bootstrap interval over trials."""
    found = importance_of(store, experiment.id, metric, evaluator, resamples=resamples)
    return [
        schemas.Importance(
            parameter=entry.parameter,
            importance=entry.value,
            low=schemas.clean(entry.low),
            high=schemas.clean(entry.high),
        )
        for entry in found
    ]


@router.get("/{id}/pareto")
def get_pareto_front(experiment: TheExperiment, store: TheStore) -> schemas.ParetoFront:
    """The trials that no other beats in every objective, those that keep the constraints."""
    grid = ResultGrid(store, experiment.id)
    points = [
        schemas.ParetoPoint(
            trial=result.trial,
            config=schemas.clean(result.config),
            values={name: float(result.metrics[name]) for name in grid.objectives},
        )
        for result in grid.get_pareto_front()
    ]
    return schemas.ParetoFront(objectives=grid.objectives, points=points)
