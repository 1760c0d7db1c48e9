"""Leases: who may write to an experiment, and the status that the holder gives it.

Invariant: a lease has at most one holder; the clock is the database's; the token grows with each
holder, and a write with an older one raises `Fenced`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tunerl.errors import Conflict, Fenced, InvalidInput, NotFound
from tunerl.store.database import Database
from tunerl.store.experiments import require
from tunerl.store.records import Experiment, Lease
from tunerl.store.tables import clock, experiments, leases
from tunerl.trial import ExperimentStatus, check_experiment_transition

_MINE = (
    leases.c.experiment_id == sa.bindparam("of"),
    leases.c.token == sa.bindparam("held"),
    leases.c.owner == sa.bindparam("by"),
)
_TOUCH = leases.update().where(*_MINE).values(commit_id=sa.bindparam("write"))
_RENEW = leases.update().where(*_MINE).values(expires_at=clock() + sa.bindparam("seconds"))
_RELEASE = leases.update().where(*_MINE).values(owner=None, expires_at=0.0)
PENDING, RUNNING = ExperimentStatus.PENDING, ExperimentStatus.RUNNING
PAUSED, CANCELING = ExperimentStatus.PAUSED, ExperimentStatus.CANCELING
_TAKEABLE = sa.and_(
    experiments.c.claimable,
    leases.c.expires_at <= clock(),
    sa.or_(
        experiments.c.status.in_([RUNNING.value, CANCELING.value]),
        sa.and_(
            experiments.c.status == PENDING.value,
            sa.func.coalesce(experiments.c.request, "") != "pause",
        ),
        sa.and_(experiments.c.status == PAUSED.value, experiments.c.request == "resume"),
    ),
)
_OLDEST = (
    sa.select(experiments.c.id)
    .join(leases, leases.c.experiment_id == experiments.c.id)
    .where(_TAKEABLE)
    .order_by(experiments.c.seq)
    .limit(1)
    .with_for_update(skip_locked=True, key_share=True)
)


def fence(connection: sa.Connection, lease: Lease, write: str | None = None) -> None:
    """Lock the lease for this transaction. Raises `Fenced` unless it is still the holder's."""
    if connection.execute(_TOUCH, {**_held(lease), "write": write}).rowcount != 1:
        _refuse(connection, lease)


class Leases:
    """Part of `Store`: needs a `Database`."""

    _database: Database

    def claim(self, owner: str, seconds: float) -> tuple[Experiment, Lease] | None:
        """Take the oldest experiment that waits for a worker; None when there is none.

        PENDING ones, PAUSED ones with the request "resume", and RUNNING or CANCELING ones whose
        lease ran out or was released; never one made with ``claimable=False``. What was PENDING
        or PAUSED is RUNNING from then on. Two processes never get the same one.
        """
        _check(seconds)

        def work(connection: sa.Connection) -> tuple[Experiment, Lease] | None:
            id = connection.scalar(_OLDEST)
            if id is None:
                return None
            lease = _take(connection, id, owner, seconds)
            found = require(connection, id)
            if found.status in (PENDING, PAUSED):
                _move(connection, found, RUNNING, None)
                found = require(connection, id)
            return found, lease

        return self._database.write(work)

    def acquire(self, id: str, owner: str, seconds: float) -> Lease:
        """Take the lease of one experiment, whatever its status.

        Raises `NotFound`, and `Conflict` while another (or an earlier self) holds it.
        """
        _check(seconds)

        def work(connection: sa.Connection) -> Lease:
            row = connection.execute(
                sa.select(leases.c.owner, (leases.c.expires_at - clock()).label("left"))
                .where(leases.c.experiment_id == id)
                .with_for_update()
            ).first()
            if row is None:
                raise NotFound(f"no experiment {id!r}")
            if row.left > 0:
                raise Conflict(
                    f"experiment {id} is being run by {row.owner!r}; its lease runs out in "
                    f"{row.left:.0f} s unless renewed: stop that process or wait"
                )
            return _take(connection, id, owner, seconds)

        return self._database.write(work)

    def renew(self, lease: Lease, seconds: float) -> str | None:
        """Hold on for `seconds` more from now; returns the user's open request, if any.

        Raises `Fenced` when the lease has passed to another, or the experiment is gone.
        """
        _check(seconds)

        def work(connection: sa.Connection) -> str | None:
            if connection.execute(_RENEW, {**_held(lease), "seconds": seconds}).rowcount != 1:
                _refuse(connection, lease)
            query = sa.select(experiments.c.request).where(experiments.c.id == lease.experiment_id)
            return connection.scalar(query)

        return self._database.write(work)

    def release(self, lease: Lease) -> None:
        """Give the lease back; does nothing when it has already passed on."""
        self._database.write(lambda connection: connection.execute(_RELEASE, _held(lease)).rowcount)

    def set_status(
        self, lease: Lease, status: ExperimentStatus, reason: str | None = None
    ) -> Experiment:
        """Move the experiment by the table; the request that this fulfils is cleared.

        The present status again only changes the reason. Raises `Fenced`, `IllegalTransition`.
        """

        def work(connection: sa.Connection) -> Experiment:
            fence(connection, lease)
            _move(connection, require(connection, lease.experiment_id), status, reason)
            return require(connection, lease.experiment_id)

        return self._database.write(work)


def _check(seconds: float) -> None:
    if not 0 < seconds < float("inf"):
        raise InvalidInput(f"a lease of {seconds} seconds; give a positive, finite number")


def _held(lease: Lease) -> dict[str, Any]:
    return {"of": lease.experiment_id, "held": lease.token, "by": lease.owner}


def _refuse(connection: sa.Connection, lease: Lease) -> None:
    query = sa.select(leases.c.owner, leases.c.token)
    row = connection.execute(query.where(leases.c.experiment_id == lease.experiment_id)).first()
    if row is None:
        raise Fenced(f"experiment {lease.experiment_id} was deleted; this process must stop")
    now = f"{row.owner!r} holds it with {row.token}" if row.owner else "it was released"
    raise Fenced(
        f"{lease.owner!r} writes to experiment {lease.experiment_id} with token {lease.token}, "
        f"but {now}; this process must stop"
    )


def _take(connection: sa.Connection, id: str, owner: str, seconds: float) -> Lease:
    row = leases.c.experiment_id == id
    connection.execute(
        leases.update()
        .where(row)
        .values(owner=owner, token=leases.c.token + 1, expires_at=clock() + seconds)
    )
    return Lease(id, owner, connection.execute(sa.select(leases.c.token).where(row)).scalar_one())


def _move(
    connection: sa.Connection, found: Experiment, status: ExperimentStatus, reason: str | None
) -> None:
    status = ExperimentStatus(status)
    values: dict[str, Any] = {"status": status.value, "reason": reason}
    now = datetime.now(UTC)
    if status is not found.status:
        check_experiment_transition(found.status, status)
        values["ended_at"] = now if status.finished else None
        if status is RUNNING and found.started_at is None:
            values["started_at"] = now
    fulfilled = {PAUSED: "pause", RUNNING: "resume"}
    if status.finished or (found.request and fulfilled.get(status) == found.request):
        values["request"] = None
    connection.execute(experiments.update().where(experiments.c.id == found.id).values(**values))
