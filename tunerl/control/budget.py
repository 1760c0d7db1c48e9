"""How much of an experiment's time budget is left, whoever ran it before."""

from __future__ import annotations

import math
import time


class TimeBudget:
    """`seconds` for the whole experiment, None for as many as it takes; begins to count now."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self._used, self._began = seconds, 0.0, time.monotonic()

    def resume(self, used: float) -> None:
        """So many seconds were used before."""
        self._used = used

    def left(self) -> float:
        """Seconds; infinite without a budget."""
        if self.seconds is None:
            return math.inf
        return self.seconds - self._used - (time.monotonic() - self._began)
