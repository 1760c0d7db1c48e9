"""Puts a running experiment aside, in a state from which another controller goes on.

Invariant: what packs have done until then is recorded, and nobody is left RUNNING.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tunerl.control.decisions import Decisions
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger
from tunerl.control.recorder import Recorder
from tunerl.trial import Status

SUSPEND_S = 30.0  # how long a pause may wait for packs under way
WAIT_S = 1.0  # how long to wait for reports until what came is written


class Suspension:
    """`commit` writes what the ledger notes."""

    def __init__(
        self,
        ledger: Ledger,
        fleet: Fleet,
        recorder: Recorder,
        decisions: Decisions,
        commit: Callable[[], None],
    ) -> None:
        self._ledger, self._fleet, self._commit = ledger, fleet, commit
        self._recorder, self._decisions = recorder, decisions

    def suspend(self, save: bool) -> None:
        """Let what is under way come in, save whoever can be saved, and give all places back."""
        deadline = time.monotonic() + SUSPEND_S
        self._drain(deadline)
        if save:
            self._decisions.save_all()
            self._fleet.dispatch(self._ledger.trials, step=False)
            self._drain(deadline)
        self.give_back()

    def give_back(self) -> None:
        """Give all places back, whatever is under way."""
        running = list(self._ledger.of[Status.RUNNING].values())
        for run in running:
            self._ledger.move(run, Status.PENDING)
        self._fleet.level.begin(running, self._ledger)

    def _drain(self, deadline: float) -> None:
        while self._fleet.busy and time.monotonic() < deadline:
            self._recorder.take(self._fleet.wait(min(WAIT_S, deadline - time.monotonic())))
            self._commit()
