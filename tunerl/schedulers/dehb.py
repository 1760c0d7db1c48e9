"""DEHB's scheduler: each trial is one evaluation, trained for as long as its number says.

Invariant: a trial's time depends on nothing but its number; see `searchers.dehb` for who is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunerl.schedulers import brackets
from tunerl.schedulers.base import Decision, Stop
from tunerl.schedulers.timed import TimedScheduler


class DEHBScheduler(TimedScheduler):
    """Stops each trial at its time. To be used with the searcher `DEHB`, of the same options.

    `max_t`, `grace_period`: the longest and the shortest time, in the units of `time_attr`. The
    brackets are those of HyperBand's paper. Raises `InvalidSpec` for impossible values.
    """

    name, title = "dehb", "DEHB"

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 81,
        grace_period: float = 1,
        reduction_factor: float = 3,
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.max_t, self.grace_period, self.reduction_factor = max_t, grace_period, reduction_factor
        self._check(brackets.problems(max_t, grace_period, reduction_factor, "paper"))
        self.plan = brackets.Plan(max_t, grace_period, reduction_factor)
        self._ended: set[int] = set()

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        time, _ = self.measure(result)
        if trial in self._ended or time < self.plan.time(trial):
            return []
        self._ended.add(trial)
        return [Stop(trial, complete=True)]
