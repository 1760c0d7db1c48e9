"""Who is brought back, after an interruption, to where the recorded results end.

Invariant: on a runtime that keeps the order of reports nobody goes beyond its recorded results
before everybody who ran stands at them again; so what comes next comes as it would have come.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime

from tunerl.control.ledger import Ledger, Run
from tunerl.store.records import Event, ResultRecord
from tunerl.trial import Status

INTERRUPTED = "experiment.interrupted"  # kinds of events that a replay reads
PLACED, BEHIND = "trial.placed", "trial.behind"
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

    def placed(self, run: Run, ledger: Ledger) -> None:
        """Write down what has to be known of a trial that got its place, should it be interrupted
        now."""
        if not self._ordered:
            return
        if run.seats:
            where = ", ".join(str(number) for number in sorted(set(run.seats)))
            ledger.event(PLACED, f"sits in pack {where}", run.number, packs=run.seats)
        if run.remaining > 0 and run not in self:
            message = f"trains {run.remaining} iterations before it reports again"
            ledger.event(BEHIND, message, run.number, remaining=run.remaining)

    def give_up(self) -> None:
        """Let everybody go on: those who are missing find no place."""
        for run in self._runs.values():
            run.lag = 0
        self._runs.clear()

    def __bool__(self) -> bool:
        """Whether anybody is still missing or behind. Who has ended or was put aside is not."""
        self._runs = {n: run for n, run in self._runs.items() if run.status in _ALIVE}
        runs = self._runs.values()
        if all(run.status is Status.RUNNING and run.behind <= 0 for run in runs):
            self.give_up()
        return bool(self._runs)

    def __contains__(self, run: Run) -> bool:
        return run.number in self._runs

    @property
    def most(self) -> int:
        """How many iterations the last of them has to go through once more."""
        return max((run.behind for run in self._runs.values() if not run.waits), default=0)

    @property
    def repeating(self) -> bool:
        """Whether iterations are gone through once more; nothing is decided meanwhile."""
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


class Marks:
    """What was written down of trials that may have been interrupted, as a replay reads it.

    `interrupted`: who had not come back to where it was when it was interrupted. `seats`: by trial.
    """

    def __init__(self) -> None:
        self.interrupted: list[int] = []
        self.seats: dict[int, tuple[int, ...]] = {}
        self._at: datetime | None = None  # of the last interruption
        self._remaining: dict[int, tuple[datetime, int]] = {}  # by trial, since when
        self._last: dict[int, datetime] = {}  # result, by trial
        self._turns: list[datetime] = []  # when results came in

    def event(self, event: Event) -> None:
        """Take note of one, before all results."""
        assert event.created_at is not None
        if event.kind == INTERRUPTED:
            self.interrupted, self._at = event.data["trials"], event.created_at
        elif event.kind == PLACED and event.trial is not None:
            self.seats[event.trial] = tuple(event.data["packs"])
        elif event.kind == BEHIND and event.trial is not None:
            self._remaining[event.trial] = (event.created_at, event.data["remaining"])

    def result(self, result: ResultRecord) -> None:
        """Take note of one, in order of arrival."""
        assert result.created_at is not None
        self._last[result.trial] = result.created_at
        if not self._turns or result.created_at > self._turns[-1]:
            self._turns.append(result.created_at)
        if self._at is not None and result.created_at > self._at:
            self.interrupted = []

    def lag(self, number: int) -> int:
        """What a trial still had to train unrecorded when it was interrupted: since it got its
        place it has done one iteration in each turn that brought results."""
        since, remaining = self._remaining.get(number, (None, 0))
        last = self._last.get(number)
        if since is None or (last is not None and last > since):
            return 0
        return max(0, remaining - (len(self._turns) - bisect_right(self._turns, since)))
