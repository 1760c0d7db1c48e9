"""The tables as they are today; `migrations/` says how a database gets there.

Invariant: a number that is filtered or sorted has a column; NaN, which SQLite cannot hold, is a
NULL beside its `kind`. A trial's last and best metrics are not copied: they are its results at
`iteration` and at `best_iteration`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Utc(sa.types.TypeDecorator[datetime]):
    """A point in time, aware and in UTC on every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class clock(FunctionElement[float]):  # noqa: N801 - reads as an SQL function
    """Seconds since 1970 by the database's own clock: the only one that leases go by."""

    type = sa.Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _clock_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _clock_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class Kind(IntEnum):
    """What stands in a number column beside it."""

    NUMBER = 0
    NAN = 1
    NONE = 2


def split(value: float | None) -> tuple[float | None, int]:
    """A number as (column, kind)."""
    if value is None:
        return None, Kind.NONE.value
    value = float(value)
    return (None, Kind.NAN.value) if math.isnan(value) else (value, Kind.NUMBER.value)


def join(value: float | None, kind: int) -> float | None:
    """The number that `split` took apart."""
    return value if kind == Kind.NUMBER else math.nan if kind == Kind.NAN else None


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=NAMING)
JSON = sa.JSON(none_as_null=True)
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Key = sa.String(32)


def _experiment() -> sa.Column[str]:
    return sa.Column(
        "experiment_id", Key, sa.ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False
    )


def _trial_key() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["experiment_id", "trial"], ["trials.experiment_id", "trials.number"], ondelete="CASCADE"
    )


experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("seq", Id, primary_key=True, autoincrement=True),
    sa.Column("id", Key, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("request", sa.String(16)),
    sa.Column("claimable", sa.Boolean, nullable=False),
    sa.Column("metric", sa.Text),
    sa.Column("mode", sa.String(8)),
    sa.Column("idempotency_key", sa.String(255), unique=True),
    sa.Column("request_hash", sa.String(255)),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Column("spec", JSON, nullable=False),
    sa.Index(None, "name", "seq"),
    sa.Index(None, "status", "seq"),
    sqlite_autoincrement=True,
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column(
        "experiment_id",
        Key,
        sa.ForeignKey("experiments.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("owner", sa.Text),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),  # seconds since 1970, database clock
    sa.Column("commit_id", Key),  # of the last commit: a lost answer is not applied twice
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column(
        "experiment_id",
        Key,
        sa.ForeignKey("experiments.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("num_seeds", sa.Integer, nullable=False),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("steps", sa.BigInteger, nullable=False),
    sa.Column("time_total_s", sa.Double, nullable=False),
    sa.Column("objective", sa.Double),
    sa.Column("objective_kind", sa.SmallInteger, nullable=False),
    sa.Column("best_objective", sa.Double),
    sa.Column("best_objective_kind", sa.SmallInteger, nullable=False),
    sa.Column("best_iteration", sa.Integer),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Column("seeds", JSON, nullable=False),
    sa.Column("config", JSON, nullable=False),
    sa.Column("error", sa.Text),
    sa.Index(None, "experiment_id", "status"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("experiment_id", Key, primary_key=True),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("ended_at", Utc),
    sa.Column("error", sa.Text),
    _trial_key(),
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("experiment_id", Key, nullable=False),
    sa.Column("trial", sa.Integer, nullable=False),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("steps", sa.BigInteger, nullable=False),
    sa.Column("objective", sa.Double),
    sa.Column("objective_kind", sa.SmallInteger, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("metrics", JSON, nullable=False),
    sa.Column("replicas", JSON),
    sa.UniqueConstraint("experiment_id", "trial", "iteration"),
    sa.Index(None, "experiment_id", "id"),
    _trial_key(),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("experiment_id", Key, nullable=False),
    sa.Column("trial", sa.Integer, nullable=False),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("score_kind", sa.SmallInteger, nullable=False),
    sa.Column("pins", sa.Integer, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.UniqueConstraint("experiment_id", "trial", "iteration"),
    sa.Index(None, "experiment_id", "uri"),
    _trial_key(),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    _experiment(),
    sa.Column("trial", sa.Integer),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("data", JSON, nullable=False),
    sa.Index(None, "experiment_id", "id"),
    sqlite_autoincrement=True,
)
