"""The store: a SQL database, the only memory. `tunerl.store.records` alone needs no SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunerl.store.store import Store as Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from tunerl.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
