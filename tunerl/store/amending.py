"""Experiments that go on under another spec, and experiments that begin with another's history.

Invariant: a changed spec and the event that says what it was before are one transaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tunerl.store.commit import Writing
from tunerl.store.database import Database
from tunerl.store.experiments import require
from tunerl.store.leases import fence
from tunerl.store.records import Experiment, Lease, Tick
from tunerl.store.tables import attempts, checkpoints, events, experiments, leases, results, trials
from tunerl.trial import ExperimentStatus

_COPIED = (trials, attempts, results, checkpoints, events)


class Amendments:
    """Part of `Store`: needs a `Database`."""

    _database: Database

    def amend(self, lease: Lease, spec: Mapping[str, Any], message: str, tick: Tick) -> None:
        """Give an experiment another spec, and write the tick that follows from it; the event
        ``experiment.extended`` keeps what of the old spec was different.

        Raises what `Store.commit` raises; then nothing is changed.
        """

        def work(connection: sa.Connection) -> None:
            fence(connection, lease)
            plain = json.loads(json.dumps(dict(spec)))
            old = require(connection, lease.experiment_id).spec
            names = [name for name in plain if plain[name] != old.get(name)]
            row = experiments.c.id == lease.experiment_id
            connection.execute(experiments.update().where(row).values(spec=plain))
            data = {
                "before": {name: old.get(name) for name in names},
                "after": {name: plain[name] for name in names},
            }
            Writing(connection, lease, old.get("mode")).write(tick)
            _event(connection, lease.experiment_id, "experiment.extended", message, data)

        self._database.write(work)

    def fork_experiment(self, source: str, name: str, *, claimable: bool) -> Experiment:
        """A new PENDING experiment with the spec, trials, results and events of `source`.

        A claimable one waits until it is asked to resume. Its checkpoints are the source's files,
        which are pinned there: retention leaves them, and they have to stay as long as the fork is
        needed. Raises `NotFound`.
        """
        id = secrets.token_hex(6)

        def work(connection: sa.Connection) -> Experiment:
            seen = sa.select(experiments.c.id).where(experiments.c.id == id)
            if connection.scalar(seen) is not None:  # by a try whose answer was lost
                return require(connection, id)
            old = require(connection, source)
            now = datetime.now(UTC)
            row = {
                "id": id,
                "name": name,
                "status": ExperimentStatus.PENDING.value,
                "claimable": claimable,
                "request": "pause" if claimable else None,
                "metric": old.spec.get("metric"),
                "mode": old.spec.get("mode"),
                "created_at": now,
                "spec": {**old.spec, "name": name},
            }
            connection.execute(experiments.insert(), row)
            connection.execute(
                leases.insert(), {"experiment_id": id, "token": 0, "expires_at": 0.0}
            )
            for table in _COPIED:
                _copy(connection, table, old.id, id)
            mine = checkpoints.c.experiment_id
            pin = checkpoints.update().where(mine == old.id)
            connection.execute(pin.values(pins=checkpoints.c.pins + 1))
            connection.execute(checkpoints.update().where(mine == id).values(pins=0))
            message = f"begun with the history of experiment {old.id} ({old.name})"
            _event(connection, id, "experiment.forked", message, {"source": old.id})
            return require(connection, id)

        return self._database.write(work)


def _copy(connection: sa.Connection, table: sa.Table, source: str, target: str) -> None:
    """The rows of one experiment as rows of another, in their order; ids are new ones."""
    columns = [column for column in table.c if column.name not in ("id", "experiment_id")]
    query = sa.select(sa.literal(target), *columns).where(table.c.experiment_id == source)
    if table is events:  # what controllers of the source did is not the fork's
        query = query.where(events.c.kind.not_like("experiment.%"))
    if "id" in table.c:
        query = query.order_by(table.c.id)
    names = ["experiment_id", *(column.name for column in columns)]
    connection.execute(table.insert().from_select(names, query))


def _event(
    connection: sa.Connection, id: str, kind: str, message: str, data: dict[str, Any]
) -> None:
    row = {"experiment_id": id, "kind": kind, "message": message, "data": data}
    connection.execute(events.insert(), {**row, "created_at": datetime.now(UTC)})
