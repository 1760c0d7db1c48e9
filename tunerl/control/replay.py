"""Rebuilds a controller's memory from the store, by the same path that live events take.

Invariant: scheduler, stop rules and searcher are shown what they were shown, in its order; so they
decide from here on what they would have decided without the interruption.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from tunerl.control.earlier import events, recorded
from tunerl.control.ledger import Intent, Ledger, Run
from tunerl.control.objects import Objects
from tunerl.control.referee import Referee
from tunerl.errors import MetricError
from tunerl.schedulers.base import Decision, Pause, Resume, Stop, Widen
from tunerl.store.records import ResultRecord, TrialRecord
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store

STARTED, IDLE = "experiment.started", "scheduler.idle"  # kinds of events that a replay reads


def replay(
    store: Store, ledger: Ledger, referee: Referee, mode: str | None, objects: Objects
) -> None:
    """Fill an empty ledger; trials that were running are PENDING again afterwards."""
    _Replay(store, ledger, referee, mode, objects).run()
    for run in list(ledger.of[Status.RUNNING].values()):
        ledger.move(run, Status.PENDING)
    for run in list(ledger.of[Status.PENDING].values()):
        _carry_out(ledger, run)


class _Replay:
    """One pass over the recorded events: trials made, results, trials ended."""

    def __init__(
        self, store: Store, ledger: Ledger, referee: Referee, mode: str | None, objects: Objects
    ) -> None:
        self._store, self._ledger, self._referee, self._mode = store, ledger, referee, mode
        self._objects = objects
        self._records = store.trials(ledger.experiment_id)
        self._added = 0
        self._told: set[int] = set()  # trials whose end the scheduler has heard of
        finished = (r for r in self._records if r.status.finished and r.ended_at is not None)
        self._ended = sorted(finished, key=lambda r: (r.ended_at or r.created_at, r.number))
        self._next_end = 0
        self._idles = _idles(store, ledger.experiment_id)
        self._next_idle = 0

    def run(self) -> None:
        for result in recorded(self._store, self._ledger.experiment_id):
            assert result.created_at is not None
            self._until(result.created_at)
            while result.trial >= self._added:
                self._add(self._records[self._added])
            self._result(result)
        self._until(None)

    def _until(self, now: datetime | None) -> None:
        """What happened before `now`; in one turn, results and ends come before new trials."""
        while self._added < len(self._records):
            record = self._records[self._added]
            self._ends(record.created_at if now is None else min(now, record.created_at), now)
            if now is not None and record.created_at >= now:
                break
            self._add(record)
        self._ends(None, now)
        while self._next_idle < len(self._idles):
            if now is not None and self._idles[self._next_idle] >= now:
                break
            self._apply(self._referee.idle())
            self._next_idle += 1

    def _ends(self, latest: datetime | None, now: datetime | None) -> None:
        """Trials that are there and ended up to `latest`, and before `now`."""
        while self._next_end < len(self._ended):
            record = self._ended[self._next_end]
            ended = record.ended_at or record.created_at
            if record.number >= self._added or (latest is not None and ended > latest):
                break
            if now is not None and ended >= now:
                break
            self._end(record)
            self._next_end += 1

    def _add(self, record: TrialRecord) -> None:
        run = Run(
            record.number,
            self._objects.thaw(record.config),
            record.seeds,
            record.status,
            record.reason,
            attempt=record.attempt,
            failures=record.failures,
            error=record.error,
        )
        self._ledger.enter(run)
        self._added += 1
        self._apply(self._referee.added(run.number, run.config))

    def _result(self, result: ResultRecord) -> None:
        run = self._ledger.trials[result.trial]
        self._ledger.remember(run, result, self._mode)
        try:
            reason, decisions = self._referee.result(run, result.metrics, result.replicas)
        except MetricError:  # for which the trial was ended, or the experiment
            return
        if reason is not None:
            self._told.add(run.number)
            self._ledger.close(run.number)
            run.intent = Intent(reason)
        self._apply(decisions)

    def _end(self, record: TrialRecord) -> None:
        """A trial ended otherwise than by its last result."""
        self._ledger.close(record.number)
        if record.number in self._told or record.reason is Reason.SCHEDULER:
            return
        run = self._ledger.trials[record.number]
        if record.status is Status.ERROR:
            self._apply(self._referee.failed(run.number))
        else:
            self._apply(self._referee.completed(run, run.last or None))

    def _apply(self, decisions: list[Decision]) -> None:
        """Remember what the scheduler wanted of trials; the store knows what came of it."""
        for decision in decisions:
            if isinstance(decision, Stop):
                reason = Reason.STOP_RULE if decision.complete else Reason.SCHEDULER
                self._ledger.trials[decision.trial].intent = Intent(reason)
                self._ledger.close(decision.trial)
            elif isinstance(decision, Pause):
                self._ledger.trials[decision.trial].intent = Intent(None)
            elif isinstance(decision, Resume):
                run = self._ledger.trials[decision.trial]
                going = run.intent is not None and run.intent.seeds
                run.intent = replace(run.intent, resume=True) if run.intent and going else None
            elif isinstance(decision, Widen):
                run = self._ledger.trials[decision.trial]
                if decision.seeds > len(run.seeds):  # not carried out yet
                    intent = run.intent or Intent(None, resume=True)
                    run.intent = replace(intent, seeds=decision.seeds)


def _carry_out(ledger: Ledger, run: Run) -> None:
    """For the searcher a trial that was about to end, or to be put aside, counts as if it had."""
    if run.intent is None:
        return
    if run.intent.end is not None:
        ledger.observe(run, Status.TERMINATED, run.intent.end)
    elif not run.intent.resume:
        ledger.observe(run, Status.PAUSED, None)


def _idles(store: Store, id: str) -> list[datetime]:
    """When the scheduler was asked what to do because nothing ran."""
    return [
        event.created_at
        for event in events(store, id)
        if event.kind == IDLE and event.created_at is not None
    ]


def time_used(store: Store, id: str) -> float:
    """Seconds for which controllers have worked on an experiment, by what they wrote."""
    starts: list[datetime] = []
    writes: list[datetime] = []
    for event in events(store, id):
        assert event.created_at is not None
        writes.append(event.created_at)
        if event.kind == STARTED:
            starts.append(event.created_at)
    writes += [result.created_at for result in recorded(store, id) if result.created_at]
    writes.sort()
    used, position = 0.0, 0
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        last = start
        while position < len(writes) and (end is None or writes[position] < end):
            last = max(last, writes[position])
            position += 1
        used += (last - start).total_seconds()
    return used
