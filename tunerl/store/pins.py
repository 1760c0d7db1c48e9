"""What experiments need of one another: a fork its source's checkpoints, a searcher its teachers.

Invariant: a fork holds one pin on each of its source's checkpoints that it still lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tunerl.store.tables import checkpoints, events

_SOURCE = sa.select(events.c.data).where(
    events.c.experiment_id == sa.bindparam("of"), events.c.kind == "experiment.forked"
)


def unpinned(more: int | sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """The pins of a checkpoint after `more`, which may be negative; never fewer than none."""
    pins = checkpoints.c.pins + more
    return sa.case((pins < 0, 0), else_=pins)


def release(connection: sa.Connection, id: str, uris: Sequence[str] | None = None) -> None:
    """Take back what a fork has pinned in the experiment that it was made from: these of its
    checkpoints, or all of them. Any other experiment has pinned nothing."""
    if uris is not None and not uris:
        return
    forked = connection.scalar(_SOURCE, {"of": id})
    if forked is None:
        return
    mine = sa.select(checkpoints.c.uri).where(checkpoints.c.experiment_id == id)
    if uris is not None:
        mine = mine.where(checkpoints.c.uri.in_(uris))
    connection.execute(
        checkpoints.update()
        .where(checkpoints.c.experiment_id == forked["source"])
        .where(checkpoints.c.uri.in_(connection.scalars(mine).all()))
        .values(pins=unpinned(-1))
    )


def learners(connection: sa.Connection, id: str) -> list[str]:
    """The experiments whose searchers learned from this one: they need it whenever they go on."""
    learned = sa.select(events.c.experiment_id).where(
        events.c.kind == "searcher.learned", events.c.data["experiment"].as_string() == id
    )
    return sorted({found for found in connection.scalars(learned) if found != id})
