"""Drives one experiment: fill, commit, wait, record; over and over.

Invariant: what one turn found out and decided is one transaction, written before any pack acts on
it; so a controller that dies at any point is continued by another from the store alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunerl.control import relays
from tunerl.control.admission import Admission
from tunerl.control.announcer import Announcer
from tunerl.control.balance import Balancer
from tunerl.control.budget import TimeBudget
from tunerl.control.decisions import Decisions
from tunerl.control.earlier import learn
from tunerl.control.exploits import Exploits
from tunerl.control.fleet import Fleet
from tunerl.control.fullness import Fullness
from tunerl.control.heartbeat import LEASE_S, Heartbeat
from tunerl.control.ledger import Ledger
from tunerl.control.names import Naming
from tunerl.control.needs import Assessor
from tunerl.control.outcome import REQUESTED, Outcome, verdict
from tunerl.control.proposer import Proposer
from tunerl.control.recorder import Recorder
from tunerl.control.referee import Referee
from tunerl.control.replay import IDLE, STARTED, replay, time_used
from tunerl.control.saving import Saver
from tunerl.control.shortage import Shortage
from tunerl.control.suspension import Suspension
from tunerl.control.views import NoProgress, Progress, View, view_of
from tunerl.control.watchdog import Watchdog
from tunerl.errors import Fenced, StoreError, TuneRLError
from tunerl.runtime.base import Lost, Report, Runtime
from tunerl.spec import ExperimentSpec, Parts
from tunerl.store.records import Lease
from tunerl.trainable import TrainableSpec
from tunerl.trial import ExperimentStatus, Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store

TURN_S = 1.0  # how long to wait for reports before looking at requests and clocks again
PATIENCE_S = 60.0  # with a database that is started anew: results wait, and packs go on


@dataclass
class Controller:
    """One experiment, its pieces, and the loop over them.

    `lease` is held already, and released by whoever took it. `root`: the experiment's own directory
    (or URL), ``<storage>/<experiment id>``, for its checkpoints.
    """

    store: Store
    lease: Lease
    spec: ExperimentSpec
    trainable: TrainableSpec
    runtime: Runtime
    root: str
    parts: Parts
    progress: Progress = field(default_factory=NoProgress)
    callbacks: Sequence[Any] = ()
    naming: Naming = field(default_factory=Naming)
    lease_seconds: float = LEASE_S

    def __post_init__(self) -> None:
        self._outcome: Outcome | None = None
        self._asked: Outcome | None = None  # from outside, by `interrupt`
        self._draining: Outcome | None = None  # what comes once the running trials have ended
        self._budget = TimeBudget(self.spec.time_budget_s)
        self._ledger = Ledger(self.store, self.lease)
        self._announcer = Announcer(
            self.callbacks,
            self.naming,
            spec=self.spec,
            parts=self.parts,
            store=self.store,
            ledger=self._ledger,
            root=self.root,
        )
        relayed = relays.possible(self.spec, self.trainable, self.runtime)
        self._fleet = Fleet(self.runtime, self.trainable, self.lease.experiment_id, relayed)
        self._referee = Referee(self.parts.scheduler, self.parts.rules)
        self._saver = Saver(
            self.spec.checkpoint,
            root=self.root,
            trainable=self.trainable.name,
            stateful=self.trainable.stateful,
            store=self.store,
            ledger=self._ledger,
            fleet=self._fleet,
            objects=self.parts.objects,
        )
        parts, ledger, fleet, saver = self.parts, self._ledger, self._fleet, self._saver
        assessor, referee = Assessor(self.spec, self.trainable, parts), self._referee
        self._exploits = Exploits(ledger, fleet, saver, referee, parts.objects, assessor)
        decisions = Decisions(self.spec.seed, ledger, fleet, saver, referee, self._exploits)
        recorder = Recorder(self.spec, parts.rules, ledger, fleet, saver, referee, decisions)
        self._decisions, self._recorder = decisions, recorder
        self._suspension = Suspension(ledger, fleet, recorder, decisions, self._commit)
        self._watchdog = Watchdog(self.runtime, fleet, self.spec.failure)
        self._balancer = Balancer(self.spec.stop, ledger, fleet, saver, decisions)
        self._shortage = Shortage(
            self.store, self.lease, ledger, fleet, self._watchdog, parts.scheduler.most_seeds
        )
        self._admission = Admission(self.spec, parts.searcher, ledger, fleet)
        self._proposer = Proposer(
            self.spec,
            assessor,
            parts,
            ledger=ledger,
            fleet=fleet,
            admission=self._admission,
            referee=referee,
            decisions=decisions,
            recorder=recorder,
            shortage=self._shortage,
        )

    def interrupt(self, reason: str, *, requeue: bool = False) -> None:
        """Ask the loop to stop soon, in a state from which another controller goes on.

        The experiment is PAUSED, or with `requeue` PENDING for the next worker. May be called from
        another thread or from a signal handler; a second call changes nothing.
        """
        status = ExperimentStatus.PENDING if requeue else ExperimentStatus.PAUSED
        self._asked = self._asked or Outcome(status, reason)

    def run(self) -> ExperimentStatus:
        """Drive the experiment until it ends or is put aside; its status then.

        Raises what makes the whole experiment impossible (`InvalidSpec` for resources nobody has,
        `MetricError`), after the status ERROR was stored; `Fenced` when another process has it.
        """
        beating = Heartbeat(self.store, self.lease, self.lease_seconds)
        full = Fullness(self._ledger, lambda: self._asked is not None)
        with self.store.patient(PATIENCE_S, full), beating as heart:
            try:
                self._start()
                while self._outcome is None:
                    self._announcer.step_begins()
                    full.note()
                    self._watch(heart)
                    self._fill()
                    self._commit()
                    if self._outcome is None:
                        self._turn()
                    self._announcer.step_ends()
                return self._end(self._outcome)
            except (Fenced, StoreError):
                raise
            except KeyboardInterrupt:
                self._suspension.give_back()
                self._set(Outcome(ExperimentStatus.PAUSED, "interrupted"))
                raise
            except Exception as error:
                self._give_up(error)
                raise
            finally:
                self._fleet.close_all()
                self.progress.end(self.view())

    # Beginning and end.

    def _start(self) -> None:
        self._watchdog.check()
        experiment = self.store.get_experiment(self.lease.experiment_id)
        if experiment.status not in (ExperimentStatus.RUNNING, ExperimentStatus.CANCELING):
            self.store.set_status(self.lease, ExperimentStatus.RUNNING)
        if self.spec.time_budget_s is not None or self.parts.rules.timed:
            used = time_used(self.store, experiment.id)
            self._budget.resume(used)
            self.parts.rules.resume(used)
        learn(self.store, self._ledger, self.spec, self.parts.searcher, self.parts.objects)
        replayed = replay(
            self.store, self._ledger, self._referee, self.spec.mode, self.parts.objects
        )
        self._saver.restore(self.store.checkpoints(experiment.id), replayed.passing)
        self._announcer.start()
        for run in self._ledger.unfinished:
            self._proposer.prepare(run)
        self._fleet.level.begin(replayed.interrupted, self._ledger)
        self._exploits.resume(replayed.undone)
        if experiment.status is ExperimentStatus.CANCELING:
            self._outcome = REQUESTED["cancel"]
            return
        self._ledger.event(STARTED, f"taken up by {self.lease.owner}")
        self.progress.start(self.view())

    def _end(self, outcome: Outcome) -> ExperimentStatus:
        if outcome.status is ExperimentStatus.CANCELED:
            self._cancel()
        elif outcome.status in (ExperimentStatus.PAUSED, ExperimentStatus.PENDING):
            self._suspension.suspend(save=self._recorder.storage_full is None)
        else:
            self._end_trials(Reason.FAILURE)
        self._set(outcome)
        return outcome.status

    def _set(self, outcome: Outcome) -> None:
        status = str(outcome.status).lower()
        self._ledger.event(f"experiment.{status}", outcome.reason or status)
        self._commit()
        self.store.set_status(self.lease, outcome.status, outcome.reason)
        self._outcome = outcome
        self._announcer.end()
        self._commit()

    def _give_up(self, error: Exception) -> None:
        self._end_trials(Reason.FAILURE)
        text = str(error) if isinstance(error, TuneRLError) else f"{type(error).__name__}: {error}"
        self._set(Outcome(ExperimentStatus.ERROR, text))

    def _end_trials(self, reason: Reason) -> None:
        for run in self._ledger.unfinished:
            self._ledger.move(run, Status.CANCELED, reason)

    def _cancel(self) -> None:
        experiment = self.store.get_experiment(self.lease.experiment_id)
        if experiment.status is ExperimentStatus.RUNNING:
            self.store.set_status(self.lease, ExperimentStatus.CANCELING)
        self._end_trials(Reason.USER)

    # One turn.

    def _watch(self, heart: Heartbeat) -> None:
        """Requests of the user, the clock, the rules for the whole experiment."""
        request = heart.request()
        if request in REQUESTED:
            self._outcome = REQUESTED[request]
        elif self._asked is not None:
            self._outcome = self._asked
        elif self._recorder.storage_full is not None:
            self._outcome = Outcome(ExperimentStatus.PAUSED, self._recorder.storage_full)
        elif self._recorder.failed_fast is not None:
            self._outcome = Outcome(ExperimentStatus.ERROR, self._recorder.failed_fast)
        elif self._draining is None and self._budget.left() <= 0:
            reason = f"the time budget of {self._budget.seconds:g} s is used up"
            self._wind_down(Reason.BUDGET, reason)
        elif self._draining is None and self._referee.all_stopped():
            self._wind_down(Reason.STOP_RULE, "the stop rule ended the experiment")

    def _wind_down(self, reason: Reason, text: str) -> None:
        """Nothing new begins, and what runs ends after the iteration it is at."""
        self._draining = Outcome(ExperimentStatus.COMPLETED, text)
        for run in self._ledger.unfinished:
            self._decisions.end(run, reason)

    def _fill(self) -> None:
        if self._outcome is not None:
            return
        self._decisions.review()
        if self._draining is None:
            self._seat()
            self._balancer.look()
        if not self._ledger.of[Status.RUNNING]:
            self._idle()
            self._place()

    def _seat(self) -> None:
        """Until nothing is left to do: a controller that begins from here finds nothing either."""
        while True:
            made = not self._fleet.level and self._proposer.fill()
            if not self._place() and not made:
                return
            self._decisions.review()

    def _place(self) -> bool:
        placed = self._admission.seat()
        for run in placed:
            self._decisions.placed(run)
        return bool(placed)

    def _idle(self) -> None:
        """Nobody runs. The end, unless someone waits for a place or was put aside."""
        if self._draining is not None:
            self._outcome = self._draining
        elif self._ledger.of[Status.PENDING]:
            return
        elif self._ledger.of[Status.PAUSED]:
            self._ledger.event(IDLE, "nothing runs; the scheduler is asked what next")
            self._decisions.apply(self._referee.idle())
            if not self._ledger.of[Status.PENDING]:
                for run in list(self._ledger.of[Status.PAUSED].values()):
                    self._decisions.end(run, Reason.SCHEDULER)
        elif not self._proposer.fill():
            self._proposer.check_exhausted()
            self._outcome = verdict(self._ledger)

    def _commit(self) -> None:
        self._saver.delete(self._ledger.commit())

    def _turn(self) -> None:
        """Send the packs on their way, take what comes in; look at those of whom nothing came."""
        self._fleet.dispatch(self._ledger.trials)
        reports: Sequence[Report | Lost] = ()
        if self._fleet.busy:
            reports = self._fleet.wait(max(0.0, min(TURN_S, self._budget.left())))
        elif self._ledger.of[Status.PENDING]:
            time.sleep(TURN_S / 10)  # trials wait for nodes
        self._recorder.take(reports)
        self._recorder.take(self._watchdog.look())
        self._shortage.look()
        self.progress.update(self.view)

    def view(self) -> View:
        """What a person sees of the experiment now."""
        outcome = self._outcome or Outcome(ExperimentStatus.RUNNING, self._shortage.reason)
        return view_of(self.spec, self._ledger, self.parts, outcome, self._announcer.label)
