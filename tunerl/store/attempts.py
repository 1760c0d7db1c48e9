"""The attempts that one tick begins and ends: collected, then written with two statements.

Invariant: an attempt has one row, whose end is the first that it came to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tunerl.store.records import Lease
from tunerl.store.standing import Standing
from tunerl.store.tables import attempts
from tunerl.store.upserts import insert_or_update
from tunerl.trial import Status

_END = (
    attempts.update()
    .where(
        attempts.c.experiment_id == sa.bindparam("of"),
        attempts.c.trial == sa.bindparam("n"),
        attempts.c.attempt == sa.bindparam("a"),
        attempts.c.ended_at.is_(None),
    )
    .values(
        status=sa.bindparam("status"),
        reason=sa.bindparam("reason"),
        error=sa.bindparam("error"),
        ended_at=sa.bindparam("now"),
    )
)
_BEGIN = insert_or_update(
    attempts,
    keys=("experiment_id", "trial", "attempt"),
    columns=("owner", "status", "reason", "started_at", "ended_at", "error"),
)


class Attempts:
    """Those of one tick, at one time."""

    def __init__(self, lease: Lease, now: datetime) -> None:
        self._lease, self._now = lease, now
        self._ended: list[dict[str, Any]] = []
        self._begun: dict[tuple[int, int], dict[str, Any]] = {}  # by trial and attempt

    def begin(self, trial: int, row: Standing) -> None:
        """A trial goes on with the attempt that its row says."""
        running = row.status == Status.RUNNING
        self._begun[trial, row.attempt] = {
            "experiment_id": self._lease.experiment_id,
            "trial": trial,
            "attempt": row.attempt,
            "owner": self._lease.owner,
            "status": row.status,
            "reason": row.reason,
            "started_at": self._now,
            "ended_at": None if running else self._now,
            "error": None if running else row.error,
        }

    def end(self, trial: int, row: Standing) -> None:
        """A trial's attempt is over, if it was not yet."""
        outcome = {"status": row.status, "reason": row.reason, "error": row.error}
        begun = self._begun.get((trial, row.attempt))
        if begun is None:
            at = {"of": self._lease.experiment_id, "n": trial, "a": row.attempt}
            self._ended.append({**at, "now": self._now, **outcome})
        elif begun["ended_at"] is None:
            begun.update(outcome, ended_at=self._now)

    def write(self, connection: sa.Connection) -> None:
        if self._ended:
            connection.execute(_END, self._ended)
        if self._begun:
            rows = list(self._begun.values())
            connection.execute(_BEGIN[connection.dialect.name], rows)
