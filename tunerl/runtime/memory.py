"""How much memory a process holds, and a guard that ends it when that is too much.

Invariant: what counts is what is resident of the process and of all that it has started; memory
that processes share counts once for each of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

EVERY_S = 0.25
PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> Iterator[int]:
    """A process and all that it has started, as far as they can be seen."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def resident(pid: int) -> int:
    """Bytes that a process and all that it has started hold in memory."""
    total = 0
    for each in family(pid):
        try:
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):  # it has just ended
            continue
    return total


def told(held: float, limit: float) -> str:
    """For a person: what was too much."""
    mb = 2**20
    return (
        f"its worker held {held / mb:,.0f} MB of memory, more than the {limit / mb:,.0f} MB of "
        "memory_limit_bytes, and was ended"
    )


class Guard(threading.Thread):
    """Ends this process, and what it has started, as soon as they hold more than `limit` bytes.

    `last_words`: is told why, right before.
    """

    def __init__(self, limit: float, last_words: Callable[[str], None]) -> None:
        super().__init__(name="tunerl-memory", daemon=True)
        self._limit, self._last_words = limit, last_words

    def run(self) -> None:
        while (held := resident(os.getpid())) <= self._limit:
            time.sleep(EVERY_S)
        self._end(held)

    def _end(self, held: int) -> None:
        me = os.getpid()
        timer = threading.Timer(5.0, os._exit, (1,))  # should nobody listen
        timer.daemon = True
        timer.start()
        try:
            self._last_words(told(held, self._limit))
        finally:
            for each in [pid for pid in family(me) if pid != me]:
                with contextlib.suppress(OSError):
                    os.kill(each, signal.SIGKILL)
            os._exit(1)
