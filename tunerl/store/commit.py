"""Writes one tick of the controller: results, and what was decided from them, in one transaction.

Invariant: a tick is there as a whole or not at all, and once, however often it is delivered; a
trial's summary always agrees with its results.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tunerl.errors import NotFound
from tunerl.store.attempts import Attempts
from tunerl.store.database import Database
from tunerl.store.leases import fence
from tunerl.store.pins import release, unpinned
from tunerl.store.records import Change, CheckpointRecord, Event, Lease, ResultRecord, Tick
from tunerl.store.standing import COLUMNS, STEPS, Standing, clean, count
from tunerl.store.tables import (
    Kind,
    checkpoints,
    events,
    experiments,
    leases,
    results,
    split,
    trials,
)
from tunerl.store.upserts import insert_or_leave, insert_or_update
from tunerl.trial import Status

_NEW_TRIALS = insert_or_leave(trials)
_COMMITTED = sa.select(leases.c.commit_id).where(leases.c.experiment_id == sa.bindparam("of"))
_TICK, _NEVER = timedelta(microseconds=1), datetime.min.replace(tzinfo=UTC)
_MODE = sa.select(experiments.c.mode).where(experiments.c.id == sa.bindparam("of"))
_TOUCHED = sa.select(trials.c.number, *(trials.c[name] for name in COLUMNS)).where(
    trials.c.experiment_id == sa.bindparam("of"),
    trials.c.number.in_(sa.bindparam("numbers", expanding=True)),
)
_ONE_TRIAL = (trials.c.experiment_id == sa.bindparam("of"), trials.c.number == sa.bindparam("n"))
_UPDATE = trials.update().where(*_ONE_TRIAL).values({name: sa.bindparam(name) for name in COLUMNS})
_CONFIGURE = trials.update().where(*_ONE_TRIAL).values(config=sa.bindparam("config"))
_WIDEN = (
    trials.update()
    .where(*_ONE_TRIAL)
    .values(seeds=sa.bindparam("all_seeds"), num_seeds=sa.bindparam("count"))
)
_ALREADY = sa.select(results.c.trial, results.c.iteration).where(
    results.c.experiment_id == sa.bindparam("of"),
    results.c.trial.in_(sa.bindparam("numbers", expanding=True)),
    results.c.iteration.in_(sa.bindparam("iterations", expanding=True)),
)
_FORGET = checkpoints.delete().where(
    checkpoints.c.experiment_id == sa.bindparam("of"), checkpoints.c.uri == sa.bindparam("gone")
)
_PIN = (
    checkpoints.update()
    .where(checkpoints.c.experiment_id == sa.bindparam("of"))
    .where(checkpoints.c.uri == sa.bindparam("kept"))
    .values(pins=unpinned(sa.bindparam("more")))
)
_NEW_CHECKPOINTS = insert_or_update(
    checkpoints,
    keys=("experiment_id", "trial", "iteration"),
    columns=("uri", "size", "sha256", "score", "score_kind", "created_at"),
)


class Commits:
    """Part of `Store`: needs a `Database`."""

    _database: Database
    _modes: dict[str, str | None]
    _written: dict[Lease, datetime]  # when, at the latest, somebody wrote to its experiment

    def commit(self, lease: Lease, tick: Tick) -> None:
        """Write a tick, in the order of its fields.

        A trial or (trial, iteration) that is already there is left as it is. Raises `Fenced` for
        a lease that has passed on, `IllegalTransition`, `NotFound` for a trial that was never
        created; then nothing of the tick is written. Times grow from tick to tick, whatever the
        clocks of those who write: by them a replay tells what came first.
        """
        write = secrets.token_hex(8)
        tries = 0

        def work(connection: sa.Connection) -> None:
            nonlocal tries
            tries += 1
            of = {"of": lease.experiment_id}
            if tries > 1 and connection.scalar(_COMMITTED, of) == write:
                return  # the try before did it, only its answer was lost
            fence(connection, lease, write)
            if lease.experiment_id not in self._modes:
                self._modes[lease.experiment_id] = connection.scalar(_MODE, of)
            if lease not in self._written:
                self._written[lease] = _latest(connection, lease.experiment_id)
            writing = Writing(connection, lease, self._modes[lease.experiment_id])
            writing.now = max(writing.now, self._written[lease] + _TICK)
            self._written[lease] = writing.now
            writing.write(tick)

        self._database.write(work)


def _latest(connection: sa.Connection, id: str) -> datetime:
    """When, at the latest, a controller wrote to an experiment."""
    made = sa.select(sa.func.max(trials.c.created_at), sa.func.max(trials.c.ended_at))
    found = [*connection.execute(made.where(trials.c.experiment_id == id)).one()]
    for table in (results, events):
        last = sa.select(table.c.created_at).where(table.c.experiment_id == id)
        found.append(connection.scalar(last.order_by(table.c.id.desc()).limit(1)))
    return max((time for time in found if time is not None), default=_NEVER)


class Writing:
    """One tick under way in one transaction."""

    def __init__(self, connection: sa.Connection, lease: Lease, mode: str | None) -> None:
        self.connection, self.lease, self.mode = connection, lease, mode
        self.id = lease.experiment_id
        self.now = datetime.now(UTC)
        self.dialect = connection.dialect.name

    def write(self, tick: Tick) -> None:
        self.new_trials(tick.new_trials)
        touched = {result.trial for result in tick.results}
        touched |= {change.trial for change in tick.changes}
        touched |= {checkpoint.trial for checkpoint in tick.checkpoints}
        rows = self.standings(touched)
        self.results(tick.results, rows)
        self.changes(tick.changes, rows)
        moved = {result.trial for result in tick.results}
        moved |= {change.trial for change in tick.changes}
        self.many(_UPDATE, ({"of": self.id, "n": n, **rows[n].columns()} for n in sorted(moved)))
        self.checkpoints(tick.checkpoints)
        self.many(_PIN, ({"of": self.id, "kept": uri, "more": n} for uri, n in tick.pins))
        release(self.connection, self.id, tick.forgotten)
        self.many(_FORGET, ({"of": self.id, "gone": uri} for uri in tick.forgotten))
        self.events(tick.events)

    def many(self, statement: sa.Executable, rows: Iterable[dict[str, Any]]) -> None:
        if rows := list(rows):
            self.connection.execute(statement, rows)

    def new_trials(self, new: Sequence[tuple[int, dict[str, Any], tuple[int, ...]]]) -> None:
        self.many(
            _NEW_TRIALS[self.dialect],
            (
                {
                    "experiment_id": self.id,
                    "number": number,
                    "status": Status.PENDING.value,
                    "attempt": 0,
                    "failures": 0,
                    "num_seeds": len(seeds),
                    "iteration": 0,
                    "steps": 0,
                    "time_total_s": 0.0,
                    "objective_kind": Kind.NONE.value,
                    "best_objective_kind": Kind.NONE.value,
                    "created_at": self.now,
                    "seeds": list(seeds),
                    "config": config,
                }
                for number, config, seeds in new
            ),
        )

    def standings(self, touched: set[int]) -> dict[int, Standing]:
        if not touched:
            return {}
        found = self.connection.execute(_TOUCHED, {"of": self.id, "numbers": sorted(touched)})
        rows = {row[0]: Standing(*row[1:]) for row in found}
        if missing := touched - rows.keys():
            raise NotFound(f"experiment {self.id} has no trial {sorted(missing)[0]}")
        return rows

    def results(self, new: Sequence[ResultRecord], rows: dict[int, Standing]) -> None:
        late = [result for result in new if result.iteration <= rows[result.trial].iteration]
        seen: set[tuple[int, int]] = set()
        if late:
            numbers = sorted({result.trial for result in late})
            iterations = sorted({result.iteration for result in late})
            at = {"of": self.id, "numbers": numbers, "iterations": iterations}
            seen = {(row[0], row[1]) for row in self.connection.execute(_ALREADY, at)}
        fresh = []
        for result in new:
            if (result.trial, result.iteration) not in seen:
                seen.add((result.trial, result.iteration))
                rows[result.trial].add(result, self.mode)
                fresh.append(self.result(result))
        self.many(results.insert(), fresh)

    def result(self, result: ResultRecord) -> dict[str, Any]:
        objective, kind = split(result.objective)
        return {
            "experiment_id": self.id,
            "trial": result.trial,
            "iteration": result.iteration,
            "attempt": result.attempt,
            "steps": count(result.metrics, STEPS),
            "objective": objective,
            "objective_kind": kind,
            "created_at": result.created_at or self.now,
            "metrics": result.metrics,
            "replicas": result.replicas or None,
        }

    def changes(self, changes: Sequence[Change], rows: dict[int, Standing]) -> None:
        configs, widened = {}, []
        attempts = Attempts(self.lease, self.now)
        for change in changes:
            row = rows[change.trial]
            moved = row.change(change, self.now)
            if moved and row.status != Status.RUNNING:
                attempts.end(change.trial, row)
            if change.attempt is not None:
                attempts.begin(change.trial, row)
            if change.config is not None:
                configs[change.trial] = change.config
            if change.seeds is not None:
                seeds = list(change.seeds)
                at_trial = {"of": self.id, "n": change.trial}
                widened.append({**at_trial, "all_seeds": seeds, "count": len(seeds)})
        attempts.write(self.connection)
        at = ({"of": self.id, "n": number, "config": config} for number, config in configs.items())
        self.many(_CONFIGURE, at)
        self.many(_WIDEN, widened)

    def checkpoints(self, new: Sequence[CheckpointRecord]) -> None:
        rows = []
        for checkpoint in new:
            score, kind = split(checkpoint.score)
            rows.append(
                {
                    "experiment_id": self.id,
                    "trial": checkpoint.trial,
                    "iteration": checkpoint.iteration,
                    "uri": checkpoint.uri,
                    "size": checkpoint.size,
                    "sha256": checkpoint.sha256,
                    "score": score,
                    "score_kind": kind,
                    "pins": checkpoint.pins,
                    "created_at": checkpoint.created_at or self.now,
                }
            )
        self.many(_NEW_CHECKPOINTS[self.dialect], rows)

    def events(self, new: Sequence[Event]) -> None:
        rows = []
        for event in new:
            rows.append(
                {
                    "experiment_id": self.id,
                    "trial": event.trial,
                    "kind": event.kind,
                    "message": clean(event.message),
                    "created_at": event.created_at or self.now,
                    "data": event.data,
                }
            )
        self.many(events.insert(), rows)
