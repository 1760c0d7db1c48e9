"""The checkpoints that the store knows of, and the pins that keep them from being deleted."""

from __future__ import annotations

import sqlalchemy as sa

from tunerl.errors import NotFound
from tunerl.store.database import Database
from tunerl.store.experiments import require
from tunerl.store.pins import unpinned
from tunerl.store.records import CheckpointRecord
from tunerl.store.tables import checkpoints, join


class Artifacts:
    """Part of `Store`: needs a `Database`."""

    _database: Database

    def checkpoints(self, id: str, trial: int | None = None) -> list[CheckpointRecord]:
        """Of an experiment or of one trial, by (trial, iteration). Raises `NotFound`."""
        query = sa.select(checkpoints).where(checkpoints.c.experiment_id == id)
        if trial is not None:
            query = query.where(checkpoints.c.trial == trial)

        def work(connection: sa.Connection) -> list[CheckpointRecord]:
            order = (checkpoints.c.trial, checkpoints.c.iteration)
            rows = connection.execute(query.order_by(*order)).all()
            if not rows:
                require(connection, id)
            return [
                CheckpointRecord(
                    trial=row.trial,
                    iteration=row.iteration,
                    uri=row.uri,
                    size=row.size,
                    sha256=row.sha256,
                    score=join(row.score, row.score_kind),
                    pins=row.pins,
                    id=row.id,
                    created_at=row.created_at,
                )
                for row in rows
            ]

        return self._database.read(work)

    def pin(self, checkpoint_id: int) -> None:
        """Keep a checkpoint from being deleted until `unpin`. Raises `NotFound`."""
        self._add_pins(checkpoint_id, 1)

    def unpin(self, checkpoint_id: int) -> None:
        """Take one pin away; none left is no error. Raises `NotFound`."""
        self._add_pins(checkpoint_id, -1)

    def _add_pins(self, checkpoint_id: int, more: int) -> None:
        update = checkpoints.update().where(checkpoints.c.id == checkpoint_id)
        update = update.values(pins=unpinned(more))
        if self._database.write(lambda connection: connection.execute(update).rowcount) != 1:
            raise NotFound(f"no checkpoint {checkpoint_id}")
