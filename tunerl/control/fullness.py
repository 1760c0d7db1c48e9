"""What a controller does while its store has no room: it waits, and goes on when there is some.

Invariant: what was to be written stays in memory until it is written; nothing is decided meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tunerl.control.ledger import Ledger

log = logging.getLogger(__name__)

WAITED = "store.full"  # kind of the event


class Fullness:
    """To be called by the store, from any thread, whenever it has no room. `leaving`: whether the
    controller, in whose thread this is made, is asked to stop; then nobody waits, and what was not
    written is lost, as after a crash."""

    def __init__(self, ledger: Ledger, leaving: Callable[[], bool]) -> None:
        self._ledger, self._leaving = ledger, leaving
        self._thread = threading.get_ident()
        self._since: float | None = None
        self._reason = ""

    def __call__(self, reason: str) -> bool:
        if self._since is None and threading.get_ident() == self._thread:
            self._since, self._reason = time.monotonic(), reason
            advice = "the experiment waits for some; free it, or interrupt and go on later"
            log.warning("%s; %s", reason, advice)
        return not self._leaving()

    def note(self) -> None:
        """Between turns: write down that there was a wait, which is over."""
        if self._since is not None:
            waited, self._since = time.monotonic() - self._since, None
            self._ledger.event(WAITED, f"waited {waited:.0f} s: {self._reason}")
