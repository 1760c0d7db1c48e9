"""Rows that may be there already: statements by the database's dialect, whose inserts differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_or_leave(table: sa.Table) -> dict[str, Any]:
    """Inserts that leave a row as it is that is there."""
    return {name: make(table).on_conflict_do_nothing() for name, make in _INSERTS.items()}


def insert_or_update(
    table: sa.Table, keys: Sequence[str], columns: Sequence[str]
) -> dict[str, Any]:
    """Inserts that give a row with the same `keys` these `columns`."""
    found = {}
    for name, make in _INSERTS.items():
        row = make(table)
        new = {column: row.excluded[column] for column in columns}
        found[name] = row.on_conflict_do_update(index_elements=list(keys), set_=new)
    return found
