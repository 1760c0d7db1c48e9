"""Rebuilds a controller's memory from the store, by the same path that live events take.

Invariant: scheduler, stop rules and searcher are shown what they were shown, in its order; so they
decide from here on what they would have decided without the interruption.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tunerl.control import exploits, suspects
from tunerl.control.earlier import events, recorded
from tunerl.control.ledger import Intent, Ledger, Run, Takeover
from tunerl.control.level import Marks
from tunerl.control.objects import Objects
from tunerl.control.referee import Referee
from tunerl.errors import MetricError
from tunerl.schedulers.base import Allocate, Decision, Exploit, Pause, Resume, Stop, Widen
from tunerl.store.records import Event, ResultRecord, TrialRecord
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store

STARTED, IDLE = "experiment.started", "scheduler.idle"  # kinds of events that a replay reads


def replay(
    store: Store, ledger: Ledger, referee: Referee, mode: str | None, objects: Objects
) -> Replayed:
    """Fill an empty ledger; trials that were running are PENDING again afterwards."""
    replayed = _Replay(store, ledger, referee, mode, objects)
    replayed.run()
    running = ledger.of[Status.RUNNING].copy()
    for run in running.values():
        ledger.move(run, Status.PENDING)
    still = [ledger.trials[number] for number in replayed.marks.interrupted]
    running |= {run.number: run for run in still if run.status is Status.PENDING}
    interrupted = [running[number] for number in sorted(running)]
    for run in interrupted:
        run.lag = replayed.marks.lag(run.number)
    for run in list(ledger.of[Status.PENDING].values()):
        _carry_out(ledger, run)
    return Replayed(interrupted, replayed.exploits.passing, replayed.undone)


@dataclass(frozen=True)
class Replayed:
    """`interrupted`: the trials that were running, or had not come back to where they had been
    running before an earlier interruption. `passing`: checkpoints that were made for an
    exploit only, as trial and iteration. `undone`: exploits that nothing was written down of."""

    interrupted: list[Run]
    passing: set[tuple[int, int]]
    undone: list[Exploit]


class _Exploits:
    """The recorded exploits: of each trial in their order, and which is still open."""

    def __init__(self) -> None:
        self.decided: dict[int, list[dict[str, Any]]] = {}
        self.pinned: dict[int, dict[str, Any]] = {}  # by target
        self.open: set[int] = set()
        self.passing: set[tuple[int, int]] = set()

    def read(self, event: Event) -> None:
        if event.kind == exploits.PINNED and event.trial is not None:
            self.pinned[event.data["target"]] = event.data
            if event.data["passing"]:
                self.passing.add((event.trial, event.data["iteration"]))
        elif event.kind == exploits.DECIDED and event.trial is not None:
            self.decided.setdefault(event.trial, []).append(event.data)
            self.open.add(event.trial)
            self.pinned.pop(event.trial, None)
        elif event.kind in (exploits.DONE, exploits.FAILED) and event.trial is not None:
            self.open.discard(event.trial)
            self.pinned.pop(event.trial, None)
            if event.kind == exploits.DONE:
                self.passing.add((event.trial, event.data["iteration"]))


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
        self._idles: list[datetime] = []  # when the scheduler was asked as nothing ran
        self.exploits = _Exploits()
        self.marks = Marks()
        cases: dict[int, dict[str, Any]] = {}  # what was held last against trials
        for event in events(store, ledger.experiment_id):
            self.exploits.read(event)
            self.marks.event(event)
            if event.kind == suspects.LOST:
                cases |= {case["trial"]: case for case in event.data.get("cases", ())}
            if event.kind == IDLE and event.created_at is not None:
                self._idles.append(event.created_at)
        self._cases = cases
        self._next_idle = 0
        self._exploited: Counter[int] = Counter()  # exploits seen so far, by target
        self.undone: list[Exploit] = []

    def run(self) -> None:
        for result in recorded(self._store, self._ledger.experiment_id):
            assert result.created_at is not None
            self._until(result.created_at)
            while result.trial >= self._added:
                self._add(self._records[self._added])
            self._result(result)
            self.marks.result(result)
        self._until(None)
        for number, case in self._cases.items():
            suspects.recall(self._ledger.trials[number], case)
        for number in self.exploits.open:
            run, data = self._ledger.trials[number], self.exploits.decided[number][-1]
            own = data["source"] == number
            if own:
                run.config = self._objects.thaw(data["old"])
            pinned = self.exploits.pinned.get(number)
            run.takeover = Takeover(
                data["source"],
                self._objects.thaw(data["config"]),
                at=data["source_iteration"],
                uri=None if pinned is None else pinned["uri"],
                own=own,
            )

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
        exploited = self.exploits.decided.get(record.number)
        run = Run(
            record.number,
            self._objects.thaw(exploited[0]["old"] if exploited else record.config),
            record.seeds,
            record.status,
            record.reason,
            attempt=record.attempt,
            failures=record.failures,
            error=record.error,
            seats=self.marks.seats.get(record.number, ()),
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
            elif isinstance(decision, Allocate):
                self._ledger.trials[decision.trial].allocated = dict(decision.resources)
            elif isinstance(decision, Widen):
                run = self._ledger.trials[decision.trial]
                if decision.seeds > len(run.seeds):  # not carried out yet
                    intent = run.intent or Intent(None, resume=True)
                    run.intent = replace(intent, seeds=decision.seeds)
            else:
                self._exploit(decision)

    def _exploit(self, decision: Exploit) -> None:
        """What was recorded of it counts."""
        run, position = self._ledger.trials[decision.target], self._exploited[decision.target]
        for data in self.exploits.decided.get(run.number, [])[position : position + 1]:
            if (data["source"], data["iteration"]) == (decision.source, run.iteration):
                self._exploited[run.number] += 1
                run.config = self._objects.thaw(data["config"])
                self._referee.exploited(run.number, decision.source, run.config)
                return
        self.undone.append(decision)


def _carry_out(ledger: Ledger, run: Run) -> None:
    """For the searcher a trial that was about to end, or to be put aside, counts as if it had."""
    if run.intent is None:
        return
    if run.intent.end is not None:
        ledger.observe(run, Status.TERMINATED, run.intent.end)
    elif not run.intent.resume:
        ledger.observe(run, Status.PAUSED, None)


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
