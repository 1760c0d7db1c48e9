"""Experiments: submit, list, look at, cancel, pause, resume; and what happened in them."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Query, Response

from service import schemas
from service.admission import admit
from service.deps import (
    After,
    IdempotencyKey,
    JsonObject,
    Limit,
    OneExperimentStatus,
    TheExperiment,
    TheStore,
)
from service.progress import totals
from tunerl.control.earlier import check_warm_start

router = APIRouter(prefix="/experiments", tags=["experiments"])


@router.post("", status_code=201)
def create_experiment(
    body: JsonObject, store: TheStore, response: Response, key: IdempotencyKey = None
) -> schemas.ExperimentWithSpec:
    """Submit an experiment. With an `Idempotency-Key` the same request again answers the same."""
    spec = admit(body)
    check_warm_start(store, spec)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    record = store.create_experiment(
        spec.to_json(), spec.name, claimable=True, idempotency_key=key, request_hash=digest
    )
    response.headers["Location"] = f"/api/v1/experiments/{record.id}"
    return schemas.ExperimentWithSpec.of(record, totals(store, record), spec=record.spec)


@router.get("")
def list_experiments(
    store: TheStore,
    status: OneExperimentStatus = None,
    limit: Limit = 50,
    after: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    origin: Annotated[str | None, Query(pattern=r"^\w{1,64}$")] = None,
) -> schemas.Experiments:
    """Newest first; `next` is the `after` of the next page. `origin`: those made from this one."""
    records, next_page = store.list_experiments(status, limit, after, origin)
    items = [schemas.Experiment.of(record, totals(store, record)) for record in records]
    return schemas.Experiments(items=items, next=next_page)


@router.get("/{id}")
def get_experiment(experiment: TheExperiment, store: TheStore) -> schemas.ExperimentWithSpec:
    """One experiment by id or name, with its spec."""
    found = totals(store, experiment)
    return schemas.ExperimentWithSpec.of(experiment, found, spec=schemas.clean(experiment.spec))


@router.post("/{id}:cancel", status_code=202)
def cancel_experiment(experiment: TheExperiment, store: TheStore) -> schemas.Experiment:
    """Ask that it ends. Canceling again, or what has been canceled, is no error."""
    record = store.set_request(experiment.id, "cancel")
    return schemas.Experiment.of(record, totals(store, record))


@router.post("/{id}:pause", status_code=202)
def pause_experiment(experiment: TheExperiment, store: TheStore) -> schemas.Experiment:
    """Ask that it is put aside, its running trials saved."""
    record = store.set_request(experiment.id, "pause")
    return schemas.Experiment.of(record, totals(store, record))


@router.post("/{id}:resume", status_code=202)
def resume_experiment(experiment: TheExperiment, store: TheStore) -> schemas.Experiment:
    """Ask that a paused one goes on, by the next worker that is free."""
    record = store.set_request(experiment.id, "resume")
    return schemas.Experiment.of(record, totals(store, record))


@router.get("/{id}/events")
def list_events(
    experiment: TheExperiment,
    store: TheStore,
    after: After = 0,
    limit: Limit = 200,
    kind: Annotated[str | None, Query(pattern=r"^[\w.]{1,64}$")] = None,
) -> schemas.Events:
    """What happened, oldest first; `kind`: only events of it, such as ``trial.error``."""
    records = store.events(experiment.id, after, limit, kind)
    items = [schemas.Event.of(record) for record in records]
    return schemas.Events(items=items, next=items[-1].id if len(items) == limit else None)
