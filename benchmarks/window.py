"""How many results a tuner takes in, once all of its trials have started; for both systems alike.

Invariant: trials tick from their starts on, but only what comes in during a window counts, which
begins with the first result of the last trial to start; all trials end with it. Who ticks on time
has rate times seconds of results in it, and none of more: the window closes half a tick late, so
that the last tick may tremble, and further ones do not count.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any


class Window:
    """A stop rule of `trials` trials of `rate` results a second, which ends all of them `seconds`
    after the last has started, or after `patience_s` of waiting for it (a `RuntimeError` then, when
    it is asked for counts)."""

    def __init__(self, trials: int, rate: float, seconds: float, patience_s: float = 600.0) -> None:
        self.trials, self.rate, self.seconds = trials, rate, seconds
        self.patience_s = patience_s
        self.due = round(rate * seconds)  # results of a trial on time
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
        if now - self.opened <= self.seconds + 0.5 / self.rate:
            self.counted[trial] += self.counted[trial] < self.due
            return False
        return True

    def outcome(self) -> dict[str, Any]:
        """Results a second, and those of the slowest trial as a share of what it was to report;
        seconds until all had started."""
        if self.opened is None:
            missing = f"{len(self.seen)} of {self.trials} trials started within "
            raise RuntimeError(f"{missing}{self.patience_s:g} s")
        fewest = min(self.counted[trial] for trial in self.seen)
        return {
            "per_second": self.counted.total() / self.seconds,
            "slowest": fewest / self.due,
            "starting": self.opened - self.began,
        }


_OPEN: list[Window] = []


def open_window(trials: int, rate: float, seconds: float) -> Window:
    """The window that `stop` looks at from now on."""
    _OPEN[:] = [Window(trials, rate, seconds)]
    return _OPEN[0]


def stop(trial_id: str, result: dict[str, Any]) -> bool:
    """The stop rule, a plain function: whoever copies it still speaks to the same window."""
    return _OPEN[0].result(trial_id)
