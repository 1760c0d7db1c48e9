"""Tells why an experiment waits for room, and gives up where no room will come.

Invariant: as long as nothing runs for want of room, the experiment's reason in the store says so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run
from tunerl.control.watchdog import Watchdog
from tunerl.errors import InvalidSpec, Problem
from tunerl.store.records import Lease
from tunerl.trial import ExperimentStatus, Status

if TYPE_CHECKING:
    from tunerl.store import Store


class Shortage:
    """`reason`: why the experiment waits, or None. `most_seeds`: see `Room.problem`."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        ledger: Ledger,
        fleet: Fleet,
        watchdog: Watchdog,
        most_seeds: int,
    ) -> None:
        self._store, self._lease, self._ledger = store, lease, ledger
        self._room, self._watchdog = fleet.room, watchdog
        self._most_seeds = most_seeds
        self._since: float | None = None
        self._ran = False  # whether anything found room
        self.reason: str | None = None

    def check(self, run: Run) -> None:
        """Raise `InvalidSpec` for a trial that there is no room for, where no more will come."""
        problem = self._room.problem(run, self._most_seeds)
        if problem is not None and not self._room.patience_s:
            raise InvalidSpec(problem)

    def look(self) -> None:
        """Say what the experiment waits for. Raises `InvalidSpec` once nodes have been waited for
        long enough, and nothing has run yet."""
        problem = self._problem()
        waited = self._waited(problem)
        if problem is not None and not self._ran and waited > self._room.patience_s:
            raise InvalidSpec(problem)
        reason = self._watchdog.why() if problem is None else self._text(problem)
        if reason == self.reason:
            return
        self.reason = reason
        kind = "experiment.waits" if reason else "experiment.goes_on"
        self._ledger.event(kind, reason or "there is room now")
        self._store.set_status(self._lease, ExperimentStatus.RUNNING, reason)

    def _problem(self) -> Problem | None:
        """What is wrong with the first that waits, while nothing runs."""
        self._ran = self._ran or bool(self._ledger.of[Status.RUNNING])
        waiting = self._ledger.of[Status.PENDING]
        if self._ledger.of[Status.RUNNING] or not waiting:
            return None
        problem = self._room.problem(waiting[min(waiting)], self._most_seeds)
        if problem is not None and self._since is None:
            self._room.ask_for(waiting[min(waiting)].resources)
        return problem

    def _waited(self, problem: Problem | None) -> float:
        now = time.monotonic()
        self._since = None if problem is None else self._since or now
        return 0.0 if self._since is None else now - self._since

    def _text(self, problem: Problem) -> str:
        limit = "" if self._ran else f", for {self._room.patience_s:g} s at most"
        return f"waits for nodes to join{limit}: {problem.message}"
