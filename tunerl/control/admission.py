"""How many trials there may be: whether another is to be made, and who of those that wait begins.

Invariant: no more trials run at once than the user, or the searcher, allows; those that wait behind
others in a pack do not run.
"""

from __future__ import annotations

from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run
from tunerl.searchers.base import Searcher
from tunerl.spec import ExperimentSpec
from tunerl.trial import Status


class Admission:
    """The limits of one experiment."""

    def __init__(
        self, spec: ExperimentSpec, searcher: Searcher, ledger: Ledger, fleet: Fleet
    ) -> None:
        self._num_seeds, self._blind = spec.num_seeds, searcher.blind
        self._ledger, self._fleet = ledger, fleet
        limits = (spec.max_concurrent_trials, searcher.max_concurrent)
        self._most = min((limit for limit in limits if limit is not None), default=None)

    def room(self) -> bool:
        """Whether another trial should be made now.

        A searcher that looks at no results is asked ahead, for as many as could run besides, so
        that like meets like.
        """
        pending, running = self._ledger.of[Status.PENDING], self._ledger.of[Status.RUNNING]
        unfinished = len(pending)
        if self._most is not None or not self._blind:
            goes_on = (run.intent is None or run.intent.end is None for run in running.values())
            unfinished += sum(goes_on)
        ahead = self._fleet.ahead if self._blind else 0
        if self._most is not None and unfinished - self._fleet.behind >= self._most + ahead:
            return False
        made = reversed(self._ledger.trials.values())
        latest = next((run for run in made if run.resources), None)
        if latest is None:  # what was refused, or finished before a restart, tells nothing
            return True
        places = self._fleet.room.slots(latest.resources) * latest.capacity
        room = max(1, places // self._num_seeds)
        return len(pending) < room + ahead if self._blind else unfinished < room

    def seat(self) -> list[Run]:
        """Give places to those that wait; who got one."""
        return self._fleet.place(self._ledger.of[Status.PENDING].values(), self._places)

    @property
    def _places(self) -> int | None:
        """How many trials may begin to run beside those that do; None: any number."""
        if self._most is None or not (self._fleet.relayed and self._blind):
            return None
        going = len(self._ledger.of[Status.RUNNING]) - self._fleet.behind
        return max(0, self._most - going)
