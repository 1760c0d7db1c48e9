"""Who stands on which rung of which bracket, and why others were stopped.

Invariant: read from the store, and from what a scheduler says of itself; nothing is decided anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunerl import schedulers
from tunerl.control.decisions import STOPPED
from tunerl.errors import TuneRLError
from tunerl.schedulers.base import Scheduler, Verdict
from tunerl.trial import Status

if TYPE_CHECKING:
    from tunerl.spec import ExperimentSpec
    from tunerl.store import Store
    from tunerl.store.records import Event, TrialRecord

PAGE = 1000


@dataclass
class Rung:
    """At `time` so many `reached` it, were `stopped` there, are `waiting`. `needed`: what it took
    when the last one was stopped; NaN where nobody was."""

    time: float
    reached: int = 0
    stopped: int = 0
    waiting: int = 0
    needed: float = math.nan


@dataclass
class Bracket:
    """`number` from 0; `trials`: how many were put in it."""

    number: int
    trials: int = 0
    rungs: list[Rung] = field(default_factory=list)


@dataclass(frozen=True)
class Standings:
    """`time_attr`: the metric of the rungs' times; None for a scheduler that knows none.
    `verdicts`: (trial, why it was stopped, the same in words), in order."""

    scheduler: str
    time_attr: str | None
    brackets: list[Bracket]
    verdicts: list[tuple[int, Verdict, str]]


def standings(store: Store, id: str, spec: ExperimentSpec) -> Standings:
    """The standings of a stored experiment. Raises `NotFound`."""
    verdicts = [
        (event.trial, Verdict(**event.data), event.message)
        for event in _stops(store, id)
        if event.trial is not None
    ]
    scheduler = _scheduler(spec)
    found: dict[int, Bracket] = {}
    for trial in store.trials(id) if scheduler is not None else ():
        _enter(found, scheduler, trial)
    for _, verdict, _ in verdicts:
        rungs = found[verdict.bracket].rungs if verdict.bracket in found else []
        for rung in rungs:
            if math.isclose(rung.time, verdict.time):
                rung.stopped += 1
                rung.needed = verdict.needed
    return Standings(
        str(spec.scheduler.get("type", "")),
        getattr(scheduler, "time_attr", None),
        [found[number] for number in sorted(found)],
        verdicts,
    )


def _enter(found: dict[int, Bracket], scheduler: Scheduler | None, trial: TrialRecord) -> None:
    place = None if scheduler is None else scheduler.rungs_of(trial.number)
    if place is None:
        return
    bracket = found.setdefault(place[0], Bracket(place[0], rungs=[Rung(t) for t in place[1]]))
    bracket.trials += 1
    time = trial.last.get(str(getattr(scheduler, "time_attr", "")))
    reached = [r for r in bracket.rungs if isinstance(time, int | float) and time >= r.time]
    for rung in reached:
        rung.reached += 1
    if reached and trial.status is Status.PAUSED:
        reached[-1].waiting += 1


def _scheduler(spec: ExperimentSpec) -> Scheduler | None:
    """None where it is Python that this process lacks."""
    try:
        scheduler = schedulers.create(spec.scheduler)
        scheduler.setup(spec.metric, spec.mode, spec.seed)
    except TuneRLError:
        return None
    return scheduler


def _stops(store: Store, id: str) -> Iterator[Event]:
    after = 0
    while page := store.events(id, after=after, limit=PAGE, kind=STOPPED):
        yield from page
        after = page[-1].id
