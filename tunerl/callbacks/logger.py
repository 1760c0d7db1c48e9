"""`LoggerCallback`: a callback that writes a log of each trial.

Invariant: what is told twice after a crash is written once: each iteration of a trial at most once,
in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunerl.callbacks.base import Callback, TrialView


class LoggerCallback(Callback):
    """Override the `log_*` methods you need, Ray Tune's. `written`: says what is there already."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}  # the last iteration written, of trials that run

    def log_trial_start(self, trial: TrialView) -> None:
        """A trial starts, or goes on."""

    def log_trial_restore(self, trial: TrialView) -> None:
        """A trial goes on from its checkpoint."""

    def log_trial_save(self, trial: TrialView) -> None:
        """A trial was saved."""

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        """A result that was not written before; `iteration` is the trial's."""

    def log_trial_end(self, trial: TrialView, failed: bool = False) -> None:
        """A trial has ended."""

    def written(self, trial: TrialView) -> int:
        """The last iteration of a trial that the log holds already; 0: none."""
        return 0

    def _enter(self, trial: TrialView) -> None:
        if trial.number not in self._open:
            self._open[trial.number] = self.written(trial)
            self.log_trial_start(trial)

    def on_trial_start(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        self._enter(trial)

    def on_trial_restore(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        self._enter(trial)
        self.log_trial_restore(trial)

    def on_trial_save(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        self.log_trial_save(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: Sequence[TrialView],
        trial: TrialView,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        self._enter(trial)
        at = int(result["training_iteration"])
        if at > self._open[trial.number]:
            self.log_trial_result(at, trial, result)
            self._open[trial.number] = at

    def on_trial_complete(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        self._leave(trial, failed=False)

    def on_trial_error(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        self._leave(trial, failed=True)

    def _leave(self, trial: TrialView, failed: bool) -> None:
        self._enter(trial)
        self.log_trial_end(trial, failed)
        del self._open[trial.number]

    def on_experiment_end(self, trials: Sequence[TrialView], **info: Any) -> None:
        """Trials that were put aside end their log here; it is taken up again when they go on."""
        for number in list(self._open):
            self.log_trial_end(trials[number], False)
        self._open.clear()
