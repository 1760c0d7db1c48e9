"""Experiments: made, found, listed, asked for something, deleted.

Invariant: while someone holds the lease of an experiment only the holder changes its status;
a user's wish is a `request` until then.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from tunerl.errors import Conflict, IdempotencyConflict, InvalidInput, NotFound, nearest
from tunerl.store.database import Database
from tunerl.store.pins import learners, release
from tunerl.store.records import Experiment
from tunerl.store.tables import (
    attempts,
    checkpoints,
    clock,
    events,
    experiments,
    leases,
    results,
    trials,
)
from tunerl.trial import ExperimentStatus, Reason, Status

REQUESTS = ("cancel", "pause", "resume")
_OPEN = [status.value for status in Status if not status.finished]
_UNHELD_END = (ExperimentStatus.PENDING, ExperimentStatus.PAUSED)
_SETTLED = {
    "pause": (ExperimentStatus.PAUSED,),
    "resume": (ExperimentStatus.PENDING, ExperimentStatus.RUNNING),
}


class Experiments:
    """Part of `Store`: needs a `Database`."""

    _database: Database

    def create_experiment(
        self,
        spec_json: Mapping[str, Any],
        name: str,
        *,
        claimable: bool,
        idempotency_key: str | None = None,
        request_hash: str | None = None,
    ) -> Experiment:
        """A new PENDING experiment; or, for a key already seen with this hash, the first one.

        Raises `IdempotencyConflict` for a key already seen with another hash.
        """
        id = secrets.token_hex(6)
        row = {
            "id": id,
            "name": name,
            "status": ExperimentStatus.PENDING.value,
            "claimable": claimable,
            "metric": spec_json.get("metric"),
            "mode": spec_json.get("mode"),
            "idempotency_key": idempotency_key,
            "request_hash": request_hash,
            "created_at": datetime.now(UTC),
            "spec": dict(spec_json),
        }

        def work(connection: sa.Connection) -> Experiment:
            made = _find(connection, experiments.c.id == id)  # by a try whose answer was lost
            if made is None and idempotency_key is not None:
                made = _by_key(connection, idempotency_key, request_hash)
            if made is not None:
                return made
            connection.execute(experiments.insert(), row)
            connection.execute(
                leases.insert(), {"experiment_id": id, "token": 0, "expires_at": 0.0}
            )
            return require(connection, id)

        try:
            return self._database.write(work)
        except IntegrityError:  # another process used the key a moment ago
            return self._database.write(work)

    def get_experiment(self, id_or_name: str) -> Experiment:
        """By id, else the newest of that name. Raises `NotFound`."""

        def work(connection: sa.Connection) -> Experiment:
            found = _find(connection, experiments.c.id == id_or_name)
            found = found or _find(connection, experiments.c.name == id_or_name)
            if found is None:
                newest = sa.select(experiments.c.name).order_by(experiments.c.seq.desc())
                known = connection.scalars(newest.limit(200))
                raise NotFound(f"no experiment {id_or_name!r}; {nearest(id_or_name, set(known))}")
            return found

        return self._database.read(work)

    def list_experiments(
        self,
        status: str | None = None,
        limit: int = 50,
        after: str | None = None,
        origin: str | None = None,
    ) -> tuple[list[Experiment], str | None]:
        """Newest first, and the cursor to give as `after` for what follows (None: no more).

        `origin`: those alone that were made from this experiment (`ExperimentSpec.origin`).
        Raises `InvalidInput` for an unknown status, a limit below 1, or a cursor of another make.
        """
        query = sa.select(experiments).order_by(experiments.c.seq.desc()).limit(limit + 1)
        if limit < 1:
            raise InvalidInput(f"limit={limit}; it must be at least 1")
        if status is not None:
            known = [entry.value for entry in ExperimentStatus]
            if status not in known:
                raise InvalidInput(f"no experiment status {status!r}; {nearest(status, known)}")
            query = query.where(experiments.c.status == str(status))
        if origin is not None:
            made_from = experiments.c.spec[("origin", "experiment")].as_string()
            query = query.where(made_from == origin)
        if after is not None:
            if not str(after).isdecimal():
                raise InvalidInput(f"after={after!r} is no cursor; give back what came as next")
            query = query.where(experiments.c.seq < int(after))

        def work(connection: sa.Connection) -> tuple[list[Experiment], str | None]:
            rows = connection.execute(query).all()
            page = rows[:limit]
            return _records(connection, page), str(page[-1].seq) if len(rows) > limit else None

        return self._database.read(work)

    def set_request(self, id: str, request: str | None) -> Experiment:
        """Ask the holder of an experiment for "cancel", "pause" or "resume"; None: it is done.

        An experiment that nobody holds and nobody will take up again is canceled on the spot.
        Asking for what is already so changes nothing. Raises `NotFound`, `InvalidInput` for
        another word, `Conflict` where the present status rules it out.
        """
        if request is not None and request not in REQUESTS:
            raise InvalidInput(f"no request {request!r}; {nearest(request, REQUESTS)}")

        def work(connection: sa.Connection) -> Experiment:
            held = _lock(connection, id)
            found = require(connection, id)
            wish = _wish(found, request)
            if wish == "cancel" and not held and _nobody_will(found):
                _cancel(connection, id)
            elif wish != found.request:
                update = experiments.update().where(experiments.c.id == id)
                connection.execute(update.values(request=wish))
            return require(connection, id)

        return self._database.write(work)

    def delete_experiment(self, id: str) -> None:
        """Forget an experiment and all of its rows; files are left alone. What it had pinned as a
        fork is free again.

        Raises `NotFound`, and `Conflict` while someone holds its lease, or where others learned
        from it (``warm_start``): they could not be taken up again.
        """

        def work(connection: sa.Connection) -> None:
            if _lock(connection, id):
                raise Conflict(f"experiment {id} is running; cancel it, then delete it")
            if others := learners(connection, id):
                names = ", ".join(others)
                raise Conflict(f"the searchers of {names} learned from {id}; delete those first")
            release(connection, id)
            for table in (results, checkpoints, attempts, events, trials, leases):
                connection.execute(table.delete().where(table.c.experiment_id == id))
            connection.execute(experiments.delete().where(experiments.c.id == id))

        self._database.write(work)


def require(connection: sa.Connection, id: str) -> Experiment:
    """The experiment `id`. Raises `NotFound`."""
    found = _find(connection, experiments.c.id == id)
    if found is None:
        raise NotFound(f"no experiment {id!r}")
    return found


def _find(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Experiment | None:
    query = sa.select(experiments).where(where).order_by(experiments.c.seq.desc()).limit(1)
    found = _records(connection, connection.execute(query).all())
    return found[0] if found else None


def _by_key(connection: sa.Connection, key: str, request_hash: str | None) -> Experiment | None:
    query = sa.select(experiments.c.id, experiments.c.request_hash)
    row = connection.execute(query.where(experiments.c.idempotency_key == key)).first()
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise IdempotencyConflict(
            f"the key {key!r} was used for another request, which made experiment {row.id}; "
            "repeat that request unchanged or take a new key"
        )
    return require(connection, row.id)


def _records(connection: sa.Connection, rows: Iterable[Any]) -> list[Experiment]:
    rows = list(rows)
    counts: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    grouped = (
        sa.select(trials.c.experiment_id, trials.c.status, sa.func.count())
        .where(trials.c.experiment_id.in_(list(counts)))
        .group_by(trials.c.experiment_id, trials.c.status)
    )
    if rows:
        for id, status, count in connection.execute(grouped):
            counts[id][status] = count
    return [
        Experiment(
            id=row.id,
            name=row.name,
            spec=row.spec,
            status=ExperimentStatus(row.status),
            reason=row.reason,
            request=row.request,
            claimable=row.claimable,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            counts=counts[row.id],
        )
        for row in rows
    ]


def _lock(connection: sa.Connection, id: str) -> bool:
    """Lock an experiment's lease row; whether someone holds the lease. Raises `NotFound`."""
    query = sa.select((leases.c.expires_at > clock()).label("held"))
    row = connection.execute(query.where(leases.c.experiment_id == id).with_for_update()).first()
    if row is None:
        raise NotFound(f"no experiment {id!r}")
    return bool(row.held)


def _wish(found: Experiment, request: str | None) -> str | None:
    """What remains to be asked of the holder. Raises `Conflict` where the request is impossible."""
    status = found.status
    if request is None or (request == "cancel" and status is ExperimentStatus.CANCELED):
        return None
    if status.finished:
        raise Conflict(f"experiment {found.id} is {status}; it is too late to {request} it")
    if request == "cancel":
        return request
    if found.request == "cancel" or status is ExperimentStatus.CANCELING:
        raise Conflict(f"experiment {found.id} is being canceled; it cannot {request}")
    return None if status in _SETTLED[request] else request


def _nobody_will(found: Experiment) -> bool:
    return found.status in _UNHELD_END or not found.claimable


def _cancel(connection: sa.Connection, id: str) -> None:
    now = datetime.now(UTC)
    connection.execute(
        trials.update()
        .where(trials.c.experiment_id == id, trials.c.status.in_(_OPEN))
        .values(status=Status.CANCELED.value, reason=Reason.USER.value, ended_at=now)
    )
    connection.execute(
        experiments.update()
        .where(experiments.c.id == id)
        .values(
            status=ExperimentStatus.CANCELED.value,
            reason="canceled by the user",
            request=None,
            ended_at=now,
        )
    )
    connection.execute(
        events.insert(),
        {
            "experiment_id": id,
            "kind": "experiment.canceled",
            "message": "canceled by the user",
            "created_at": now,
            "data": {},
        },
    )
