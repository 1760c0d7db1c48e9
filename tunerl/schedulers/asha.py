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

from tunerl.errors import InvalidSpec, MetricError, Problem, nearest
from tunerl.schedulers.base import Decision, Pause, Resume, Scheduler, Stop
from tunerl.schedulers.rungs import WORST, Rung, cutoff, milestones, number

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


class AsyncHyperBandScheduler(Scheduler):
    """Gives more time to the best 1/`reduction_factor` at each rung.

    `time_attr`: what time is measured in, e.g. ``num_env_steps_sampled_lifetime``; `max_t` and
    `grace_period` in its units. ``variant="stopping"`` (Ray Tune's) stops who falls below the
    rung's cutoff and lets the first arrival pass; ``variant="promotion"`` (the paper's) pauses
    everybody at each rung and resumes whoever is among its best 1/`reduction_factor`.
    With several `brackets` a trial is put in one by a softmax over their numbers of rungs, drawn
    from the experiment's seed and the trial's number. `stop_last_trials`: stop at `max_t`.
    Raises `InvalidSpec` for impossible values.
    """

    name = "asha"

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
        self.seed = 0
        problems = list(self._problems())
        if problems:
            raise InvalidSpec(problems)
        self.rungs = [
            [Rung(value) for value in milestones(grace_period, max_t, reduction_factor, s)]
            for s in range(brackets)
        ]
        self._runs: dict[int, _Run] = {}

    def _problems(self) -> Iterable[Problem]:
        for name in ("max_t", "grace_period"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < math.inf:
                yield Problem(f"scheduler.{name}", f"{value!r} given; it must be a number above 0")
                return
        if self.grace_period > self.max_t:
            yield Problem(
                "scheduler.grace_period",
                f"{self.grace_period} given; it must not exceed max_t, which is {self.max_t}",
            )
        if not _is_number(self.reduction_factor) or not 1 < self.reduction_factor < math.inf:
            yield Problem(
                "scheduler.reduction_factor",
                f"{self.reduction_factor!r} given; it must be a number above 1",
            )
        if (
            isinstance(self.brackets, bool)
            or not isinstance(self.brackets, int)
            or self.brackets < 1
        ):
            yield Problem(
                "scheduler.brackets",
                f"{self.brackets!r} given; it must be a whole number from 1 on",
            )
        for name, kind in (("time_attr", str), ("stop_last_trials", bool)):
            if not isinstance(value := getattr(self, name), kind):
                yield Problem(f"scheduler.{name}", f"{value!r} given; it must be a {kind.__name__}")
        if self.variant not in VARIANTS:
            yield Problem(
                "scheduler.variant",
                f"{self.variant!r} given; " + nearest(str(self.variant), VARIANTS),
            )
        if self.mode not in (None, "min", "max"):
            yield Problem("scheduler.mode", f"{self.mode!r} given; allowed: 'min', 'max'")

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        if not self.metric:
            raise InvalidSpec(
                Problem("metric", "is missing; ASHA compares trials by a metric, so name one")
            )
        if self.mode not in ("min", "max"):
            given = "none given" if self.mode is None else f"{self.mode!r} given"
            raise InvalidSpec(
                Problem(
                    "mode", f"ASHA needs to know which is better; {given}, allowed: 'min', 'max'"
                )
            )

    def bracket(self, trial: int) -> int:
        """The bracket of a trial: a function of the seed and the trial's number."""
        if self.brackets == 1:
            return 0
        sizes = np.array([len(rungs) for rungs in self.rungs], dtype=float)
        weights = np.exp(sizes - sizes.max())
        rng = np.random.default_rng(np.random.SeedSequence([self.seed % 2**64, trial]))
        return int(rng.choice(self.brackets, p=weights / weights.sum()))

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
                    decisions.append(self._resume(best[0], rung))
                    break
        if decisions:
            return decisions
        for trial, run in self._runs.items():
            if run.paused:
                run.live = run.paused = False
                decisions.append(Stop(trial))
        return decisions

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "time_attr": self.time_attr,
            "metric": self.metric,
            "mode": self.mode,
            "max_t": self.max_t,
            "grace_period": self.grace_period,
            "reduction_factor": self.reduction_factor,
            "brackets": self.brackets,
            "stop_last_trials": self.stop_last_trials,
            "variant": self.variant,
        }

    def _run(self, trial: int) -> _Run:
        if trial not in self._runs:
            self._runs[trial] = _Run(self.bracket(trial))
        return self._runs[trial]

    def _observe(self, trial: int, result: Mapping[str, Any]) -> _Run | None:
        """Take note of a result; None for one that came twice or late."""
        assert self.metric is not None, "setup() comes before the first event"
        time = number(result, self.time_attr, "time_attr")
        value = number(result, self.metric, "metric")
        if not math.isfinite(time):
            raise MetricError(
                f"the scheduler's time_attr {self.time_attr!r} is {time}; it must be finite"
            )
        run = self._run(trial)
        if time <= run.time:
            return None
        score = value if self.mode == "max" else -value
        run.time, run.score = time, WORST if math.isnan(score) else score
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
            return [Stop(trial)]
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
                decisions.append(Stop(trial))
        return decisions

    def _promote(self, trial: int, run: _Run, rung: Rung) -> list[Decision]:
        """Promotion variant: pause the newcomer, or let it pass; resume who may go on now."""
        decisions: list[Decision] = []
        quota = int(len(rung.scores) / self.reduction_factor)
        if not run.live or rung.milestone >= self.max_t or trial in rung.promotable(quota):
            rung.promoted.add(trial)
        else:
            run.paused = True
            decisions.append(Pause(trial))
        return decisions + self._resumable()

    def _resumable(self) -> list[Decision]:
        return [
            self._resume(trial, rung)
            for rungs in self.rungs
            for rung in reversed(rungs)
            for trial in rung.promotable(int(len(rung.scores) / self.reduction_factor))
            if self._runs[trial].paused
        ]

    def _resume(self, trial: int, rung: Rung) -> Decision:
        rung.promoted.add(trial)
        self._runs[trial].paused = False
        return Resume(trial)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


ASHAScheduler = AsyncHyperBandScheduler
