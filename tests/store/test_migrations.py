"""The migrations make the tables that the code expects, once, and refuse what is newer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.store.helpers import create
from tunerl.errors import StoreError
from tunerl.store import Store, schema
from tunerl.store.database import Database
from tunerl.store.tables import metadata


def test_the_newest_revision_is_the_one_the_code_expects() -> None:
    assert ScriptDirectory.from_config(schema.config()).get_heads() == [schema.HEAD]


def test_migrated_tables_are_those_of_the_code(store: Store) -> None:
    def differences(connection: sa.Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        )

    assert store._database.read(differences) == []


def test_opening_again_changes_nothing(store: Store, url: str) -> None:
    made = create(store)
    with Store(url) as again:
        assert again.get_experiment(made.id) == made


def test_many_may_open_a_new_store_at_once(url: str) -> None:
    start = threading.Barrier(6)

    def use(number: int) -> str:
        start.wait()
        with Store(url) as own:
            return create(own, f"e{number}").id

    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(use, range(6)))
    with Store(url) as store:
        assert {entry.id for entry in store.list_experiments()[0]} == made


def test_a_newer_schema_is_refused_naming_both_revisions(store: Store, url: str) -> None:
    newer = sa.text("UPDATE alembic_version SET version_num = '9999'")
    store._database.write(lambda connection: connection.execute(newer))
    with pytest.raises(StoreError, match=r"'9999'.*'0001'.*upgrade TuneRL"):
        Store(url)


def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.upgrade

    def broken(*args: Any) -> None:
        real(*args)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        Store(url)
    monkeypatch.undo()
    database = Database(url)
    assert database.read(lambda connection: sa.inspect(connection).get_table_names()) == []
    database.close()
    with Store(url) as store:
        store.ping()


def test_downgrading_removes_every_table(store: Store) -> None:
    def down(connection: sa.Connection) -> list[str]:
        command.downgrade(schema.config(connection), "base")
        return sa.inspect(connection).get_table_names()

    assert store._database.write(down) == ["alembic_version"]


def test_migrations_are_part_of_the_package() -> None:
    folder = resources.files("tunerl.store.migrations")
    assert folder.joinpath("env.py").is_file()
    assert folder.joinpath("script.py.mako").is_file()
    versions = Path(str(folder.joinpath("versions")))
    assert (versions / "__init__.py").is_file()  # else setuptools leaves the folder out
    assert list(versions.glob("0001_*.py"))
