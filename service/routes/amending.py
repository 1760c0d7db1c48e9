"""Experiments under other settings: extend one that was made, or fork it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from service import schemas
from service.admission import admit_changes
from service.deps import JsonObject, TheExperiment, TheStore
from service.progress import totals
from tunerl import spec as specs
from tunerl.errors import Conflict
from tunerl.extending import Extension
from tunerl.resuming import Resume
from tunerl.spec import Custom
from tunerl.store import Store
from tunerl.store.records import Experiment
from tunerl.trial import ExperimentStatus

router = APIRouter(prefix="/experiments", tags=["experiments"])
OWNER, LEASE_S = "api", 30.0


@router.post("/{id}:extend", status_code=202)
def extend(body: JsonObject, experiment: TheExperiment, store: TheStore) -> schemas.Experiment:
    """Go on under another stop rule, budget or space: fields of a spec, such as `num_samples`.

    409 while it runs, and for one that a program made.
    """
    record = _amend(store, experiment, body)
    return schemas.Experiment.of(record, totals(store, record))


@router.post("/{id}:fork", status_code=201)
def fork(
    body: JsonObject, experiment: TheExperiment, store: TheStore, response: Response
) -> schemas.Experiment:
    """A new experiment with the trials, results and checkpoints of this one; `name` and what
    `:extend` takes may be given."""
    changes = dict(body)
    name = changes.pop("name", None) or f"{experiment.name}-fork"
    admit_changes(_plain(experiment), {"name": name, **changes})
    made = store.fork_experiment(experiment.id, str(name), claimable=True)
    _amend(store, made, changes)
    record = store.set_request(made.id, "resume")  # from here on a worker may take it
    response.headers["Location"] = f"/api/v1/experiments/{record.id}"
    return schemas.Experiment.of(record, totals(store, record))


def _plain(experiment: Experiment) -> specs.ExperimentSpec:
    found = specs.from_json(experiment.spec)
    if found.python or not experiment.claimable:
        raise Conflict(
            f"experiment {experiment.id} is driven by the program that made it; "
            "use Tuner.extend or Tuner.fork there"
        )
    return found


def _amend(store: Store, experiment: Experiment, changes: dict[str, Any]) -> Experiment:
    before = _plain(experiment)
    after = admit_changes(before, changes)
    lease = store.acquire(experiment.id, OWNER, LEASE_S)
    try:
        stopped = bool({"stop", "stopper"} & {*changes})
        Extension(before, after, Custom(), stopped).apply(store, lease)
        Resume().prepare(store, lease)
        return store.set_status(lease, ExperimentStatus.PENDING)
    finally:
        store.release(lease)
