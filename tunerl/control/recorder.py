"""Takes in what packs report: records it, and asks what follows from it.

Invariant: a trial's result is recorded once, when all of its replicas have theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

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

    def take(self, reports: Iterable[Report | Lost]) -> None:
        """Record what has come in, and decide."""
        with self._decisions.together():
            for report in reports:
                if report.pack not in self._fleet.packs:
                    continue
                if isinstance(report, Lost):
                    self._lost(report)
                else:
                    self._report(report)

    # What packs say.

    def _report(self, report: Report) -> None:
        pack = self._fleet.heard(report.pack)
        for part in report.saved:
            saved = self._saver.saved(part)
            if saved is not None:
                self._decisions.saved(saved)
        if report.storage_full is not None:
            self.storage_full = report.storage_full
        for id, uri in report.fell_back.items():
            where = "from its seed" if uri is None else f"from {uri}"
            message = f"replica {id} has a corrupt checkpoint and goes on {where}"
            self._ledger.event("checkpoint.fell_back", message, id.trial, uri=uri)
        heard = set()
        for id, metrics in report.results.items():
            run = self._ledger.trials[id.trial]
            if run.packs.get(id.index) != report.pack or id not in pack.members:
                continue  # it has been taken out meanwhile
            run.reported[id.index] = metrics
            if metrics.get("done") is True:
                run.done.setdefault(id.index, metrics)
            heard.add(id.trial)
        for number in sorted(heard):
            self._complete(self._ledger.trials[number])
        for id, failure in report.failures.items():  # as in a replay: after the results
            self._failed(id, failure, report.pack)

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
            self._fleet.leave(run)
            self._release(run)
            self._error(run, str(error), str(error))
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

    def _charge(self, run: Run, text: str, line: str, what: str) -> None:
        """A failure of a trial's own: once more from its last checkpoint, or the end."""
        failures, most = run.failures + 1, self._spec.failure.max_failures
        if most < 0 or failures <= most:
            self._ledger.move(run, Status.PENDING, failures=failures, error=text)
            self._ledger.event("trial.retry", f"{what}; retry {failures}", run.number)
        else:
            self._error(run, text, line, failures=failures)

    def _error(self, run: Run, text: str, line: str, **columns: int) -> None:
        self._ledger.move(run, Status.ERROR, Reason.FAILURE, error=text, **columns)
        self._ledger.event("trial.error", line, run.number)
        if self._spec.failure.fail_fast and self.failed_fast is None:
            self.failed_fast = f"trial {run.number} failed, and fail_fast is set: {line}"
        self._decisions.apply(self._referee.failed(run.number))

    def _lost(self, lost: Lost) -> None:
        """A worker is gone: no fault of its trials, unless it happens to one again and again that
        has it for itself, or one that hangs or is killed for its memory."""
        writing = self._saver.lost(lost.pack)
        members = self._fleet.packs[lost.pack].members.copy()
        numbers = sorted({*self._fleet.lost(lost.pack), *writing})
        message = f"the worker of pack {lost.pack} is gone ({lost.reason})"
        self._ledger.event("pack.lost", message, pack=lost.pack, trials=numbers)
        runs = [self._ledger.trials[number] for number in numbers]
        runs = [run for run in runs if run.status is Status.RUNNING]
        if lost.cause != "node":
            wards = suspects.died(runs, lost.pack)
            for ward in wards.values():
                apart = [run.number for run in ward]
                message = f"trials {apart} go on apart: one of them may have killed their worker"
                self._ledger.event("trial.apart", message, trials=apart)
        for run in runs:
            self._fleet.leave(run, but=members)
            self._release(run)
            self._requeue(run, lost, alone=len(runs) == 1)
        running = self._ledger.of[Status.RUNNING].values()
        self._fleet.bring_level([*running, *(self._ledger.trials[n] for n in numbers)])

    def _requeue(self, run: Run, lost: Lost, *, alone: bool) -> None:
        run.losses += alone and lost.cause != "node"
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

    def refuse(self, run: Run, text: str) -> None:
        """A trial whose configuration is not valid ends before it begins."""
        self._error(run, text, text)


def _iteration(metrics: Metrics) -> int:
    return int(metrics["training_iteration"])
