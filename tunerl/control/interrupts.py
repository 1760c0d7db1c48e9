"""Ctrl-C and SIGTERM while an experiment runs: once means an orderly end, twice means now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunerl.control.controller import Controller


@contextmanager
def interruptible(controller: Controller) -> Iterator[None]:
    """Signals interrupt `controller` meanwhile; outside of the main thread there are none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        controller.interrupt("interrupted")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
