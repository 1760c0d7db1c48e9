"""What came of an experiment: the ResultGrid, as JSON and CSV, the best trial, its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from service import archive, schemas, tables
from service.deps import TheExperiment, TheStore
from service.grid import best_statistics, best_trial, grid

router = APIRouter(prefix="/experiments/{id}", tags=["results"])


@router.get("/results")
def get_results(experiment: TheExperiment, store: TheStore) -> list[schemas.Result]:
    """Every trial with its last result, and the objective under each of its seeds."""
    return list(grid(store, experiment))


@router.get("/results.csv")
def get_results_csv(experiment: TheExperiment, store: TheStore) -> StreamingResponse:
    """The same as a table, one line for each trial."""
    return StreamingResponse(
        tables.csv_lines(grid(store, experiment)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{experiment.id}-results.csv"'},
    )


@router.get("/best")
def get_best(experiment: TheExperiment, store: TheStore) -> schemas.TrialWithStatistics:
    """The best trial; its statistics are those of its best result."""
    trial = best_trial(store, experiment)
    statistics = best_statistics(store, experiment, trial)
    return schemas.TrialWithStatistics.of(trial, statistics=statistics)


@router.get("/best/checkpoint", response_class=StreamingResponse)
def get_best_checkpoint(
    experiment: TheExperiment,
    store: TheStore,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best trial's best checkpoint as a zip, with its SHA-256."""
    checkpoint = archive.best_checkpoint(store, experiment)
    etag = f'"{checkpoint.sha256}"'
    if archive.matches(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    zipped = archive.zip_checkpoint(store, checkpoint)
    name = f"{experiment.id}-trial-{checkpoint.trial}-iteration-{checkpoint.iteration}.zip"
    headers = {
        "ETag": etag,
        "X-Checksum-SHA256": zipped.sha256,
        "Content-Length": str(zipped.size),
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    blocks: Iterator[bytes] = zipped.blocks()
    return StreamingResponse(blocks, headers=headers, media_type="application/zip")
