"""HyperBand's brackets: how many trials start with how little time, and how many go on. Pure.

Source: Li et al., arXiv 1603.06560 (JMLR 18, 2018). Times are totals since a trial's beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from tunerl.errors import Problem
from tunerl.schedulers.timed import above, word

ROUNDINGS = ("ray", "paper", "table")
LARGEST = 100_000  # trials in one bracket; beyond that somebody has forgotten grace_period
SLACK = 1e-9

Bracket = list[tuple[int, float]]  # (trials, time) of each rung, in order


def table(
    max_t: float, grace_period: float, reduction_factor: float, rounding: str
) -> list[Bracket]:
    """The brackets of one round, that with the most and shortest trials first.

    `rounding`: "ray" rounds starts and survivors up, as Ray Tune does; "paper" rounds starts up and
    survivors down (Algorithm 1); "table" is the table of the paper's first version, which rounds
    the starts down too: 81, 27, 9, 6, 5 for `max_t` 81 and factor 3.
    """
    s_max = math.floor(math.log(max_t / grace_period, reduction_factor) + SLACK)
    brackets = []
    for s in range(s_max, -1, -1):
        if rounding == "table":
            starts = (s_max + 1) // (s + 1) * math.floor(reduction_factor**s + SLACK)
        else:
            starts = math.ceil((s_max + 1) / (s + 1) * reduction_factor**s - SLACK)
        times = [max_t / reduction_factor ** (s - i) for i in range(s + 1)]
        sizes = survivors(starts, s + 1, reduction_factor, rounding)
        brackets.append(list(zip(sizes, times, strict=True)))
    return brackets


def survivors(starts: int, rungs: int, reduction_factor: float, rounding: str) -> list[int]:
    """How many of `starts` trials are at each rung; at least one."""
    up = rounding == "ray"
    shares = [starts / reduction_factor**i for i in range(rungs)]
    return [max(1, math.ceil(n - SLACK) if up else math.floor(n + SLACK)) for n in shares]


def problems(
    max_t: float, grace_period: float, reduction_factor: float, rounding: str
) -> Iterator[Problem]:
    """What is wrong with the options of a `table`."""
    found = [
        *above("max_t", max_t),
        *above("grace_period", grace_period),
        *above("reduction_factor", reduction_factor, 1),
        *word("rounding", rounding, ROUNDINGS),
    ]
    yield from found
    if found:
        return
    if grace_period > max_t:
        yield Problem(
            "scheduler.grace_period",
            f"{grace_period} given; it must not exceed max_t, which is {max_t}",
        )
        return
    largest = reduction_factor ** math.floor(math.log(max_t / grace_period, reduction_factor))
    if largest > LARGEST:
        yield Problem(
            "scheduler.grace_period",
            f"from {grace_period} to max_t = {max_t} the first bracket would have {largest:,.0f} "
            "trials; give the shortest time that tells anything, in the units of time_attr",
        )


@dataclass(frozen=True)
class Place:
    """Where an evaluation stands: `round`, `bracket` and `rung` from 0, `index` within the rung;
    `level`: its time among all times; `slot`: its place in the population of that level."""

    round: int
    bracket: int
    rung: int
    index: int
    level: int
    slot: int


@dataclass(frozen=True)
class Plan:
    """HyperBand's rounds with each evaluation counted for itself, in the order of their numbers."""

    max_t: float
    grace_period: float
    reduction_factor: float

    @cached_property
    def rounds(self) -> list[Bracket]:
        return table(self.max_t, self.grace_period, self.reduction_factor, "paper")

    @cached_property
    def times(self) -> list[float]:
        """All times, ascending; a level is an index of these."""
        return [time for _, time in self.rounds[0]]

    @cached_property
    def populations(self) -> list[int]:
        """How many each level holds: the most that any bracket has there."""
        depth = len(self.times)
        return [
            max(b[level - depth][0] for b in self.rounds if depth - level <= len(b))
            for level in range(depth)
        ]

    @cached_property
    def _places(self) -> tuple[list[Place], list[int]]:
        """The places of the first round, and how many of it are at each level."""
        counts = [0] * len(self.times)
        places = []
        for b, bracket in enumerate(self.rounds):
            for rung, (size, _) in enumerate(bracket):
                level = len(self.times) - len(bracket) + rung
                for index in range(size):
                    places.append(Place(0, b, rung, index, level, counts[level]))
                    counts[level] += 1
        return places, counts

    def place(self, number: int) -> Place:
        """Where evaluation `number` stands."""
        places, counts = self._places
        turn, rest = divmod(number, len(places))
        first = places[rest]
        slot = (turn * counts[first.level] + first.slot) % self.populations[first.level]
        return replace(first, round=turn, slot=slot)

    def time(self, number: int) -> float:
        """How long evaluation `number` is trained."""
        return self.times[self.place(number).level]
