"""Who is brought back, after an interruption, to where the recorded results end.

Invariant: on a runtime that keeps the order of reports nobody goes beyond its recorded results
before everybody who ran stands at them again; so what comes next comes as it would have come.
"""

from __future__ import annotations

from collections.abc import Iterable

from tunerl.control.ledger import Ledger, Run
from tunerl.trial import Status

INTERRUPTED = "experiment.interrupted"  # kind of an event that a replay reads
_ALIVE = (Status.PENDING, Status.RUNNING)


class Level:
    """The trials that are brought level; always empty where reports have no order."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._runs: dict[int, Run] = {}

    def begin(self, runs: Iterable[Run], ledger: Ledger) -> None:
        """These were running when everything was interrupted, and wait for places now. It is
        written down, as there may be another interruption before they have them."""
        new = {run.number: run for run in runs}
        if self._ordered and new:
            self._runs |= new
            numbers = sorted(self._runs) if self else []
            message = "trials go back to their checkpoints, or to their beginnings"
            ledger.event(INTERRUPTED, message, trials=numbers)

    def give_up(self) -> None:
        """Let everybody go on: those who are missing find no place."""
        self._runs.clear()

    def __bool__(self) -> bool:
        """Whether anybody is still missing or behind. Who has ended or was put aside is not."""
        self._runs = {n: run for n, run in self._runs.items() if run.status in _ALIVE}
        runs = self._runs.values()
        if all(run.status is Status.RUNNING and run.behind <= 0 for run in runs):
            self._runs.clear()
        return bool(self._runs)

    def __contains__(self, run: Run) -> bool:
        return run.number in self._runs

    @property
    def most(self) -> int:
        """How many recorded iterations the last of them has to go through once more."""
        return max((run.behind for run in self._runs.values() if not run.waits), default=0)

    @property
    def repeating(self) -> bool:
        """Whether recorded iterations are gone through once more; nothing is decided meanwhile."""
        return bool(self) and self.most > 0

    def eligible(self, waiting: Iterable[Run]) -> list[Run]:
        """Who may be placed now: who is as far behind as the last, so that a pack steps as one."""
        found = [run for run in waiting if not run.waits]
        if not self:
            return found
        most = self.most
        return [run for run in found if run in self and run.behind >= most]

    def holds(self, run: Run) -> bool:
        """Whether a trial waits where it stands for those who are behind."""
        return run in self and run.behind <= 0
