"""How many results a tuner takes in, once all of its trials have started; for both systems alike.

Invariant: trials tick from their starts on, but only what comes in during a window counts, which
begins with the first result of the last trial to start; all trials end with it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any


class Window:
    """A stop rule of `trials` trials, which ends all of them `seconds` after the last has started,
    or after `patience_s` of waiting for it (a `RuntimeError` then, when it is asked for counts)."""

    def __init__(self, trials: int, seconds: float, patience_s: float = 600.0) -> None:
        self.trials, self.seconds, self.patience_s = trials, seconds, patience_s
        self.began = time.perf_counter()
        self.opened: float | None = None
        self.seen: set[str] = set()
        self.counted = Counter[str]()

    def result(self, trial: str) -> bool:
        """Take note of a result that the tuner has just taken in; whether its trial ends."""
        now = time.perf_counter()
        self.seen.add(trial)
        if self.opened is None and len(self.seen) == self.trials:
            self.opened = now
            return False
        if self.opened is None:
            return now - self.began > self.patience_s
        if now - self.opened <= self.seconds:
            self.counted[trial] += 1
            return False
        return True

    def outcome(self, rate: float) -> dict[str, Any]:
        """Results a second, of all trials and of the slowest as shares of what `rate` results a
        second of each come to; seconds until all had started."""
        if self.opened is None:
            missing = f"{len(self.seen)} of {self.trials} trials started within "
            raise RuntimeError(f"{missing}{self.patience_s:g} s")
        fewest = min(self.counted[trial] for trial in self.seen)
        return {
            "per_second": self.counted.total() / self.seconds,
            "slowest": fewest / (rate * self.seconds),
            "starting": self.opened - self.began,
        }


_OPEN: list[Window] = []


def open_window(trials: int, seconds: float) -> Window:
    """The window that `stop` looks at from now on."""
    _OPEN[:] = [Window(trials, seconds)]
    return _OPEN[0]


def stop(trial_id: str, result: dict[str, Any]) -> bool:
    """The stop rule, a plain function: whoever copies it still speaks to the same window."""
    return _OPEN[0].result(trial_id)
