"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    _create_experiments()
    _create_events()
    _create_leases()
    _create_trials()
    _create_attempts()
    _create_checkpoints()
    _create_results()


def downgrade() -> None:
    for table in (
        "results",
        "checkpoints",
        "attempts",
        "trials",
        "leases",
        "events",
        "experiments",
    ):
        op.drop_table(table)


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("seq", ID, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request", sa.String(length=16), nullable=True),
        sa.Column("claimable", sa.Boolean(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=True),
        sa.Column("mode", sa.String(length=8), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.String(length=255), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("spec", JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_experiments")),
        sa.UniqueConstraint("id", name=op.f("uq_experiments_id")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_experiments_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_experiments_name_seq"), "experiments", ["name", "seq"])
    op.create_index(op.f("ix_experiments_status_seq"), "experiments", ["status", "seq"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_events_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_experiment_id_id"), "events", ["experiment_id", "id"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("commit_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_leases_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_leases")),
    )


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("num_seeds", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("time_total_s", sa.Double(), nullable=False),
        sa.Column("objective", sa.Double(), nullable=True),
        sa.Column("objective_kind", sa.SmallInteger(), nullable=False),
        sa.Column("best_objective", sa.Double(), nullable=True),
        sa.Column("best_objective_kind", sa.SmallInteger(), nullable=False),
        sa.Column("best_iteration", sa.Integer(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("seeds", JSON, nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_trials_experiments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "number", name=op.f("pk_trials")),
    )
    op.create_index(op.f("ix_trials_experiment_id_status"), "trials", ["experiment_id", "status"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id", "trial"],
            ["trials.experiment_id", "trials.number"],
            name=op.f("fk_attempts_trials"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "trial", "attempt", name=op.f("pk_attempts")),
    )


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("score_kind", sa.SmallInteger(), nullable=False),
        sa.Column("pins", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id", "trial"],
            ["trials.experiment_id", "trials.number"],
            name=op.f("fk_checkpoints_trials"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint(
            "experiment_id",
            "trial",
            "iteration",
            name=op.f("uq_checkpoints_experiment_id_trial_iteration"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_checkpoints_experiment_id_uri"), "checkpoints", ["experiment_id", "uri"]
    )


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("experiment_id", sa.String(length=32), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("objective", sa.Double(), nullable=True),
        sa.Column("objective_kind", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("replicas", JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id", "trial"],
            ["trials.experiment_id", "trials.number"],
            name=op.f("fk_results_trials"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_results")),
        sa.UniqueConstraint(
            "experiment_id",
            "trial",
            "iteration",
            name=op.f("uq_results_experiment_id_trial_iteration"),
        ),
    )
    op.create_index(op.f("ix_results_experiment_id_id"), "results", ["experiment_id", "id"])
