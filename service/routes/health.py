"""Whether the process is up, and whether it can do its work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from service.deps import TheStore
from tunerl.trial import ExperimentStatus

PATIENCE = timedelta(seconds=15)

router = APIRouter(tags=["health"])


@router.get("/healthz")
def get_health() -> dict[str, str]:
    """The process is up."""
    return {"status": "ok"}


@router.get("/readyz")
def get_readiness(store: TheStore) -> dict[str, Any]:
    """The store can be reached and has the schema of this version; 503 where not.

    `worker` is "busy" while an experiment runs, "missing" when one has waited too long for a
    worker, else "unknown": without work there is nothing to see of one.
    """
    store.ping()
    running, _ = store.list_experiments(ExperimentStatus.RUNNING, limit=1)
    waiting, _ = store.list_experiments(ExperimentStatus.PENDING, limit=1)
    patience = datetime.now(UTC) - PATIENCE
    overdue = any(each.claimable and each.created_at < patience for each in waiting)
    worker = "busy" if running else "missing" if overdue else "unknown"
    return {"status": "ready", "schema": store.schema_version(), "worker": worker}


@router.get("/api/v1/version")
def get_version() -> dict[str, str]:
    """The version of the service."""
    return {"version": version("tunerl")}
