"""The orders in which trials can be listed, and the place of a row in them (keyset paging)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tunerl.errors import InvalidInput, nearest
from tunerl.store.tables import Kind, trials

_SORTS = {
    "number": trials.c.number,
    "status": trials.c.status,
    "iteration": trials.c.iteration,
    "steps": trials.c.steps,
    "time_total_s": trials.c.time_total_s,
    "attempt": trials.c.attempt,
    "failures": trials.c.failures,
    "objective": trials.c.objective,
    "best_objective": trials.c.best_objective,
    "created_at": trials.c.created_at,
    "started_at": trials.c.started_at,
    "ended_at": trials.c.ended_at,
}
KINDS = {"objective": trials.c.objective_kind, "best_objective": trials.c.best_objective_kind}


@dataclass(frozen=True)
class Sort:
    """An order of trials: by `rank`, then `value` in the direction asked for, then number."""

    rank: sa.ColumnElement[int]
    value: sa.ColumnElement[Any]
    descending: bool

    def order(self) -> tuple[sa.ColumnElement[Any], ...]:
        value = self.value.desc() if self.descending else self.value.asc()
        if self.value is trials.c.number:
            return (value,)
        return (self.rank, value, trials.c.number)

    def _behind(self, rank: int, value: Any, number: int) -> sa.ColumnElement[bool]:
        """Rows that follow the one with this place."""
        later = trials.c.number > number
        if value is None:
            return sa.or_(self.rank > rank, sa.and_(self.rank == rank, later))
        further = self.value < value if self.descending else self.value > value
        here = sa.or_(further, sa.and_(self.value == value, later))
        return sa.or_(self.rank > rank, sa.and_(self.rank == rank, here))

    def after(self, connection: sa.Connection, id: str, number: int) -> sa.ColumnElement[bool]:
        """Rows that follow trial `number` of experiment `id`. Raises `InvalidInput`."""
        if self.value is trials.c.number:
            return trials.c.number < number if self.descending else trials.c.number > number
        where = (trials.c.experiment_id == id, trials.c.number == number)
        row = connection.execute(sa.select(self.rank, self.value).where(*where)).first()
        if row is None:
            raise InvalidInput(f"after={number + 1} is no cursor: there is no trial {number}")
        return self._behind(row[0], row[1], number)


def sort_of(name: str, descending: bool, mode: str | None) -> Sort:
    """The order called `name`. NaN is worse than any number under `mode`; nothing comes last."""
    if name not in _SORTS:
        raise InvalidInput(f"trials cannot be sorted by {name!r}; {nearest(name, _SORTS)}")
    column = _SORTS[name]
    missing: sa.ColumnElement[int] = sa.case((column.is_(None), 2), else_=0)
    if name in KINDS:
        best_first = descending == (mode != "min")
        missing = sa.case(
            (KINDS[name] == Kind.NAN.value, 1 if best_first else -1),
            (KINDS[name] == Kind.NONE.value, 2),
            else_=0,
        )
    return Sort(missing, column, descending)
