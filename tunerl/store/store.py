"""`Store`: the SQL database behind one face. Each method is one transaction.

Invariant: only what is here remembers; the API, the worker and `Tuner` share nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from tunerl.store import schema
from tunerl.store.amending import Amendments
from tunerl.store.artifacts import Artifacts
from tunerl.store.commit import Commits
from tunerl.store.database import Database, default_url
from tunerl.store.experiments import Experiments
from tunerl.store.leases import Leases
from tunerl.store.queries import Queries


class Store(Experiments, Leases, Commits, Queries, Artifacts, Amendments):
    """Experiments, trials, results, checkpoints, events and leases.

    Usable from several threads; each process opens its own. Every method raises `StoreError`
    when the database cannot be used (bounded retries come first), `StoreFull` when it has no room.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open the store at `url` and bring its tables up to date.

        Default: ``$TUNERL_STORE_URL``, else ``sqlite:///$TUNERL_HOME/tunerl.db``. Raises
        `StoreError` for a URL of another kind, a database that does not answer, or one that a
        newer version wrote.
        """
        self._database = Database(url or default_url())
        self._modes, self._written = {}, {}
        try:
            schema.migrate(self._database)
        except BaseException:
            self._database.close()
            raise

    @property
    def url(self) -> str:
        """The URL for a person: without the password."""
        return self._database.label

    def ping(self) -> None:
        """Ask the database for an answer. Raises `StoreError` when there is none."""
        self._database.read(lambda connection: connection.execute(sa.select(1)).scalar_one())

    def schema_version(self) -> str:
        """The revision of the tables."""
        return self._database.read(schema.version) or ""

    @contextmanager
    def patient(
        self, seconds: float, when_full: Callable[[str], bool] | None = None
    ) -> Iterator[None]:
        """Wait for so long within the block for a database that does not answer, instead of a few
        seconds; and for one that has no room as long as `when_full`, which is told the reason at
        each try, from any thread, says so."""
        database = self._database
        before = database.patience_s, database.when_full
        database.patience_s, database.when_full = seconds, when_full
        try:
            yield
        finally:
            database.patience_s, database.when_full = before

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self._database.url.render_as_string(hide_password=False),)
