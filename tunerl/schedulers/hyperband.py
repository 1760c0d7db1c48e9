"""HyperBand, synchronous (Li et al., arXiv 1603.06560): brackets of successive halving.

Invariant: a bracket judges a rung once all of its members stand there or have ended, so what it
decides does not depend on the order of arrival; nobody waits for a member that cannot come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunerl.schedulers import brackets
from tunerl.schedulers.base import Decision, Pause, Resume, Stop
from tunerl.schedulers.rungs import WORST
from tunerl.schedulers.timed import TimedScheduler, kind
from tunerl.trial import Config


@dataclass
class _Bracket:
    """`sizes`, `times`: by rung. `members`: who is at the present rung. `open`: more may come."""

    sizes: list[int]
    times: list[float]
    rung: int = 0
    added: int = 0
    members: list[int] = field(default_factory=list)
    open: bool = True


@dataclass
class _Member:
    """`standing`: its score at the rung where it waits for the others; None: on its way there."""

    bracket: _Bracket
    time: float = -math.inf
    score: float = WORST
    standing: float | None = None
    live: bool = True
    paused: bool = False


class HyperBandScheduler(TimedScheduler):
    """Fills one bracket after the other, in the order in which trials are made.

    The first bracket starts the most trials for the shortest time, the last as few as can be for
    all of `max_t`; then comes a new round. Members that reach their rung are paused until the last
    one is there; then the best go on and the others are stopped. Who fails or ends by itself
    leaves without taking a place. A bracket that cannot be filled is judged with what it has.

    `grace_period`: the shortest time of any bracket, in the units of `time_attr`, as `max_t`.
    `rounding`: see `brackets.table`. `stop_last_trials`: stop at `max_t`. Works with any number of
    slots: paused members hold none. Raises `InvalidSpec` for impossible values.
    """

    name = "hyperband"
    title = "HyperBand"

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 81,
        reduction_factor: float = 3,
        stop_last_trials: bool = True,
        grace_period: float = 1,
        rounding: str = "ray",
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.max_t, self.reduction_factor = max_t, reduction_factor
        self.stop_last_trials = stop_last_trials
        self.grace_period, self.rounding = grace_period, rounding
        options = (max_t, grace_period, reduction_factor, rounding)
        self._check(
            [
                *brackets.problems(*options),
                *kind("stop_last_trials", stop_last_trials, bool),
            ]
        )
        self.table = brackets.table(*options)
        self._brackets: list[_Bracket] = []
        self._members: dict[int, _Member] = {}

    def rungs_of(self, trial: int) -> tuple[int, list[float]]:
        """Brackets fill in the order in which trials are made, so the number says it all."""
        sizes = [rungs[0][0] for rungs in self.table]
        turn, left = divmod(trial, sum(sizes))
        place = 0
        while left >= sizes[place]:
            left -= sizes[place]
            place += 1
        return turn * len(sizes) + place, [time for _, time in self.table[place]]

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        self._member(trial)
        return []

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        time, score = self.measure(result)
        member = self._member(trial)
        if not member.live or time <= member.time:
            return []
        member.time, member.score = time, score
        if time >= self.max_t:
            over: list[Decision] = [Stop(trial, complete=True)] if self.stop_last_trials else []
            return over + self._leave(trial)
        if member.standing is None and time >= member.bracket.times[member.bracket.rung]:
            member.standing = score
        return self._judge(member.bracket)

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        return self._leave(trial)

    def on_error(self, trial: int) -> list[Decision]:
        return self._leave(trial)

    def on_idle(self) -> list[Decision]:
        """Nobody else will come: judge the brackets that are not full."""
        decisions: list[Decision] = []
        for bracket in self._brackets:
            if bracket.open and bracket.added:
                bracket.open = False
                bracket.sizes = brackets.survivors(
                    bracket.added, len(bracket.times), self.reduction_factor, self.rounding
                )
                decisions += self._judge(bracket)
        return decisions

    def _member(self, trial: int) -> _Member:
        if trial in self._members:
            return self._members[trial]
        if not self._brackets or not self._brackets[-1].open:
            rungs = self.table[len(self._brackets) % len(self.table)]
            sizes, times = zip(*rungs, strict=True)
            self._brackets.append(_Bracket(list(sizes), list(times)))
        bracket = self._brackets[-1]
        bracket.members.append(trial)
        bracket.added += 1
        bracket.open = bracket.added < bracket.sizes[0]
        self._members[trial] = _Member(bracket)
        return self._members[trial]

    def _leave(self, trial: int) -> list[Decision]:
        member = self._member(trial)
        member.live = member.paused = False
        if trial not in member.bracket.members:
            return []
        member.bracket.members.remove(trial)
        return self._judge(member.bracket)

    def _judge(self, bracket: _Bracket) -> list[Decision]:
        """Halve a bracket as often as it can be; whoever has to wait then is paused."""
        decisions: list[Decision] = []
        while bracket.members and not bracket.open and self._complete(bracket):
            decisions += self._halve(bracket)
        for trial in bracket.members:
            member = self._members[trial]
            if member.standing is not None and not member.paused:
                member.paused = True
                decisions.append(Pause(trial))
        return decisions

    def _complete(self, bracket: _Bracket) -> bool:
        return all(self._members[trial].standing is not None for trial in bracket.members)

    def _halve(self, bracket: _Bracket) -> list[Decision]:
        """The best go on to the next rung; one that is there already stands there as it is."""

        def rank(trial: int) -> tuple[float, int]:
            standing = self._members[trial].standing
            return (-(WORST if standing is None else standing), trial)

        bracket.rung += 1
        ranked = sorted(bracket.members, key=rank)
        quota = bracket.sizes[bracket.rung]
        bracket.members = ranked[:quota]
        decisions: list[Decision] = []
        last = self._members[ranked[quota - 1]].standing if quota <= len(ranked) else None
        for trial in ranked[quota:]:
            member = self._members[trial]
            member.live = member.paused = False
            why = self.verdict(
                bracket.times[bracket.rung - 1],
                WORST if member.standing is None else member.standing,
                WORST if last is None else last,
                len(ranked) - 1,
                self._brackets.index(bracket),
            )
            decisions.append(Stop(trial, verdict=why))
        for trial in bracket.members:
            member = self._members[trial]
            there = member.time >= bracket.times[bracket.rung]
            member.standing = member.score if there else None
            if member.paused and not there:
                member.paused = False
                decisions.append(Resume(trial))
        return decisions


HyperBandForBOHB = HyperBandScheduler  # our searchers see the values of paused trials anyway
