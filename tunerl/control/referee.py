"""Asks the stop rules and the scheduler; the same for a live result and for a replayed one.

Invariant: each recorded result is shown once, in the order of arrival, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunerl.control.ledger import Run
from tunerl.control.stopping import StopRules
from tunerl.schedulers.base import Decision, Scheduler
from tunerl.trial import Config, Metrics, Reason


class Referee:
    """A scheduler and the stop rules of an experiment."""

    def __init__(self, scheduler: Scheduler, rules: StopRules) -> None:
        self._scheduler, self._rules = scheduler, rules

    def added(self, trial: int, config: Config) -> list[Decision]:
        """A trial was created."""
        return self._scheduler.on_add(trial, config)

    def result(
        self, run: Run, metrics: Metrics, replicas: Sequence[Metrics]
    ) -> tuple[Reason | None, list[Decision]]:
        """Why the trial ends at this result (None: it goes on), and what the scheduler says."""
        if len(replicas) > 1:
            self._scheduler.on_replicas(run.number, replicas)
        reached = self._rules.reached(run.number, metrics)
        if metrics.get("done") is True:
            return Reason.DONE, self._scheduler.on_complete(run.number, metrics)
        if reached:
            return Reason.STOP_RULE, self._scheduler.on_complete(run.number, metrics)
        return None, self._scheduler.on_result(run.number, metrics)

    def exploited(self, target: int, source: int, config: Config) -> None:
        """The target goes on with `config`, whatever the scheduler's decision said."""
        self._scheduler.on_exploit(target, source, config)

    def completed(self, run: Run, metrics: Mapping[str, Any] | None) -> list[Decision]:
        """A trial ended without a further result."""
        return self._scheduler.on_complete(run.number, metrics)

    def failed(self, trial: int) -> list[Decision]:
        """A trial failed for good."""
        return self._scheduler.on_error(trial)

    def idle(self) -> list[Decision]:
        """Nothing runs, and nothing more will come from the searcher."""
        return self._scheduler.on_idle()

    def all_stopped(self) -> bool:
        """Whether a rule says that the whole experiment has had enough."""
        return self._rules.all_stopped()
