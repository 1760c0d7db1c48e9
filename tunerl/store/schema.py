"""Brings a database to the schema of this code, or refuses one that is newer.

Invariant: several processes may open a new store at once; one migrates, the others wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunerl.errors import StoreError
from tunerl.store.database import Database

HEAD = "0001"  # the revision of `tables`; a test compares it with `migrations/versions`
_LOCK = 0x74756E65726C  # PostgreSQL's advisory lock while migrating


def version(connection: sa.Connection) -> str | None:
    """The schema revision of a database; None for one without tables of ours."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def migrate(database: Database) -> None:
    """Create or upgrade the tables. Raises `StoreError` for a newer schema."""
    if database.read(version) != HEAD:
        database.write(lambda connection: _upgrade(connection, database.label))


def config(connection: sa.Connection | None = None) -> Any:
    """Alembic's configuration for our migrations on `connection`."""
    from alembic.config import Config

    made = Config()
    folder = Path(__file__).parent / "migrations"
    made.set_main_option("script_location", str(folder).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def _upgrade(connection: sa.Connection, label: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    present = version(connection)
    settings = config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if present is not None and present not in known:
        raise StoreError(
            f"the store {label} has schema revision {present!r}, this TuneRL knows up to {HEAD!r}: "
            "it was written by a newer version; upgrade TuneRL, or point TUNERL_STORE_URL at "
            "another store"
        )
    command.upgrade(settings, HEAD)
