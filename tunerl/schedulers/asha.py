"""ASHA, asynchronous successive halving: stopping and promotion (Li et al., arXiv 1810.05934).

Invariant: a trial enters a rung at most once, with the value of the first result at or past its
milestone; a value that is no number never beats one that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunerl.errors import Problem
from tunerl.schedulers.base import Decision, Pause, Resume, Stop
from tunerl.schedulers.rungs import WORST, Rung, cutoff, milestones
from tunerl.schedulers.timed import TimedScheduler, above, kind, whole, word

VARIANTS = ("stopping", "promotion")


@dataclass
class _Run:
    """What is known of one trial. `rung`: index of the last rung it entered, -1 for none."""

    bracket: int
    time: float = -math.inf
    rung: int = -1
    score: float = WORST
    live: bool = True
    paused: bool = False


class AsyncHyperBandScheduler(TimedScheduler):
    """Gives more time to the best 1/`reduction_factor` at each rung.

    `time_attr`: what time is measured in, e.g. ``num_env_steps_sampled_lifetime``; `max_t` and
    `grace_period` in its units. ``variant="stopping"`` (Ray Tune's) stops who falls below the
    rung's cutoff and lets the first arrival pass; ``variant="promotion"`` (the paper's) pauses
    everybody at each rung and resumes whoever is among its best 1/`reduction_factor`.
    With several `brackets` a trial is put in one by a softmax over their numbers of rungs, drawn
    from the experiment's seed and the trial's number. `stop_last_trials`: stop at `max_t`.
    Raises `InvalidSpec` for impossible values.
    """

    name, title = "asha", "ASHA"

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        stop_last_trials: bool = True,
        variant: str = "stopping",
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.max_t, self.grace_period = max_t, grace_period
        self.reduction_factor, self.brackets = reduction_factor, brackets
        self.stop_last_trials, self.variant = stop_last_trials, variant
        self._check(self._problems())
        self.rungs = [
            [Rung(value) for value in milestones(grace_period, max_t, reduction_factor, s)]
            for s in range(brackets)
        ]
        self._runs: dict[int, _Run] = {}

    def _problems(self) -> Iterable[Problem]:
        times = [*above("max_t", self.max_t), *above("grace_period", self.grace_period)]
        yield from times
        if not times and self.grace_period > self.max_t:
            yield Problem(
                "scheduler.grace_period",
                f"{self.grace_period} given; it must not exceed max_t, which is {self.max_t}",
            )
        yield from above("reduction_factor", self.reduction_factor, 1)
        yield from whole("brackets", self.brackets)
        yield from kind("stop_last_trials", self.stop_last_trials, bool)
        yield from word("variant", self.variant, VARIANTS)

    def bracket(self, trial: int) -> int:
        """The bracket of a trial: a function of the seed and the trial's number."""
        if self.brackets == 1:
            return 0
        sizes = np.array([len(rungs) for rungs in self.rungs], dtype=float)
        weights = np.exp(sizes - sizes.max())
        rng = np.random.default_rng(np.random.SeedSequence([self.seed % 2**64, trial]))
        return int(rng.choice(self.brackets, p=weights / weights.sum()))

    def rungs_of(self, trial: int) -> tuple[int, list[float]]:
        bracket = self.bracket(trial)
        return bracket, [rung.milestone for rung in self.rungs[bracket]]

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        run = self._observe(trial, result)
        if run is None:
            return []
        entered = self._enter(trial, run)
        decisions: list[Decision] = []
        if self.stop_last_trials and run.time >= self.max_t:
            run.live = run.paused = False
            decisions.append(Stop(trial, complete=True))
        if entered is None:
            return decisions
        if self.variant == "promotion":
            return decisions + self._promote(trial, run, entered)
        return decisions or self._halve(trial, run, entered)

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        run = self._run(trial)
        entered = None
        if result is not None and self.metric in result and self.time_attr in result:
            observed = self._observe(trial, result)
            entered = self._enter(trial, run) if observed is not None else None
        run.live = run.paused = False
        if entered is None:
            return []
        if self.variant == "promotion":
            entered.promoted.add(trial)
            return self._resumable()
        return self._hopeless(entered)

    def on_error(self, trial: int) -> list[Decision]:
        run = self._run(trial)
        run.live = run.paused = False
        return []

    def on_idle(self) -> list[Decision]:
        """Let the best of a rung from which nobody has gone on pass; else stop all that is paused.

        So every bracket trains at least one trial to its end, and no trial stays paused for good.
        """
        decisions: list[Decision] = []
        for rungs in self.rungs:
            for rung in reversed(rungs):
                best = [trial for trial in rung.promotable(1) if self._runs[trial].paused]
                if best and not rung.promoted:
                    decisions += self._resume(best[0], rung)
                    break
        if decisions:
            return decisions
        for trial, run in self._runs.items():
            if run.paused:
                run.live = run.paused = False
                rung = self.rungs[run.bracket][run.rung]
                others = len(rung.scores) - 1
                why = self.verdict(rung.milestone, run.score, WORST, others, run.bracket)
                decisions.append(Stop(trial, verdict=why))
        return decisions

    def _run(self, trial: int) -> _Run:
        if trial not in self._runs:
            self._runs[trial] = _Run(self.bracket(trial))
        return self._runs[trial]

    def _observe(self, trial: int, result: Mapping[str, Any]) -> _Run | None:
        """Take note of a result; None for one that came twice or late."""
        time, score = self.measure(result)
        run = self._run(trial)
        if time <= run.time:
            return None
        run.time, run.score = time, score
        return run

    def _enter(self, trial: int, run: _Run) -> Rung | None:
        """Record the trial in the highest rung it has reached, unless it was there already.

        A result below the next rung changes nothing, so a paused trial's last one in flight does
        not wake it; one that reaches the next rung shows that the trial went on.
        """
        rungs = self.rungs[run.bracket]
        reached = sum(run.time >= rung.milestone for rung in rungs) - 1
        if reached <= run.rung:
            return None
        for rung in rungs[:reached]:
            rung.promoted.add(trial)
        run.rung, run.paused = reached, False
        rungs[reached].scores[trial] = run.score
        return rungs[reached]

    def _halve(self, trial: int, run: _Run, rung: Rung) -> list[Decision]:
        """Stopping variant: below the cutoff of those who were here before means stop."""
        others = [score for other, score in rung.scores.items() if other != trial]
        limit = cutoff(others, self.reduction_factor)
        if limit is not None and run.score < limit:
            run.live = False
            why = self.verdict(rung.milestone, run.score, limit, len(others), run.bracket)
            return [Stop(trial, verdict=why)]
        return self._hopeless(rung) if limit is None else []

    def _hopeless(self, rung: Rung) -> list[Decision]:
        """Stop who passed this rung without a number, has none yet, and now meets one that has."""
        if all(score == WORST for score in rung.scores.values()):
            return []
        decisions: list[Decision] = []
        for trial, score in rung.scores.items():
            run = self._runs[trial]
            if run.live and score == WORST and run.score == WORST:
                run.live = False
                numbers = [other for other in rung.scores.values() if other != WORST]
                place = (min(numbers), len(numbers), run.bracket)
                decisions.append(Stop(trial, verdict=self.verdict(rung.milestone, score, *place)))
        return decisions

    def _promote(self, trial: int, run: _Run, rung: Rung) -> list[Decision]:
        """Promotion variant: pause the newcomer, or let it pass; resume who may go on now."""
        decisions: list[Decision] = []
        quota = int(len(rung.scores) / self.reduction_factor)
        if not run.live or rung.milestone >= self.max_t:
            rung.promoted.add(trial)
        elif trial in rung.promotable(quota):
            rung.promoted.add(trial)
            decisions += self._passed(trial, rung)
        else:
            run.paused = True
            decisions.append(Pause(trial))
        return decisions + self._resumable()

    def _resumable(self) -> list[Decision]:
        return [
            decision
            for rungs in self.rungs
            for rung in reversed(rungs)
            for trial in rung.promotable(int(len(rung.scores) / self.reduction_factor))
            if self._runs[trial].paused
            for decision in self._resume(trial, rung)
        ]

    def _resume(self, trial: int, rung: Rung) -> list[Decision]:
        rung.promoted.add(trial)
        self._runs[trial].paused = False
        return [*self._passed(trial, rung), Resume(trial)]

    def _passed(self, trial: int, rung: Rung) -> list[Decision]:
        """What else comes of passing a rung in the promotion variant."""
        return []


ASHAScheduler = AsyncHyperBandScheduler
