"""The median stopping rule (Golovin et al., Google Vizier, KDD 2017).

Invariant: a result costs the same however many trials and results came before it, but for one
insertion into a sorted list; nothing is computed over again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunerl.schedulers.base import Decision, Pause, Resume, Stop
from tunerl.schedulers.rungs import WORST
from tunerl.schedulers.timed import TimedScheduler, above, kind, whole


def median_without(ranked: list[float], own: float | None) -> float | None:
    """The median of sorted numbers but for one that equals `own`; None where nothing is left."""
    skipped = len(ranked) if own is None else bisect_left(ranked, own)
    count = len(ranked) - (own is not None)
    if not count:
        return None
    low, high = (ranked[k + (k >= skipped)] for k in ((count - 1) // 2, count // 2))
    return low if low == high else (low + high) / 2


@dataclass
class _Run:
    """`total`, `count`: of its scores that are numbers, from the grace period on. `marks`: how many
    marks it has passed. `left`: the mean it left at the last of them."""

    time: float = -math.inf
    best: float = WORST
    total: float = 0.0
    count: int = 0
    marks: int = 0
    left: float | None = None
    live: bool = True
    paused: bool = False
    spared: bool = False


class MedianStoppingRule(TimedScheduler):
    """Stops a trial whose best value is worse than the median of the others' running means.

    The running means are those at the same time: at the first report of any trial at a new highest
    time a mark is made, and each trial leaves its mean at every mark it passes. A trial is judged
    at its latest mark by the means that others, ended ones too, have left there, once there are
    `min_samples_required`. Before `grace_period` (in the units of `time_attr`) nobody is judged,
    and no value counts towards a mean. Values that are no numbers do not count towards a mean
    either; a trial that has nothing else is worse than any number.

    `hard_stop` False: pause instead; when nothing else is left to do, paused trials go on to their
    own end. The default `time_attr` is Ray Tune's, the clock: name ``training_iteration`` or
    environment steps for a sweep that can be repeated. Raises `InvalidSpec`.
    """

    name, title = "median", "the median stopping rule"

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        hard_stop: bool = True,
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.grace_period = grace_period
        self.min_samples_required, self.hard_stop = min_samples_required, hard_stop
        self._check(
            [
                *above("grace_period", grace_period, equal=True),
                *whole("min_samples_required", min_samples_required),
                *kind("hard_stop", hard_stop, bool),
            ]
        )
        self._runs: dict[int, _Run] = {}
        self._marks: list[float] = []
        self._means: list[list[float]] = []  # by mark, sorted

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        return self._observe(trial, result)

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        run = self._runs.setdefault(trial, _Run())
        if result is not None and self.metric in result and self.time_attr in result:
            self._observe(trial, result)
        run.live = run.paused = False
        return []

    def on_error(self, trial: int) -> list[Decision]:
        run = self._runs.setdefault(trial, _Run())
        run.live = run.paused = False
        return []

    def on_idle(self) -> list[Decision]:
        """Whoever was put aside goes on to its own end."""
        waiting = [trial for trial, run in sorted(self._runs.items()) if run.paused]
        for trial in waiting:
            self._runs[trial].paused, self._runs[trial].spared = False, True
        return [Resume(trial) for trial in waiting]

    def _observe(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        time, score = self.measure(result)
        run = self._runs.setdefault(trial, _Run())
        if not run.live or time <= run.time:
            return []
        run.time, run.best = time, max(run.best, score)
        if time < self.grace_period:
            return []
        if not self._marks or time > self._marks[-1]:
            self._marks.append(time)
            self._means.append([])
        mark = bisect_right(self._marks, time)  # how many there are up to now
        fresh = bool(mark) and self._marks[mark - 1] == time
        self._leave_means(run, mark - fresh)
        if math.isfinite(score):
            run.total, run.count = run.total + score, run.count + 1
        means = self._means[mark - 1] if mark else []
        own = None if fresh or not mark else run.left
        limit, rivals = self._limit(means, own), len(means) - (own is not None)
        self._leave_means(run, mark)
        if limit is None or run.best >= limit or run.paused or run.spared:
            return []
        if self.hard_stop:
            run.live = False
            return [Stop(trial, verdict=self.verdict(time, run.best, limit, rivals))]
        run.paused = True
        return [Pause(trial)]

    def _limit(self, means: list[float], own: float | None) -> float | None:
        """The median of the others' means; None where they are too few."""
        enough = len(means) - (own is not None) >= self.min_samples_required
        return median_without(means, own) if enough else None

    def _leave_means(self, run: _Run, until: int) -> None:
        """Leave the mean so far at the marks below `until` that it has not passed yet."""
        if until <= run.marks:
            return
        run.left = run.total / run.count if run.count else None
        for means in self._means[run.marks : until]:
            if run.left is not None:
                insort(means, run.left)
        run.marks = until
