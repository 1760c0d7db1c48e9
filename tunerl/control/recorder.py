"""Takes in what packs report: records it, and asks what follows from it.

Invariant: a trial's result is recorded once, when all of its replicas have theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from tunerl.control import suspects
from tunerl.control.aggregate import combine, objective
from tunerl.control.decisions import Decisions
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Intent, Ledger, Run
from tunerl.control.referee import Referee
from tunerl.control.saving import Saver
from tunerl.control.stopping import StopRules, check_first_result
from tunerl.errors import MetricError
from tunerl.runtime.base import Lost, Report
from tunerl.spec import ExperimentSpec
from tunerl.store.records import ResultRecord
from tunerl.trainable import Failure
from tunerl.trial import Metrics, Reason, ReplicaId, Status

log = logging.getLogger(__name__)

MAX_LOSSES = 3  # workers lost in a row, without a new result, until the trial is to blame


class Recorder:
    """`storage_full`, `failed_fast`: why the experiment cannot go on, once that is so."""

    def __init__(
        self,
        spec: ExperimentSpec,
        rules: StopRules,
        ledger: Ledger,
        fleet: Fleet,
        saver: Saver,
        referee: Referee,
        decisions: Decisions,
    ) -> None:
        self._spec, self._rules = spec, rules
        self._ledger, self._fleet, self._saver = ledger, fleet, saver
        self._referee, self._decisions = referee, decisions
        self.storage_full: str | None = None
        self.failed_fast: str | None = None
        self._spoilt: dict[int, str] = {}  # trials whose last result made no sense, and why
        self._gone: set[int] = set()  # trials whose end the scheduler has to be told of

    def take(self, reports: Iterable[Report | Lost]) -> None:
        """Record what has come in, and decide; trials in the order of their numbers, whatever
        packs they sit in."""
        with self._decisions.together():
            here = [report for report in reports if report.pack in self._fleet.packs]
            lost = [report for report in here if isinstance(report, Lost)]
            if lost and self._fleet.ordered:
                self._interrupted(lost)
            else:
                self._take([report for report in here if isinstance(report, Report)], lost)
            self._tell()

    # What packs say.

    def _take(self, reports: Sequence[Report], lost: Sequence[Lost]) -> None:
        """As in a replay: failures come after results."""
        for report in reports:
            self._fleet.heard(report)
        reports = [*reports, *self._fleet.so_far()]
        saved = [part for report in reports for part in report.saved]
        for part in sorted(saved, key=lambda part: part.id):
            run = self._saver.saved(part)
            if run is not None:
                self._decisions.saved(run)
        heard = set[int]()
        for report in reports:
            heard |= self._reported(report)
        for number in sorted(heard):
            self._complete(self._ledger.trials[number])
        for number, text in sorted(self._spoilt.items()):
            self._spoil(self._ledger.trials[number], text)
        self._spoilt.clear()
        failures = [(id, f, r.pack) for r in reports for id, f in r.failures.items()]
        for id, failure, pack in sorted(failures, key=lambda each: each[0]):
            self._failed(id, failure, pack)
        for each in lost:
            self._lost(each)
        for id, pack in [(id, report.pack) for report in reports for id in report.waiting]:
            self._missed(id, pack)

    def _reported(self, report: Report) -> set[int]:
        """Take note of what one pack says; the trials that it has results of."""
        if report.storage_full is not None:
            self.storage_full = report.storage_full
        for id, uri in report.fell_back.items():
            where = "from its seed" if uri is None else f"from {uri}"
            message = f"replica {id} has a corrupt checkpoint and goes on {where}"
            self._ledger.event("checkpoint.fell_back", message, id.trial, uri=uri)
        heard, pack = set[int](), self._fleet.packs[report.pack]
        for id, metrics in report.results.items():
            run = self._ledger.trials[id.trial]
            if run.packs.get(id.index) != report.pack or id not in pack.members:
                continue  # it has been taken out meanwhile
            run.reported[id.index] = metrics
            if metrics.get("done") is True:
                run.done.setdefault(id.index, metrics)
            heard.add(id.trial)
        for id in report.left:
            if id in pack.members:
                pack.members.remove(id)
                self._ledger.trials[id.trial].packs.clear()
        return heard

    def _complete(self, run: Run) -> None:
        """Make a trial's result, once all of its replicas have theirs."""
        if run.held:
            self._catch_up(run)
            return
        replicas = []
        for index in range(len(run.seeds)):
            metrics = run.done.get(index) or run.reported.get(index)
            if metrics is None:
                return
            replicas.append(metrics)
        going = [run.reported[index] for index in run.reported if index not in run.done]
        iteration = max(_iteration(metrics) for metrics in going or replicas)
        run.reported.clear()
        run.position = iteration
        metrics = combine(replicas, self._spec.objectives, self._spec.aggregate)
        metrics["training_iteration"] = iteration
        asked = any(replica.get("should_checkpoint") for replica in replicas)
        if iteration > run.iteration:
            self._result(run, metrics, replicas, asked)
        else:
            self._again(run, metrics, asked)
        if run.status is Status.RUNNING and suspects.survived(run):
            self._decisions.relocate(run)
        self._decisions.settle(run)

    def _catch_up(self, run: Run) -> None:
        """New replicas train, unrecorded, to the checkpoint of the others; then all go on."""
        new = [index for index in range(len(run.seeds)) if index not in run.held]
        if any(index not in run.done and index not in run.reported for index in new):
            return
        there = [
            index in run.done or _iteration(run.reported[index]) >= run.checkpoint_iteration
            for index in new
        ]
        reached = [_iteration(metrics) for metrics in run.reported.values()]
        run.caught = min(reached, default=run.checkpoint_iteration)
        run.reported.clear()
        if all(there):
            self._fleet.admit(run)
        self._decisions.settle(run)

    def _result(self, run: Run, metrics: Metrics, replicas: list[Metrics], asked: bool) -> None:
        if self._ledger.results == 0:
            check_first_result(metrics, self._spec.objectives, self._rules.needs())
        record = ResultRecord(
            trial=run.number,
            iteration=run.position,
            attempt=run.attempt,
            metrics=metrics,
            objective=objective(metrics, self._spec.metric),
            replicas=replicas if len(replicas) > 1 else [],
        )
        self._ledger.record(run, record, self._spec.mode)
        run.losses = 0
        if self._saver.due(run, run.position, asked):
            self._saver.save(run, run.position, metrics)
        try:
            reason, decisions = self._referee.result(run, metrics, replicas)
        except MetricError as error:
            if self._ledger.results == 1:
                raise  # nobody reports what is asked for
            self._spoilt[run.number] = str(error)
            return
        if reason is not None:
            self._decisions.want(run, Intent(reason))
        self._decisions.apply(decisions)

    def _again(self, run: Run, metrics: Metrics, asked: bool) -> None:
        """An iteration that is recorded already: on the way back to where the trial was, or the
        last one once more, now with ``done``."""
        if self._saver.due(run, run.position, asked):
            self._saver.save(run, run.position, metrics)
        if metrics.get("done") is True and (run.intent is None or run.intent.end is None):
            self._decisions.want(run, Intent(Reason.DONE))
            self._decisions.apply(self._referee.completed(run, run.last))

    def _failed(self, id: ReplicaId, failure: Failure, pack: str) -> None:
        run = self._ledger.trials[id.trial]
        here = run.packs.get(id.index) == pack or self._saver.saving(run)
        if run.status is not Status.RUNNING or not here:
            log.debug("replica %s failed after its trial had left: %s", id, failure.error)
            return
        self._fleet.leave(run, but={id})
        self._release(run)
        text = failure.traceback or failure.error
        self._charge(run, text, failure.error, f"replica {id} failed ({failure.error})")

    def _missed(self, id: ReplicaId, pack: str) -> None:
        """A trial that went out behind others had no turn: it has not begun."""
        run = self._ledger.trials[id.trial]
        if run.status is not Status.RUNNING or run.packs.get(id.index) != pack:
            return
        self._fleet.leave(run, but={id})
        run.reset()
        if run.intent is None:
            self._ledger.move(run, Status.PENDING)
        else:
            self._decisions.settle(run)

    def _charge(self, run: Run, text: str, line: str, what: str) -> None:
        """A failure of a trial's own: once more from its last checkpoint, or the end."""
        failures, most = run.failures + 1, self._spec.failure.max_failures
        if most < 0 or failures <= most:
            self._ledger.move(run, Status.PENDING, failures=failures, error=text)
            self._ledger.event("trial.retry", f"{what}; retry {failures}", run.number)
        else:
            self._error(run, text, line, failures=failures)

    def _spoil(self, run: Run, text: str) -> None:
        """End a trial whose results are no use to its scheduler."""
        if not run.status.finished:
            self._fleet.leave(run)
            self._release(run)
            self._error(run, text, text)

    def _error(self, run: Run, text: str, line: str, **columns: int) -> None:
        self._ledger.move(run, Status.ERROR, Reason.FAILURE, error=text, **columns)
        self._ledger.event("trial.error", line, run.number)
        if self._spec.failure.fail_fast and self.failed_fast is None:
            self.failed_fast = f"trial {run.number} failed, and fail_fast is set: {line}"
        self._gone.add(run.number)

    def _tell(self) -> None:
        """Let the scheduler know who has failed for good; as in a replay, after the results."""
        gone, self._gone = sorted(self._gone), set()
        for number in gone:
            self._decisions.apply(self._referee.failed(number))

    def _lost(self, lost: Lost) -> None:
        """A worker is gone: no fault of its trials, unless it happens to one again and again that
        has it for itself, or one that hangs or is killed for its memory."""
        members = self._fleet.packs[lost.pack].members.copy()
        numbers, runs = self._mourn(lost)
        wards = {} if lost.cause == "node" else suspects.died(runs)
        self._tell_of(lost, numbers, [] if lost.cause == "node" else suspects.cases(runs))
        for ward in wards.values():
            apart = [run.number for run in ward]
            message = f"trials {apart} go on apart: one of them may have killed their worker"
            self._ledger.event("trial.apart", message, trials=apart)
        for run in runs:
            self._fleet.leave(run, but=members)
            self._release(run)
            self._requeue(run, lost, alone=len(runs) == 1)

    def _interrupted(self, lost: Sequence[Lost]) -> None:
        """Reports come in a fixed order here, and one is missing: nothing counts that came in with
        it, and all trials go back to where they were, as when a controller begins."""
        blamed: dict[int, Lost] = {}
        for each in lost:
            numbers, runs = self._mourn(each)
            self._tell_of(each, numbers, [])
            for run in runs:
                run.losses += each.cause != "node"
                blamed[run.number] = each
        self._fleet.close_all()
        running = list(self._ledger.of[Status.RUNNING].values())
        for run in running:
            run.lag = run.lag if run in self._fleet.level else run.remaining
            self._release(run)
            if run.number in blamed:
                self._requeue(run, blamed[run.number], alone=True)
            else:
                self._ledger.move(run, Status.PENDING)
        self._fleet.level.begin(running, self._ledger)

    def _mourn(self, lost: Lost) -> tuple[list[int], list[Run]]:
        """Forget a pack whose worker is gone; its trials, and those that were running in it."""
        writing = self._saver.lost(lost.pack)
        numbers = sorted({*self._fleet.lost(lost.pack), *writing})
        running = self._ledger.of[Status.RUNNING]
        return numbers, [running[number] for number in numbers if number in running]

    def _tell_of(self, lost: Lost, numbers: list[int], cases: list[dict[str, Any]]) -> None:
        message = f"the worker of pack {lost.pack} is gone ({lost.reason})"
        self._ledger.event(suspects.LOST, message, pack=lost.pack, trials=numbers, cases=cases)

    def _requeue(self, run: Run, lost: Lost, *, alone: bool) -> None:
        if alone and lost.cause in ("hang", "memory"):
            self._charge(run, lost.reason, lost.reason, lost.reason)
        elif run.losses >= MAX_LOSSES:
            line = f"its worker was lost {run.losses} times in a row: {lost.reason}"
            self._error(run, line, line)
        else:
            self._ledger.move(run, Status.PENDING)

    def _release(self, run: Run) -> None:
        self._saver.drop(run)
        run.reset()
        intent = run.intent
        if intent is not None and intent.end is None and intent.resume and not intent.seeds:
            run.intent = None  # it was to be placed anew, as it is now
            run.occupy()

    def refuse(self, run: Run, text: str) -> None:
        """A trial whose configuration is not valid ends before it begins."""
        self._error(run, text, text)
        self._tell()


def _iteration(metrics: Metrics) -> int:
    return int(metrics["training_iteration"])
