"""The store of this process: opened once for each URL, closed at its end."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunerl.store import Store

_stores: dict[str | None, Store] = {}


def open_store(given: str | Store | None) -> Store:
    """The store as given, or the one at a URL (None: the default); opened once a process."""
    from tunerl.store import Store
    from tunerl.store.database import default_url

    if isinstance(given, Store):
        return given
    url = given or default_url()
    if url not in _stores:
        _stores[url] = Store(url)
        atexit.register(_stores[url].close)
    return _stores[url]
