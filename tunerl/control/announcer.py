"""Tells callbacks what was committed: outside of the transaction, after it.

Invariant: whatever was stored is told at least once, over all interruptions, results in order of
arrival; what a callback raises is an event, and nobody else notices.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunerl.callbacks.base import Trials, TrialView
from tunerl.control.earlier import recorded
from tunerl.control.ledger import Ledger, Run
from tunerl.control.names import Names, Naming
from tunerl.errors import InvalidSpec, Problem
from tunerl.store.records import Change, CheckpointRecord, Tick
from tunerl.trial import Status

if TYPE_CHECKING:
    from tunerl.spec import ExperimentSpec, Parts
    from tunerl.store import Store

KEEP_S = 5.0  # between two notes of what was told
SHOWN = 3  # how often the same failure becomes an event
HOOKS = ("setup", "on_trial_result", "on_trial_complete")  # that make an object a callback


def check_callbacks(given: Any) -> list[Any]:
    """The callbacks. Raises `InvalidSpec` for what is none."""
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise InvalidSpec(Problem("callbacks", f"{given!r} given; it must be a list of callbacks"))
    for position, callback in enumerate(given):
        if isinstance(callback, type) or not all(callable(getattr(callback, h, 0)) for h in HOOKS):
            what = "an object of a class derived from tunerl.Callback"
            raise InvalidSpec(Problem(f"callbacks.{position}", f"{callback!r} given; give {what}"))
    return list(given)


def log_directory(root: str, experiment_id: str) -> str:
    """Where log files of an experiment go: beside its checkpoints, or, where these are elsewhere,
    below ``$TUNERL_HOME/logs``."""
    if "://" not in root:
        return root
    return str(
        Path(os.environ.get("TUNERL_HOME") or "~/.tunerl").expanduser() / "logs" / experiment_id
    )


class Announcer:
    """The callbacks of one experiment. `iteration`: the turn of the controller, from 0."""

    def __init__(
        self,
        callbacks: Sequence[Any],
        naming: Naming,
        *,
        spec: ExperimentSpec,
        parts: Parts,
        store: Store,
        ledger: Ledger,
        root: str,
    ) -> None:
        self._callbacks, self._naming = list(callbacks), naming
        self._spec, self._parts, self._store, self._ledger = spec, parts, store, ledger
        self._directory = log_directory(root, ledger.experiment_id)
        self.names = Names(
            ledger.experiment_id,
            spec.trainable,
            self._directory,
            given=naming,
            drawn=parts.space.drawn,
            failed=lambda what, error: self._failure(what, error),
        )
        self.trials = Trials(ledger.trials, self.names)
        self.iteration = -1
        self._results = 0  # so many were told
        self._ended: set[int] = set()  # trials whose end was told
        self._saved: dict[int, int] = {}  # by trial, the last checkpoint that was told
        self._cut_short = False
        self._failures: Counter[tuple[str, str]] = Counter()
        self._kept = time.monotonic()
        if self._callbacks:
            ledger.listener = self.take

    def start(self) -> None:
        """Set the callbacks up and tell what was stored and perhaps not told. After the replay."""
        if not self._callbacks and not self._naming:
            return
        self._restore()
        self._call(
            "setup",
            stop=self._spec.stopper or self._spec.stop,
            num_samples=self._spec.num_samples,
            total_num_samples=self._parts.searcher.total,
            experiment_id=self._ledger.experiment_id,
            experiment_name=self._spec.name,
            metric=self._spec.metric,
            mode=self._spec.mode,
            directory=self._directory,
        )
        if not self._callbacks:
            return
        if self._results < self._ledger.results:
            told = self._results
            for position, result in enumerate(recorded(self._store, self._ledger.experiment_id)):
                if position >= told:
                    self._result(result.trial, result.metrics)
        for record in self._store.checkpoints(self._ledger.experiment_id):
            if record.iteration > self._saved.get(record.trial, 0):
                self._checkpoint(record)
        for run in list(self._ledger.trials.values()):
            if run.status.finished and run.number not in self._ended:
                self._end(run.number, run.status)

    def take(self, tick: Tick) -> None:
        """Tell what was just committed, in the order of its fields.

        Once that was cut short (by Ctrl-C in a callback) nothing more is told: it will be, from
        there on, when the experiment goes on.
        """
        if self._cut_short:
            return
        self._cut_short = True
        for result in tick.results:
            self._result(result.trial, result.metrics)
        for checkpoint in tick.checkpoints:
            self._checkpoint(checkpoint)
        for change in tick.changes:
            self._change(change)
        self._cut_short = False
        if time.monotonic() - self._kept >= KEEP_S:
            self._keep()

    def label(self, run: Run) -> str:
        """What a trial was called by a program, or nothing."""
        return str(TrialView(run, self.names)) if self._naming.name is not None else ""

    def step_begins(self) -> None:
        """A turn of the controller begins."""
        self.iteration += 1
        self._call("on_step_begin", iteration=self.iteration, trials=self.trials)

    def step_ends(self) -> None:
        self._call("on_step_end", iteration=self.iteration, trials=self.trials)

    def end(self) -> None:
        """The controller leaves the experiment; all of it is stored."""
        self._call("on_experiment_end", trials=self.trials)
        for (who, hook), count in sorted(self._failures.items()):
            if count > SHOWN:
                self._ledger.event("callback.error", f"{who}.{hook} raised {count} times in all")
        self._keep()

    def _result(self, number: int, metrics: dict[str, Any]) -> None:
        view = self._view(number)
        result = {**metrics, "trial_id": view.trial_id}
        self._trial("on_trial_result", view, result=result)
        self._results += 1

    def _checkpoint(self, record: CheckpointRecord) -> None:
        from tunerl.results.stored import StoredCheckpoint

        view = self._view(record.trial)
        self._trial("on_trial_save", view)
        self._trial("on_checkpoint", view, checkpoint=StoredCheckpoint(record.uri))
        self._saved[record.trial] = record.iteration

    def _change(self, change: Change) -> None:
        view, status = self._view(change.trial), change.status
        if status is Status.RUNNING:
            self._ended.discard(change.trial)
            if self._ledger.trials[change.trial].checkpoint is not None:
                self._trial("on_trial_restore", view)
            self._trial("on_trial_start", view)
        elif status is Status.PENDING and change.failures:
            self._trial("on_trial_recover", view)
        elif status.finished:
            self._end(change.trial, status)

    def _end(self, number: int, status: Status) -> None:
        failed = status is Status.ERROR
        self._trial("on_trial_error" if failed else "on_trial_complete", self._view(number))
        self._ended.add(number)

    def _view(self, number: int) -> TrialView:
        return TrialView(self._ledger.trials[number], self.names)

    def _trial(self, hook: str, trial: TrialView, **more: Any) -> None:
        self._call(hook, iteration=max(0, self.iteration), trials=self.trials, trial=trial, **more)

    def _call(self, hook: str, **arguments: Any) -> None:
        for callback in self._callbacks:
            try:
                method = getattr(callback, hook, None)
                if method is not None:
                    method(**arguments)
            except Exception as error:
                self._failure(f"{type(callback).__name__}.{hook}", error)

    def _failure(self, what: str, error: Exception) -> None:
        """What a callback raised: an event with its traceback, the first few times."""
        who, _, hook = what.rpartition(".")
        self._failures[who, hook] += 1
        if self._failures[who, hook] <= SHOWN:
            text = "".join(traceback.format_exception(error))
            message = f"{what} raised {type(error).__name__}: {error}"
            self._ledger.event("callback.error", message, traceback=text)

    # What outlives an interruption.

    @property
    def _note(self) -> Path:
        return Path(self._directory) / "callbacks.json"

    def _keep(self) -> None:
        """Note what was told; not more often than it costs nothing."""
        self._kept = time.monotonic()
        if not self._callbacks and not self._naming:
            return
        states = [self._state(callback) for callback in self._callbacks]
        note = {
            "results": self._results,
            "ended": sorted(self._ended),
            "saved": self._saved,
            "naming": self.names.to_json(),
            "states": states,
        }
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            part = self._note.with_name(".callbacks.json.part")
            part.write_text(json.dumps(note))
            os.replace(part, self._note)
        except (OSError, TypeError, ValueError) as error:
            self._failure("callbacks.get_state", error)

    def _state(self, callback: Any) -> Any:
        get_state = getattr(callback, "get_state", None)
        if get_state is None:
            return None
        try:
            state = get_state()
            return [type(callback).__name__, json.loads(json.dumps(state))]
        except Exception as error:
            self._failure(f"{type(callback).__name__}.get_state", error)
            return None

    def _restore(self) -> None:
        """Without a note, or with one that is no longer whole, everything is told again."""
        if not self._ledger.trials:
            return
        try:
            note = json.loads(self._note.read_text())
            self._results = int(note["results"])
            self._ended = set(note["ended"])
            self._saved = {int(trial): at for trial, at in note["saved"].items()}
            self.names.restore(note["naming"])
            states = note["states"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        for callback, state in zip(self._callbacks, states, strict=False):
            if state is None or state[1] is None or state[0] != type(callback).__name__:
                continue
            try:
                callback.set_state(state[1])
            except Exception as error:
                self._failure(f"{type(callback).__name__}.set_state", error)
