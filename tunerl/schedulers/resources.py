"""Gives running trials more of what is free, around any scheduler.

Invariant: what a trial gets follows from what the scheduler has been shown; so how much there is in
all has to be said, and is never asked of a cluster.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.schedulers.base import Allocate, Decision, Pause, Resume, Scheduler, Stop
from tunerl.schedulers.timed import is_number
from tunerl.trial import Config

Resources = dict[str, float]
PATH = "scheduler.resources_allocation_function"


class DistributeResources:
    """Shares out `total` evenly among the unfinished trials, those with lower numbers first.

    `base`: what a trial begins with, as its trainable asks for; by default one CPU. `increase_by`:
    what it is given at a time (by default as much as `base`), at most `increase_by_times` times
    (-1: any number). All are dicts such as ``{"CPU": 1}``. Raises `InvalidSpec`.
    """

    name = "distribute"

    def __init__(
        self,
        total: Mapping[str, float],
        base: Mapping[str, float] | None = None,
        increase_by: Mapping[str, float] | None = None,
        increase_by_times: int = -1,
    ) -> None:
        self.total, self.base = _amounts("total", total), _amounts("base", base or {"CPU": 1})
        self.increase_by = _amounts("increase_by", increase_by or self.base)
        self.increase_by_times = increase_by_times
        if isinstance(increase_by_times, bool) or not isinstance(increase_by_times, int):
            text = f"{increase_by_times!r} given; it must be a whole number, -1 for no limit"
            raise InvalidSpec(Problem(f"{PATH}.increase_by_times", text))
        unknown = [name for name in {*self.base, *self.increase_by} if name not in self.total]
        if unknown:
            raise InvalidSpec(
                Problem(f"{PATH}.total", f"says nothing of {unknown[0]}; given: {self.total}")
            )

    def shares(self, live: Sequence[int], scores: Mapping[int, float]) -> dict[int, int]:
        """How many times `increase_by` each of the unfinished trials gets; `scores`: higher is
        better."""
        spare = self._spare(len(live))
        return {
            trial: spare // len(live) + (place < spare % len(live))
            for place, trial in enumerate(live)
        }

    def _spare(self, count: int) -> int:
        """How many times `increase_by` fits in what is left when each trial has `base`."""
        return min(
            math.floor((self.total[name] - count * self.base.get(name, 0.0)) / amount + 1e-9)
            for name, amount in self.increase_by.items()
        )

    def allocate(self, trial: int, live: Sequence[int], scores: Mapping[int, float]) -> Resources:
        """What a trial that goes on has from now on."""
        times = max(0, self.shares(live, scores).get(trial, 0))
        if self.increase_by_times >= 0:
            times = min(times, self.increase_by_times)
        names = [*self.base, *(name for name in self.increase_by if name not in self.base)]
        return {
            name: self.base.get(name, 0.0) + times * self.increase_by.get(name, 0.0)
            for name in names
        }

    def to_json(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {"name": self.name, **options}


class DistributeResourcesToTopJob(DistributeResources):
    """Gives all that is free to the trial with the best last value."""

    name = "distribute_to_top_job"

    def shares(self, live: Sequence[int], scores: Mapping[int, float]) -> dict[int, int]:
        best = max(live, key=lambda trial: (scores.get(trial, -math.inf), -trial))
        return {best: self._spare(len(live))}


FUNCTIONS = {cls.name: cls for cls in (DistributeResources, DistributeResourcesToTopJob)}


class ResourceChangingScheduler(Scheduler):
    """Does what `base_scheduler` does (by default FIFO), and changes what a trial occupies.

    After a result the trial that reported is put aside with a checkpoint and goes on with what
    `resources_allocation_function` gives it, where that is another amount than it has. That costs a
    restart, so it pays for long trials; a CPU more is a thread more. Trials with other amounts do
    not share a pack. Where Ray Tune would ask the cluster, `total` has to be given. Raises
    `InvalidSpec`.
    """

    name = "resource_changing"

    def __init__(
        self,
        base_scheduler: Scheduler | Mapping[str, Any] | None = None,
        resources_allocation_function: DistributeResources | Mapping[str, Any] | None = None,
    ) -> None:
        from tunerl.schedulers import create

        base: Any = base_scheduler if base_scheduler is not None else {"type": "fifo"}
        base = create(base) if isinstance(base, Mapping) else base
        if not isinstance(base, Scheduler):
            text = f"{base_scheduler!r} is not a scheduler"
            raise InvalidSpec(Problem("scheduler.base_scheduler", text))
        self.base_scheduler: Scheduler = base
        self.function = _function(resources_allocation_function)
        self.most_seeds = self.base_scheduler.most_seeds
        self._live: dict[int, bool] = {}  # False: paused
        self._has: dict[int, Resources] = {}
        self._scores: dict[int, float] = {}
        self._seen: dict[int, float] = {}

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        self.base_scheduler.setup(metric, mode, seed)

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        self._live[trial] = True
        return self._follow(self.base_scheduler.on_add(trial, config))

    def on_replicas(self, trial: int, replicas: Sequence[Mapping[str, Any]]) -> None:
        self.base_scheduler.on_replicas(trial, replicas)

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        decisions = self._follow(self.base_scheduler.on_result(trial, result))
        at = float(result.get("training_iteration", math.inf))
        if at <= self._seen.get(trial, -math.inf):
            return decisions
        self._seen[trial] = at
        value = result.get(self.metric or "")
        score = float(value) if is_number(value) and math.isfinite(value) else -math.inf
        self._scores[trial] = -score if self.mode == "min" and score != -math.inf else score
        if not self._live.setdefault(trial, trial not in self._has):
            return decisions
        live = sorted(other for other, runs in self._live.items() if runs)
        share = self.function.allocate(trial, live, self._scores)
        if share == self._has.get(trial, self.function.base):
            return decisions
        self._has[trial] = share
        return [*decisions, Allocate(trial, share)]

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        self._live[trial] = False
        return self._follow(self.base_scheduler.on_complete(trial, result))

    def on_error(self, trial: int) -> list[Decision]:
        self._live[trial] = False
        return self._follow(self.base_scheduler.on_error(trial))

    def on_idle(self) -> list[Decision]:
        return self._follow(self.base_scheduler.on_idle())

    def _follow(self, decisions: list[Decision]) -> list[Decision]:
        for decision in decisions:
            if isinstance(decision, Stop | Pause):
                self._live[decision.trial] = False
            elif isinstance(decision, Resume):
                self._live[decision.trial] = True
        return decisions

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "base_scheduler": self.base_scheduler.to_json(),
            "resources_allocation_function": self.function.to_json(),
        }


def _function(given: Any) -> DistributeResources:
    if isinstance(given, DistributeResources):
        return given
    if not isinstance(given, Mapping):
        text = f"{given!r} given; it is needed: DistributeResources(total={{'CPU': 8}}), or "
        text += 'as JSON {"name": "distribute", "total": {"CPU": 8}}'
        raise InvalidSpec(Problem(PATH, text))
    options = dict(given)
    name = str(options.pop("name", None))
    if name not in FUNCTIONS:
        raise InvalidSpec(
            Problem(PATH, f"no function goes by {name!r}; {nearest(name, FUNCTIONS)}")
        )
    allowed = inspect.signature(FUNCTIONS[name]).parameters
    problems = [
        Problem(f"{PATH}.{key}", f"{name} has no such option; " + nearest(str(key), allowed))
        for key in options
        if key not in allowed
    ]
    if "total" not in options:
        problems.append(Problem(f"{PATH}.total", "is missing; say what there is in all"))
    if problems:
        raise InvalidSpec(problems)
    return FUNCTIONS[name](**options)


def _amounts(name: str, given: Any) -> Resources:
    good = isinstance(given, Mapping) and all(
        is_number(value) and 0 < value < math.inf for value in given.values()
    )
    if not good or not given:
        text = f"{given!r} given; it must be a dict of amounts above 0, such as {{'CPU': 1}}"
        raise InvalidSpec(Problem(f"{PATH}.{name}", text))
    return {str(key): float(value) for key, value in given.items()}
