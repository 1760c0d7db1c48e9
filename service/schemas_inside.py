"""What the API answers on what went on inside an experiment, as typed models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from service.schemas import Json, clean
from tunerl.policy import Change
from tunerl.results.incumbent import Incumbent as IncumbentFound
from tunerl.standings import Standings as StandingsFound


class Improvement(BaseModel):
    """See `tunerl.results.incumbent.Improvement`."""

    spent: int
    value: float
    trial: int
    iteration: int
    low: float | None
    high: float | None


class Incumbent(BaseModel):
    """See `tunerl.results.incumbent.Incumbent`."""

    metric: str
    mode: str
    unit: str
    spent: int
    improvements: list[Improvement]

    @classmethod
    def of(cls, found: IncumbentFound) -> Incumbent:
        return cls(**clean(asdict(found)))


class Exploit(BaseModel):
    """`target`, at its `iteration`, went on from `source` as that was at `source_iteration`.
    `mutations`: what was changed of the source's settings, name to before and after."""

    target: int
    source: int
    iteration: int
    source_iteration: int
    mutations: dict[str, tuple[Any, Any]]
    created_at: datetime | None

    @classmethod
    def of(cls, change: Change, mutations: Mapping[str, Any]) -> Exploit:
        names = ("target", "source", "iteration", "source_iteration")
        values = {name: getattr(change, name) for name in names}
        return cls(**values, mutations=clean(mutations), created_at=change.at)


class Setting(BaseModel):
    """`config` held from `iteration` (of the state, its ancestors' counted) on."""

    iteration: int
    config: Json


class Rung(BaseModel):
    """See `tunerl.standings.Rung`."""

    time: float
    reached: int
    stopped: int
    waiting: int
    needed: float | None


class Bracket(BaseModel):
    number: int
    trials: int
    rungs: list[Rung]


class Stopped(BaseModel):
    """Why the scheduler stopped a trial. See `tunerl.schedulers.base.Verdict`."""

    trial: int
    time: float
    value: float | None
    needed: float | None
    rivals: int
    bracket: int | None
    by: str | None
    message: str


class Standings(BaseModel):
    scheduler: str
    time_attr: str | None
    brackets: list[Bracket]
    stopped: list[Stopped]

    @classmethod
    def of(cls, found: StandingsFound) -> Standings:
        stopped = [
            {"trial": trial, "message": message, **asdict(verdict)}
            for trial, verdict, message in found.verdicts
        ]
        brackets = [asdict(bracket) for bracket in found.brackets]
        known = {"scheduler": found.scheduler, "time_attr": found.time_attr}
        return cls(**clean({**known, "brackets": brackets, "stopped": stopped}))
