"""Alembic's entry: migrates the connection handed over by `tunerl.store.schema`, in its
transaction."""

from __future__ import annotations

from alembic import context

from tunerl.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through tunerl.store.schema, which hands over a connection")
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
