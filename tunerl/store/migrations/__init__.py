"""Alembic migrations of the store; `tunerl.store.schema` runs them."""
