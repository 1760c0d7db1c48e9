"""Keeps an experiment's lease while its controller is busy, and hears what the user asks for.

Invariant: the lease is renewed by a thread of its own, so a long wait never loses it.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from tunerl.errors import Fenced, StoreError
from tunerl.store.records import Lease

if TYPE_CHECKING:
    from tunerl.store import Store

log = logging.getLogger(__name__)

LEASE_S = 30.0
BEAT_S = 1.0


class Heartbeat:
    """Renews `lease` every second while its ``with`` block runs."""

    def __init__(self, store: Store, lease: Lease, seconds: float = LEASE_S) -> None:
        self._store, self._lease, self._seconds = store, lease, seconds
        self._over = threading.Event()
        self._fenced: Fenced | None = None
        self._request: str | None = None
        self._thread = threading.Thread(target=self._run, name="tunerl-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def request(self) -> str | None:
        """What the user asks of the experiment. Raises `Fenced` once the lease is lost."""
        if self._fenced is not None:
            raise self._fenced
        return self._request

    def _run(self) -> None:
        while not self._over.wait(BEAT_S):
            self._beat()
            if self._fenced is not None:
                return

    def _beat(self) -> None:
        try:
            self._request = self._store.renew(self._lease, self._seconds)
        except Fenced as error:
            self._fenced = error
        except StoreError as error:  # the lease lasts for a while; the next beat may succeed
            log.warning("the lease was not renewed: %s", error)
