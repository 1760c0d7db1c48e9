"""First in, first out: every trial runs to its own end. Holds no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunerl.schedulers.base import Decision, Scheduler


class FIFOScheduler(Scheduler):
    """Stops nobody early."""

    name = "fifo"

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        return []

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name}
