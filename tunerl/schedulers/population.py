"""A population: trials that are compared while they train, and wait for one another.

Invariant: no member goes on far ahead of the slowest; who ends or fails is waited for no longer.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunerl.errors import InvalidSpec, MetricError, Problem
from tunerl.schedulers.base import Decision, Pause, Resume, Scheduler
from tunerl.schedulers.rungs import WORST, number
from tunerl.trial import Config


@dataclass
class Member:
    """What is known of one trial. `score`: higher is better; None: none for its present state.
    `mark`: the time of its last look; `looks`: how many there were."""

    config: Config = field(default_factory=dict)
    time: float = -math.inf
    score: float | None = None
    mark: float = 0.0
    looks: int = 0
    live: bool = True
    paused: bool = False

    @property
    def age(self) -> float:
        return max(self.time, 0.0)


class Population(Scheduler):
    """What PBT's family shares: who is looked at when, and who belongs to the best and the worst.

    `trials`: how many members there will be; None: whoever comes.
    """

    time_attr: str
    perturbation_interval: float
    burn_in_period: float
    quantile_fraction: float
    require_attrs: bool
    synch: bool

    def begin(self, seed: int) -> None:
        """As before the first event."""
        self.seed = seed
        self.trials: int | None = None
        self.members: dict[int, Member] = {}
        self._next = max(self.perturbation_interval, self.burn_in_period)  # of all, where in step

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        self.begin(seed)
        if not self.metric:
            raise InvalidSpec(
                Problem("metric", f"is missing; {self.name} compares trials, so name a metric")
            )
        if self.mode not in ("min", "max"):
            given = "none given" if self.mode is None else f"{self.mode!r} given"
            raise InvalidSpec(Problem("mode", f"which is better? {given}, allowed: 'min', 'max'"))

    @abstractmethod
    def exploit(self, trial: int, upper: list[int]) -> list[Decision]:
        """What becomes of a member among the worst; `upper`: the best, the very best last."""

    def noted(self, trial: int, member: Member) -> None:
        """A member is looked at; for subclasses that learn from it."""

    # Events.

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        self.members[trial] = Member(config)
        return []

    def on_exploit(self, target: int, source: int, config: Config) -> None:
        self._member(target).config = config

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        member = self._observe(trial, result)
        if member is None:
            return []
        if self.synch:
            return self._arrive(trial, member)
        decisions: list[Decision] = []
        if member.time >= self.burn_in_period and self._due(member):
            member.mark = member.time
            self.noted(trial, member)
            lower, upper = self.quantiles()
            decisions += self.exploit(trial, upper) if trial in lower else []
            member.looks += 1
        if not decisions and self._ahead(member) >= 2:
            member.paused = True
            decisions.append(Pause(trial))
        return decisions + self._caught_up()

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        self._member(trial).live = False
        return self._without(trial)

    def on_error(self, trial: int) -> list[Decision]:
        self._member(trial).live = False
        return self._without(trial)

    def on_idle(self) -> list[Decision]:
        if self.synch and any(m.live and m.paused for m in self.members.values()):
            return self._round()
        return self._resume(self.members)

    def _without(self, trial: int) -> list[Decision]:
        """Nobody waits for one that has gone."""
        self._member(trial).paused = False
        if not self.synch:
            return self._caught_up()
        waiting = any(m.paused and m.live for m in self.members.values())
        return self._round() if waiting and self._all_here() else []

    def _member(self, trial: int) -> Member:
        return self.members.setdefault(trial, Member())

    def _observe(self, trial: int, result: Mapping[str, Any]) -> Member | None:
        """Take note of a result; None for one that came twice or late, or lacks what is needed."""
        assert self.metric is not None, "setup() comes before the first event"
        if not self.require_attrs and (self.time_attr not in result or self.metric not in result):
            return None
        time = number(result, self.time_attr, "time_attr")
        value = number(result, self.metric, "metric")
        if not math.isfinite(time):
            raise MetricError(
                f"the scheduler's time_attr {self.time_attr!r} is {time}; it must be finite"
            )
        member = self._member(trial)
        if time <= member.time:
            return None
        member.time, member.score = time, value if self.mode == "max" else -value
        if not math.isfinite(value):
            member.score = WORST
        return member

    def _due(self, member: Member) -> bool:
        return member.time - member.mark >= self.perturbation_interval

    def quantiles(self) -> tuple[list[int], list[int]]:
        """The worst and the best members, each by score; nobody is in both."""
        scored = {n: m.score for n, m in self.members.items() if m.live and m.score is not None}
        ranked = sorted(scored, key=lambda trial: (scored[trial], trial))
        count = math.ceil(len(ranked) * self.quantile_fraction)
        if count > len(ranked) / 2:
            count = len(ranked) // 2
        return (ranked[:count], ranked[-count:]) if count else ([], [])

    # Waiting for one another.

    def _slowest(self) -> float:
        if self.trials is not None and len(self.members) < self.trials:
            return 0.0
        return min((m.age for m in self.members.values() if m.live), default=math.inf)

    def _ahead(self, member: Member) -> float:
        """Of the slowest, in intervals."""
        return (member.age - self._slowest()) / self.perturbation_interval

    def _caught_up(self) -> list[Decision]:
        paused = [number for number, member in self.members.items() if member.paused]
        return self._resume([n for n in paused if self._ahead(self.members[n]) <= 1])

    def _resume(self, trials: Iterable[int]) -> list[Decision]:
        found = [n for n in sorted(trials) if self.members[n].live and self.members[n].paused]
        for trial in found:
            self.members[trial].paused = False
        return [Resume(trial) for trial in found]

    def _arrive(self, trial: int, member: Member) -> list[Decision]:
        if member.time < self._next or member.paused:
            return []
        if self._all_here():
            return self._round()
        member.paused = True
        return [Pause(trial)]

    def _all_here(self) -> bool:
        if self.trials is not None and len(self.members) < self.trials:
            return False
        return all(m.time >= self._next for m in self.members.values() if m.live)

    def _round(self) -> list[Decision]:
        """All have come as far as they will: who takes from whom, and on they go."""
        here = {n: m for n, m in self.members.items() if m.live and m.time >= self._next}
        for trial in sorted(here):
            here[trial].mark = here[trial].time
            self.noted(trial, here[trial])
        lower, upper = self.quantiles()
        decisions = [d for trial in lower if trial in here for d in self.exploit(trial, upper)]
        for member in here.values():
            member.looks += 1
        last = max((m.time for m in here.values()), default=0.0)
        self._next = max(self._next + self.perturbation_interval, last)
        return decisions + self._resume(here)
