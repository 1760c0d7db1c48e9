"""What the store tells of an experiment's trials, results, curves and events. Reads only.

Invariant: nothing here scans more rows than it returns, beyond the trials of one experiment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tunerl.errors import InvalidInput, NotFound, nearest
from tunerl.store.curves import keep
from tunerl.store.database import Database
from tunerl.store.experiments import require
from tunerl.store.records import Event, ResultRecord, TrialRecord
from tunerl.store.sorting import KINDS, sort_of
from tunerl.store.tables import Kind, events, experiments, join, results, trials
from tunerl.trial import Metrics, Reason, Status

_PLAIN = re.compile(r"[\w/.:@%+ -]+", re.ASCII)
_FEW = 1000  # trials that are asked for by number rather than all together
_LAST, _BEST = results.alias("last"), results.alias("best")


def _joined() -> sa.Select[Any]:
    """`best` is NULL where it is `last`: no metrics are read twice."""
    tables, another = trials, trials.c.best_iteration != trials.c.iteration
    for alias, at in (
        (_LAST, [_LAST.c.iteration == trials.c.iteration]),
        (_BEST, [_BEST.c.iteration == trials.c.best_iteration, another]),
    ):
        own = [alias.c.experiment_id == trials.c.experiment_id, alias.c.trial == trials.c.number]
        tables = tables.outerjoin(alias, sa.and_(*own, *at))  # type: ignore[assignment]
    last, best = _LAST.c.metrics.label("last"), _BEST.c.metrics.label("best")
    return sa.select(trials, last, best).select_from(tables)


_TRIALS = _joined()


class Queries:
    """Part of `Store`: needs a `Database`."""

    _database: Database

    def trials(
        self,
        id: str,
        *,
        sort: str = "number",
        descending: bool = False,
        limit: int | None = None,
        after: int = 0,
        status: str | None = None,
    ) -> list[TrialRecord]:
        """Trials of an experiment in the order of `sort`, ties by number.

        `after` is the cursor of a page: 0 for the first, then one more than the number of the last
        trial of the page before (whatever the order). By objective, NaN is worse than any number;
        trials without a value come last both ways. Raises `NotFound`, `InvalidInput`.
        """
        if limit is not None and limit < 1:
            raise InvalidInput(f"limit={limit}; it must be at least 1")
        if status is not None and status not in [entry.value for entry in Status]:
            raise InvalidInput(
                f"no trial status {status!r}; {nearest(status, [entry.value for entry in Status])}"
            )

        def work(connection: sa.Connection) -> list[TrialRecord]:
            mode = _mode(connection, id) if sort in KINDS else None
            order = sort_of(sort, descending, mode)
            where = [trials.c.experiment_id == id]
            if status is not None:
                where.append(trials.c.status == str(status))
            if after:
                where.append(order.after(connection, id, after - 1))
            chosen = sa.select(trials.c.number).where(*where).order_by(*order.order()).limit(limit)
            found = _read_trials(connection, id, connection.scalars(chosen).all())
            if not found:
                require(connection, id)
            return found

        return self._database.read(work)

    def trial(self, id: str, number: int) -> TrialRecord:
        """One trial. Raises `NotFound`."""

        def work(connection: sa.Connection) -> TrialRecord:
            where = (trials.c.experiment_id == id, trials.c.number == number)
            row = connection.execute(_TRIALS.where(*where)).first()
            if row is None:
                require(connection, id)
                raise NotFound(f"experiment {id} has no trial {number}")
            return _trial(row)

        return self._database.read(work)

    def results(
        self, id: str, *, trial: int | None = None, after: int = 0, limit: int | None = None
    ) -> list[ResultRecord]:
        """Results in the order of their arrival; `after`: the id of the last one already seen.

        Raises `NotFound`.
        """
        query = sa.select(results).where(results.c.experiment_id == id).limit(limit)
        arrival: sa.ColumnElement[int] = results.c.id
        if trial is not None:
            arrival = arrival + 0  # by the index of its trial, not through all of the experiment
            query = query.where(results.c.trial == trial)
        query = query.where(arrival > after).order_by(arrival)

        def work(connection: sa.Connection) -> list[ResultRecord]:
            rows = connection.execute(query).all()
            if not rows:
                require(connection, id)
            return [_result(row) for row in rows]

        return self._database.read(work)

    def curve(
        self, id: str, trial: int, metric: str, max_points: int = 500
    ) -> list[dict[str, Any]]:
        """One metric of one trial over its iterations, thinned out with its extremes kept.

        Points ``{"iteration", "steps", "value", "replicas"}``; at most `max_points` and never more
        than 2000. `replicas`: each replica's value (None where it has none), empty for a single
        one. Results without a number (or truth value) under that name are left out. Raises
        `NotFound`.
        """
        if max_points < 1:
            raise InvalidInput(f"max_points={max_points}; it must be at least 1")
        where = (results.c.experiment_id == id, results.c.trial == trial)
        inside = _PLAIN.fullmatch(metric) is not None  # the database can pick it out
        picked = results.c.metrics[metric] if inside else results.c.metrics
        columns = (results.c.id, results.c.iteration, results.c.steps, picked)
        query = sa.select(*columns).where(*where).order_by(results.c.iteration)

        def work(connection: sa.Connection) -> list[dict[str, Any]]:
            rows = [
                (*row[:3], value)
                for row in connection.execute(query)
                if (value := _number(row[3] if inside else row[3].get(metric))) is not None
            ]
            if not rows:
                self._require_trial(connection, id, trial)
            kept = [rows[index] for index in keep([row[3] for row in rows], max_points)]
            chosen = sa.select(results.c.id, results.c.replicas)
            chosen = chosen.where(results.c.id.in_([row[0] for row in kept]))
            replicas = {row[0]: row[1] or [] for row in connection.execute(chosen)}
            return [
                {
                    "iteration": iteration,
                    "steps": steps,
                    "value": value,
                    "replicas": [_number(entry.get(metric)) for entry in replicas[id]],
                }
                for id, iteration, steps, value in kept
            ]

        return self._database.read(work)

    def _require_trial(self, connection: sa.Connection, id: str, number: int) -> None:
        where = (trials.c.experiment_id == id, trials.c.number == number)
        if connection.scalar(sa.select(trials.c.number).where(*where)) is None:
            require(connection, id)
            raise NotFound(f"experiment {id} has no trial {number}")

    def events(
        self, id: str, after: int = 0, limit: int = 200, kind: str | None = None
    ) -> list[Event]:
        """What happened, in order; `after`: the id of the last event seen; `kind`: only those.

        Raises `NotFound`.
        """
        query = (
            sa.select(events)
            .where(events.c.experiment_id == id, events.c.id > after)
            .order_by(events.c.id)
            .limit(limit)
        )
        if kind is not None:
            query = query.where(events.c.kind == kind)

        def work(connection: sa.Connection) -> list[Event]:
            rows = connection.execute(query).all()
            if not rows:
                require(connection, id)
            return [
                Event(row.kind, row.message, row.trial, row.data, row.id, row.created_at)
                for row in rows
            ]

        return self._database.read(work)

    def objectives(self, id: str) -> list[tuple[int, int, int, int, int, float]]:
        """(id, trial, iteration, steps, seeds, objective) of each result, in order of arrival.

        `steps` is one replica's, as reported; an objective that is no number is NaN. Raises
        `NotFound`.
        """
        seeds = sa.select(trials.c.number, trials.c.num_seeds).where(trials.c.experiment_id == id)
        r = results.c
        query = sa.select(r.id, r.trial, r.iteration, r.steps, r.objective)
        query = query.where(r.experiment_id == id).order_by(r.id)

        def work(connection: sa.Connection) -> list[tuple[int, int, int, int, int, float]]:
            require(connection, id)
            counts = {row.number: row.num_seeds for row in connection.execute(seeds)}
            return [
                (key, trial, iteration, steps, counts[trial], math.nan if value is None else value)
                for key, trial, iteration, steps, value in connection.execute(query)
            ]

        return self._database.read(work)

    def replicas(self, id: str, of: Sequence[int]) -> dict[int, list[Metrics]]:
        """Each replica's metrics in the results with these ids; empty lists for single ones."""
        query = sa.select(results.c.id, results.c.replicas).where(
            results.c.experiment_id == id, results.c.id.in_(of)
        )
        return self._database.read(
            lambda connection: {row[0]: row[1] or [] for row in connection.execute(query)}
        )

    def best(self, id: str) -> TrialRecord | None:
        """The trial with the best objective of all its results; ties go to the lower number.

        Trials in ERROR and those that never reported a number do not count. Raises `NotFound`.
        """

        def work(connection: sa.Connection) -> TrialRecord | None:
            value = trials.c.best_objective
            order = value.asc() if _mode(connection, id) == "min" else value.desc()
            where = (
                trials.c.experiment_id == id,
                trials.c.best_objective_kind == Kind.NUMBER.value,
                trials.c.status != Status.ERROR.value,
            )
            chosen = sa.select(trials.c.number).where(*where).order_by(order, trials.c.number)
            found = _read_trials(connection, id, connection.scalars(chosen.limit(1)).all())
            return found[0] if found else None

        return self._database.read(work)

    def counts(self, id: str) -> dict[str, int]:
        """Trials by status. Raises `NotFound`."""
        return self._database.read(lambda connection: require(connection, id).counts)

    def steps(self, id: str) -> int:
        """Environment steps over all trials and replicas. Raises `NotFound`."""

        def work(connection: sa.Connection) -> int:
            require(connection, id)
            total = sa.func.sum(trials.c.steps * trials.c.num_seeds)
            return int(connection.scalar(sa.select(total).where(trials.c.experiment_id == id)) or 0)

        return self._database.read(work)


def _read_trials(connection: sa.Connection, id: str, numbers: Sequence[int]) -> list[TrialRecord]:
    """The trials with these numbers, in their order; only now are the metrics read."""
    query = _TRIALS.where(trials.c.experiment_id == id)
    if len(numbers) <= _FEW:
        query = query.where(trials.c.number.in_(numbers))
    wanted = set(numbers)
    rows = {row.number: row for row in connection.execute(query) if row.number in wanted}
    return [_trial(rows[number]) for number in numbers]


def _mode(connection: sa.Connection, id: str) -> str | None:
    row = connection.execute(sa.select(experiments.c.mode).where(experiments.c.id == id)).first()
    if row is None:
        raise NotFound(f"no experiment {id!r}")
    mode: str | None = row.mode
    return mode


def _number(value: Any) -> float | None:
    if isinstance(value, bool):  # SQLite gives 0 and 1 for these
        return int(value)
    return value if isinstance(value, int | float) else None


def _result(row: Any) -> ResultRecord:
    return ResultRecord(
        trial=row.trial,
        iteration=row.iteration,
        attempt=row.attempt,
        metrics=row.metrics,
        objective=join(row.objective, row.objective_kind),
        replicas=row.replicas or [],
        id=row.id,
        created_at=row.created_at,
    )


def _trial(row: Any) -> TrialRecord:
    best = dict(row.last or {}) if row.best_iteration == row.iteration else row.best
    return TrialRecord(
        experiment_id=row.experiment_id,
        number=row.number,
        config=row.config,
        seeds=tuple(row.seeds),
        status=Status(row.status),
        reason=None if row.reason is None else Reason(row.reason),
        attempt=row.attempt,
        failures=row.failures,
        error=row.error,
        iteration=row.iteration,
        steps=row.steps,
        time_total_s=row.time_total_s,
        objective=join(row.objective, row.objective_kind),
        best_objective=join(row.best_objective, row.best_objective_kind),
        best_iteration=row.best_iteration,
        last=row.last or {},
        best=best or {},
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
