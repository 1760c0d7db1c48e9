"""Makes new trials: asks the searcher while there is room, finds out what each trial needs.

Invariant: a trial's configuration and seeds follow from the experiment's seed, the trial's number
and the history; never from the clock.
"""

from __future__ import annotations

from tunerl.control.admission import Admission
from tunerl.control.decisions import Decisions
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run, replica_seeds
from tunerl.control.needs import Assessor
from tunerl.control.recorder import Recorder
from tunerl.control.referee import Referee
from tunerl.control.shortage import Shortage
from tunerl.errors import InvalidConfig, InvalidSpec, Problem, TuneRLError
from tunerl.searchers.base import Wait
from tunerl.spec import ExperimentSpec, Parts
from tunerl.trial import Status

MAX_REFUSED = 100  # invalid configurations from the beginning on, until the space is to blame


class Proposer:
    """`exhausted`: the searcher has no more."""

    def __init__(
        self,
        spec: ExperimentSpec,
        assessor: Assessor,
        parts: Parts,
        *,
        ledger: Ledger,
        fleet: Fleet,
        admission: Admission,
        referee: Referee,
        decisions: Decisions,
        recorder: Recorder,
        shortage: Shortage,
    ) -> None:
        self._spec, self._assessor, self._parts = spec, assessor, parts
        self._ledger, self._fleet, self._recorder = ledger, fleet, recorder
        self._referee, self._decisions, self._shortage = referee, decisions, shortage
        self._admission, self.exhausted = admission, False

    def fill(self) -> bool:
        """Make trials while there is room; whether any was made."""
        before = len(self._ledger.history)
        while not self.exhausted and self._admission.room() and self._suggest():
            self._check_refusals()
        return len(self._ledger.history) > before

    def check_exhausted(self) -> None:
        """Nobody runs: raises `TuneRLError` for a searcher that waits all the same."""
        if not self.exhausted:
            name = self._parts.searcher.name
            raise TuneRLError(f"searcher {name!r} waits for a result, but no trial runs")

    def _check_refusals(self) -> None:
        """Raise `InvalidSpec` where it seems that every configuration is refused."""
        trials, refused = len(self._ledger.history), self._ledger.of[Status.ERROR]
        if trials == len(refused) == MAX_REFUSED:
            error = self._ledger.trials[trials - 1].error
            raise InvalidSpec(
                Problem("param_space", f"the first {trials} trials failed, the last with: {error}")
            )

    def _suggest(self) -> bool:
        """Make the next trial; False when there is none (for now)."""
        number = len(self._ledger.history)
        suggestion = self._parts.searcher.suggest(number, self._ledger.history)
        if suggestion is None or isinstance(suggestion, Wait):
            self.exhausted = suggestion is None
            return False
        frozen = self._parts.objects.freeze(suggestion)
        config = self._parts.objects.thaw(frozen)
        seeds = self._seeds(number)
        run = self._ledger.add(config, seeds, frozen)
        self._decisions.apply(self._referee.added(number, config))
        self.prepare(run)
        return True

    def _seeds(self, number: int) -> tuple[int, ...]:
        given, count = self._spec.seeds, self._spec.num_seeds
        if not given:
            return replica_seeds(self._spec.seed, number, count)
        return tuple(given[(number * count + index) % len(given)] for index in range(count))

    def prepare(self, run: Run) -> None:
        """Find out what a trial needs; one whose configuration is refused ends at once."""
        try:
            run.take(needs := self._assessor.of(run.config))
        except InvalidConfig as error:
            self._recorder.refuse(run, str(error))
            return
        if run.allocated is not None and not self._fleet.room.possible(run, run.allocated):
            run.allocated = None  # by a controller that had other workers
            run.take(needs)
        self._shortage.check(run)
