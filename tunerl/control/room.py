"""What a runtime has room for, and what is wrong with a trial that finds none.

Invariant: an answer is at most `TTL_S` old, and fresh again after `forget`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from tunerl.control.ledger import Run
from tunerl.errors import Problem
from tunerl.runtime.base import Runtime

TTL_S = 5.0  # clusters grow and shrink


class Room:
    """Asked often, so it remembers for a moment what the runtime says."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._slots: dict[tuple[tuple[str, float], ...], tuple[float, int]] = {}

    def forget(self) -> None:
        """A worker was lost, perhaps with its node."""
        self._slots.clear()

    @property
    def patience_s(self) -> float:
        """For how many seconds nodes may still come; 0: what is there is all."""
        return self._runtime.patience_s

    def ask_for(self, resources: Mapping[str, float]) -> None:
        """Ask a cluster that grows by itself for a node that has `resources`."""
        self._runtime.ask_for(resources)

    def slots(self, resources: Mapping[str, float]) -> int:
        """How many packs that occupy `resources` can run at once."""
        key, now = tuple(sorted(resources.items())), time.monotonic()
        asked, slots = self._slots.get(key, (-TTL_S, 0))
        if now - asked >= TTL_S:
            slots = self._runtime.slots(dict(resources))
            self._slots[key] = now, slots
        return slots

    def share(self, resources: Mapping[str, float]) -> float:
        """The part of all workers that one such pack occupies; huge where none can run."""
        return 1 / max(self.slots(resources), 1e-9)

    def possible(self, run: Run, resources: Mapping[str, float]) -> bool:
        """Whether a trial whose packs occupied `resources` could ever run."""
        return self.slots(resources) * run.capacity >= len(run.seeds)

    def problem(self, run: Run, most: int = 0) -> Problem | None:
        """Why a trial cannot be placed, whatever else runs. `most`: on how many replicas its
        scheduler may come to judge it."""
        slots, replicas = self.slots(run.resources), max(len(run.seeds), most)
        if slots < 1:
            return Problem("resources", self._runtime.why(run.resources))
        if replicas <= slots * run.capacity:
            return None
        where = "" if most < replicas else "scheduler."
        name = "max_seeds" if where else "num_seeds"
        return Problem(
            where + name,
            f"{replicas} replicas of a trial train side by side, but {slots} packs of "
            f"{run.capacity} can run at once; lower {name} to {slots * run.capacity}, "
            'or let a pack need less, as in with_resources(trainable, {"CPU": 0.5})',
        )
