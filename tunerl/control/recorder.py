"""Takes in what packs report and carries out what is decided from it.

Invariant: a decision about a running trial takes effect where all its replicas stand at the same,
recorded iteration; until then it is the trial's `intent`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from tunerl.control.aggregate import combine, objective
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Intent, Ledger, Run, replica_seeds
from tunerl.control.referee import Referee
from tunerl.control.saving import Saver
from tunerl.control.stopping import StopRules, check_first_result
from tunerl.errors import MetricError, TuneRLError
from tunerl.runtime.base import Lost, Report
from tunerl.schedulers.base import Decision, Exploit, Pause, Resume, Stop, Widen
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
    ) -> None:
        self._spec, self._rules = spec, rules
        self._ledger, self._fleet, self._saver = ledger, fleet, saver
        self.referee = referee
        self.storage_full: str | None = None
        self.failed_fast: str | None = None

    def take(self, reports: Iterable[Report | Lost]) -> None:
        """Record what has come in, and decide."""
        for report in reports:
            if report.pack not in self._fleet.packs:
                continue
            if isinstance(report, Lost):
                self._lost(report)
            else:
                self._report(report)

    # What packs say.

    def _report(self, report: Report) -> None:
        pack = self._fleet.packs[report.pack]
        pack.busy = False
        for part in report.saved:
            saved = self._saver.saved(part)
            if saved is not None:
                self._settle(saved)
        if report.storage_full is not None:
            self.storage_full = report.storage_full
        for id, uri in report.fell_back.items():
            where = "from its seed" if uri is None else f"from {uri}"
            message = f"replica {id} has a corrupt checkpoint and goes on {where}"
            self._ledger.event("checkpoint.fell_back", message, id.trial, uri=uri)
        for id, failure in report.failures.items():
            self._failed(id, failure, report.pack)
        heard = []
        for id, metrics in report.results.items():
            run = self._ledger.trials[id.trial]
            if run.packs.get(id.index) != report.pack or id not in pack.members:
                continue  # it has been taken out meanwhile
            run.reported[id.index] = metrics
            if metrics.get("done") is True:
                run.done.setdefault(id.index, metrics)
            if id.trial not in heard:
                heard.append(id.trial)
        for number in heard:
            self._complete(self._ledger.trials[number])

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
        self._settle(run)

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
        self._settle(run)

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
            reason, decisions = self.referee.result(run, metrics, replicas)
        except MetricError as error:
            if self._ledger.results == 1:
                raise  # nobody reports what is asked for
            self._fleet.leave(run)
            self._release(run)
            self._error(run, str(error), str(error))
            return
        if reason is not None:
            self._want(run, Intent(reason))
        self.apply(decisions)

    def _again(self, run: Run, metrics: Metrics, asked: bool) -> None:
        """An iteration that is recorded already: on the way back to where the trial was, or the
        last one once more, now with ``done``."""
        if self._saver.due(run, run.position, asked):
            self._saver.save(run, run.position, metrics)
        if metrics.get("done") is True and (run.intent is None or run.intent.end is None):
            self._want(run, Intent(Reason.DONE))
            self.apply(self.referee.completed(run, run.last))

    def _failed(self, id: ReplicaId, failure: Failure, pack: str) -> None:
        run = self._ledger.trials[id.trial]
        here = run.packs.get(id.index) == pack or self._saver.saving(run)
        if run.status is not Status.RUNNING or not here:
            log.debug("replica %s failed after its trial had left: %s", id, failure.error)
            return
        self._fleet.leave(run, but={id})
        self._release(run)
        failures = run.failures + 1
        text = failure.traceback or failure.error
        most = self._spec.failure.max_failures
        if most < 0 or failures <= most:
            self._ledger.move(run, Status.PENDING, failures=failures, error=text)
            message = f"replica {id} failed ({failure.error}); retry {failures}"
            self._ledger.event("trial.retry", message, run.number)
        else:
            self._error(run, text, failure.error, failures=failures)

    def _error(self, run: Run, text: str, line: str, **columns: int) -> None:
        self._ledger.move(run, Status.ERROR, Reason.FAILURE, error=text, **columns)
        self._ledger.event("trial.error", line, run.number)
        if self._spec.failure.fail_fast and self.failed_fast is None:
            self.failed_fast = f"trial {run.number} failed, and fail_fast is set: {line}"
        self.apply(self.referee.failed(run.number))

    def _lost(self, lost: Lost) -> None:
        """A worker is gone: no fault of its trials, unless it happens to them again and again."""
        writing = self._saver.lost(lost.pack)
        members = self._fleet.packs[lost.pack].members.copy()
        numbers = sorted({*self._fleet.lost(lost.pack), *writing})
        message = f"the worker of pack {lost.pack} is gone ({lost.reason})"
        self._ledger.event("pack.lost", message, pack=lost.pack, trials=numbers)
        for number in numbers:
            run = self._ledger.trials[number]
            if run.status is not Status.RUNNING:
                continue
            self._fleet.leave(run, but=members)
            self._release(run)
            run.losses += 1
            if run.losses >= MAX_LOSSES:
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

    # What is decided.

    def apply(self, decisions: Iterable[Decision]) -> None:
        """Carry out what the scheduler says, as far as it can be done now."""
        for decision in decisions:
            match decision:
                case Stop(trial, complete):
                    run = self._ledger.trials[trial]
                    self._want(run, Intent(Reason.STOP_RULE if complete else Reason.SCHEDULER))
                case Pause(trial):
                    self._want(self._ledger.trials[trial], Intent(None))
                case Resume(trial):
                    self._resume(self._ledger.trials[trial])
                case Widen(trial, seeds):
                    self._widen(self._ledger.trials[trial], seeds)
                case Exploit():
                    raise TuneRLError("this controller cannot carry out an exploit")

    def end(self, run: Run, reason: Reason) -> None:
        """End an unfinished trial as soon as its replicas stand together."""
        self._want(run, Intent(reason, told=reason is Reason.SCHEDULER))

    def _want(self, run: Run, intent: Intent) -> None:
        if run.status.finished or (run.intent is not None and run.intent.end is not None):
            return
        if run.intent is not None and intent.end is None:
            intent = replace(intent, seeds=run.intent.seeds)
        run.intent = intent
        if intent.end is not None:
            self._ledger.observe(run, Status.TERMINATED, intent.end)
        elif run.status is Status.RUNNING:
            self._ledger.observe(run, Status.PAUSED, None)
        if run.status is Status.RUNNING:
            self._settle(run)
        elif intent.end is not None:
            self._conclude(run, intent)

    def _resume(self, run: Run) -> None:
        if run.status is Status.PAUSED:
            run.intent = None
            self._ledger.move(run, Status.PENDING)
        elif run.intent is not None and run.intent.end is None:
            run.intent = replace(run.intent, resume=True)
            self._ledger.observe(run, run.status, None)

    def _widen(self, run: Run, seeds: int) -> None:
        """More replicas for a trial; one that runs is put aside for a moment."""
        ends = run.intent is not None and run.intent.end is not None
        if run.status.finished or ends or seeds <= len(run.seeds):
            return
        if run.status is Status.RUNNING:
            run.intent = replace(run.intent or Intent(None, resume=True), seeds=seeds)
            self._settle(run)
        else:
            self._grow(run, seeds)

    def _grow(self, run: Run, seeds: int) -> None:
        more = replica_seeds(self._spec.seed, run.number, seeds)[len(run.seeds) :]
        self._ledger.widen(run, run.seeds + more)

    def placed(self, run: Run) -> None:
        """A trial has got its places."""
        run.position = run.checkpoint_iteration
        self._ledger.move(run, Status.RUNNING, attempt=run.attempt + 1)
        self._settle(run)

    def _stands(self, run: Run) -> bool:
        """Whether all replicas are at the trial's last recorded iteration, none under way."""
        if run.reported or run.position < run.iteration:
            return False
        return self._fleet.idle(run)

    def _settle(self, run: Run) -> None:
        """Carry out a trial's intent if it stands where that can be done."""
        intent = run.intent
        if intent is None or run.status is not Status.RUNNING or not self._stands(run):
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
                self.apply(self.referee.completed(run, run.last or None))
            return
        run.reset()
        run.intent = None
        self._ledger.move(run, Status.PAUSED)
        if intent.seeds > len(run.seeds):
            self._grow(run, intent.seeds)
        if intent.resume:
            self._ledger.move(run, Status.PENDING)

    def save_all(self) -> None:
        """Order a checkpoint of every running trial that has moved since its last one."""
        for run in self._ledger.of[Status.RUNNING].values():
            moved = run.packs and run.checkpoint_iteration < run.iteration
            if self._saver.stateful and moved and self._stands(run) and not self._saver.saving(run):
                self._saver.save(run, run.position, run.last)


def _iteration(metrics: Metrics) -> int:
    return int(metrics["training_iteration"])
