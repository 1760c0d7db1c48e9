"""Carries out what the scheduler and the stop rules decide.

Invariant: a decision about a running trial takes effect where all its replicas stand at the same,
recorded iteration; until then it is the trial's `intent`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from tunerl.control.exploits import Exploits
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Intent, Ledger, Run
from tunerl.control.referee import Referee
from tunerl.control.saving import Saver
from tunerl.schedulers.base import Allocate, Decision, Exploit, Pause, Resume, Stop, Widen
from tunerl.trial import Reason, Status

STOPPED = "trial.stopped"  # its data is the scheduler's `Verdict`


class Decisions:
    """The decisions on one experiment's trials. `seed`: the experiment's."""

    def __init__(
        self,
        seed: int,
        ledger: Ledger,
        fleet: Fleet,
        saver: Saver,
        referee: Referee,
        exploits: Exploits,
    ) -> None:
        self._seed, self._ledger, self._fleet = seed, ledger, fleet
        self._saver, self._referee, self._exploits = saver, referee, exploits
        self._unsettled: dict[int, Run] = {}
        self._waiting = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is decided within is carried out at its end, so that a trial that is put aside and
        wanted again by the same results stays where it is."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
        self._carry_out()

    def review(self) -> None:
        """Carry out what can be done now."""
        self._carry_out()

    def _carry_out(self) -> None:
        if self._waiting or self._fleet.level.repeating:
            return
        self._exploits.review()
        while self._unsettled:
            self._settle_now(self._unsettled.pop(min(self._unsettled)))
            self._exploits.review()

    def saved(self, run: Run) -> None:
        """A checkpoint of a trial is complete."""
        self._exploits.saved(run)
        self.settle(run)

    def apply(self, decisions: Iterable[Decision]) -> None:
        """Carry out what the scheduler says, as far as it can be done now."""
        for decision in decisions:
            match decision:
                case Stop(trial, complete, verdict):
                    run = self._ledger.trials[trial]
                    if verdict is not None and not _ends(run):
                        self._ledger.event(STOPPED, str(verdict), trial, **asdict(verdict))
                    self.want(run, Intent(Reason.STOP_RULE if complete else Reason.SCHEDULER))
                case Pause(trial):
                    self.want(self._ledger.trials[trial], Intent(None))
                case Resume(trial):
                    self._resume(self._ledger.trials[trial])
                case Widen(trial, seeds):
                    self._widen(self._ledger.trials[trial], seeds)
                case Allocate(trial, resources):
                    self._allocate(self._ledger.trials[trial], resources)
                case Exploit():
                    self._exploits.decide(decision)
        self._carry_out()

    def end(self, run: Run, reason: Reason) -> None:
        """End an unfinished trial as soon as its replicas stand together."""
        self.want(run, Intent(reason, told=reason is Reason.SCHEDULER))

    def want(self, run: Run, intent: Intent) -> None:
        """What shall become of a trial; the first end counts."""
        if _ends(run):
            return
        if run.intent is not None and intent.end is None:
            intent = replace(intent, seeds=run.intent.seeds)
        run.intent = intent
        if intent.end is not None:
            self._ledger.observe(run, Status.TERMINATED, intent.end)
        elif run.status is Status.RUNNING:
            self._ledger.observe(run, Status.PAUSED, None)
        if run.status is Status.RUNNING:
            self.settle(run)
        elif intent.end is not None:
            self._conclude(run, intent)

    def _resume(self, run: Run) -> None:
        if run.status is Status.PAUSED:
            run.intent = None
            self._ledger.move(run, Status.PENDING)
        elif run.intent is not None and run.intent.end is None:
            here = run.packs and not self._saver.saving(run) and not run.intent.seeds
            run.intent = None if here else replace(run.intent, resume=True)
            self._ledger.observe(run, run.status, None)

    def _widen(self, run: Run, seeds: int) -> None:
        """More replicas for a trial; one that runs is put aside for a moment."""
        if _ends(run) or seeds <= len(run.seeds):
            return
        if run.status is Status.RUNNING:
            run.intent = replace(run.intent or Intent(None, resume=True), seeds=seeds)
            self.settle(run)
        else:
            self._ledger.widen(run, seeds, self._seed)

    def _allocate(self, run: Run, resources: dict[str, float]) -> None:
        """Other resources for a trial; one that runs is put aside for a moment."""
        kept = run.status is not Status.RUNNING or self._saver.stateful  # else it would lose all
        if run.status.finished or not kept or not self._fleet.room.possible(run, resources):
            return
        run.allocated = dict(resources)
        if run.status is not Status.RUNNING:
            run.occupy()
        elif run.intent is None:
            run.intent = Intent(None, resume=True)
            self.settle(run)

    def relocate(self, run: Run) -> None:
        """Have a running trial placed anew, where its key finds the most room then."""
        if run.intent is None and run.takeover is None and self._saver.stateful:
            run.intent = Intent(None, resume=True)
            self.settle(run)

    def placed(self, run: Run) -> None:
        """A trial has got its places."""
        heir = run.heir
        run.position = run.iteration if heir else run.checkpoint_iteration
        run.suspicion.since = run.position
        self._ledger.move(run, Status.RUNNING, attempt=run.attempt + 1)
        run.seats = self._fleet.seats(run)
        self._fleet.level.placed(run, self._ledger)
        if heir:
            self._exploits.joined(run)
        self.settle(run)

    def settle(self, run: Run) -> None:
        """Carry out a trial's intent as soon as it stands where that can be done."""
        self._unsettled[run.number] = run
        self._carry_out()

    def _settle_now(self, run: Run) -> None:
        intent = run.intent
        if intent is None or run.status is not Status.RUNNING or not self._fleet.stands(run):
            return
        if not self._saver.saving(run) and run.packs and self._needs_saving(run, intent):
            self._saver.save(run, run.position, run.last)
        self._fleet.leave(run)
        if not self._saver.saving(run):
            self._conclude(run, intent)

    def _needs_saving(self, run: Run, intent: Intent) -> bool:
        wanted = self._saver.stateful if intent.end is None else self._saver.at_end
        return wanted and run.checkpoint_iteration < run.iteration

    def _conclude(self, run: Run, intent: Intent) -> None:
        if intent.end is not None:
            self._ledger.move(run, Status.TERMINATED, intent.end)
            if not intent.told:
                self.apply(self._referee.completed(run, run.last or None))
            return
        run.reset()
        run.intent = None
        run.occupy()
        self._ledger.move(run, Status.PAUSED)
        if intent.seeds > len(run.seeds):
            self._ledger.widen(run, intent.seeds, self._seed)
        if intent.resume:
            self._ledger.move(run, Status.PENDING)

    def save_all(self) -> None:
        """Order a checkpoint of every running trial that has moved since its last one."""
        for run in self._ledger.of[Status.RUNNING].values():
            moved = run.packs and run.checkpoint_iteration < run.iteration
            if (
                self._saver.stateful
                and moved
                and self._fleet.stands(run)
                and not self._saver.saving(run)
            ):
                self._saver.save(run, run.position, run.last)


def _ends(run: Run) -> bool:
    """Whether a trial has ended, or will as soon as it can."""
    return run.status.finished or (run.intent is not None and run.intent.end is not None)
