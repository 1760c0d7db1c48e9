"""What Optuna is told of a trial: finished as planned is COMPLETE, stopped early PRUNED with its
values so far, failed or without a number FAIL, all else RUNNING."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tunerl.errors import InvalidSpec, Problem
from tunerl.searchers.base import Observation
from tunerl.searchers.constraints import Constraint
from tunerl.searchers.optuna_study import frozen
from tunerl.trial import Reason, Status

AS_PLANNED = (None, Reason.STOP_RULE, Reason.DONE)
CONSTRAINT = "constraints:"  # how Optuna names a constraint among a trial's notes


class Teller:
    """`objectives`: all of them by name, the experiment's own first."""

    def __init__(self, objectives: Sequence[str], constraints: Sequence[Constraint] = ()) -> None:
        self.objectives, self.constraints = list(objectives), list(constraints)

    def tell(
        self, place: int, seen: Observation, params: tuple[dict[str, Any], dict[str, Any]] | None
    ) -> FrozenTrial:
        """The Optuna trial for what is known; `params` None: a configuration from elsewhere, which
        teaches nothing."""
        state, values = self._standing(seen)
        if params is None:
            running = state == TrialState.RUNNING
            return frozen(place, state if running else TrialState.FAIL, {}, {})
        if state == TrialState.RUNNING:
            return frozen(place, state, *params)
        notes: dict[str, float] = {}
        if self.constraints and state in (TrialState.COMPLETE, TrialState.PRUNED):
            broken = {c.metric: c.violation(seen.last) for c in self.constraints}
            if any(math.isnan(value) for value in broken.values()):
                state, values = TrialState.FAIL, None
            else:
                notes = {CONSTRAINT + metric: value for metric, value in broken.items()}
        return _told(place, state, params, values, dict(seen.values), notes)

    def _standing(self, seen: Observation) -> tuple[TrialState, list[float] | None]:
        if not seen.status.finished:
            return TrialState.RUNNING, None
        if seen.status != Status.TERMINATED:
            return TrialState.FAIL, None
        if seen.reason not in AS_PLANNED:
            return TrialState.PRUNED, None
        if not seen.values:
            return TrialState.FAIL, None
        further = [seen.last.get(name) for name in self.objectives[1:]]
        values = [seen.values[-1][1], *(_number(value) for value in further)]
        if any(math.isnan(value) for value in values):
            return TrialState.FAIL, None
        return TrialState.COMPLETE, values


def _told(
    place: int,
    state: TrialState,
    params: tuple[dict[str, Any], dict[str, BaseDistribution]],
    values: list[float] | None,
    intermediate: dict[int, float],
    notes: dict[str, float],
) -> FrozenTrial:
    told = frozen(place, state, *params, values, intermediate)
    told.system_attrs = dict(notes)
    return told


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def listed(given: Any) -> Any:
    """A list of names as a list; one name, or none, as it is."""
    return list(given) if isinstance(given, list | tuple) else given


def objectives_of(
    given: Sequence[tuple[Any, Any]], own_metric: Any, own_mode: Any
) -> dict[str, str]:
    """The experiment's objectives, given as (name, mode), by name.

    Raises `InvalidSpec` where there are none, or where the searcher's own are others.
    """
    metrics, modes = [name for name, _ in given], [mode for _, mode in given]
    named = all(isinstance(name, str) for name in metrics)
    if not named or any(mode not in ("min", "max") for mode in modes):
        raise InvalidSpec(
            Problem(
                "metric",
                "Optuna needs one metric and a mode ('min' or 'max'), or a list of each; "
                f"given: metric={metrics!r}, mode={modes!r}",
            )
        )
    for own, theirs in ((own_metric, metrics), (own_mode, modes)):
        if own is not None and (own if isinstance(own, list) else [own]) != theirs:
            message = f"OptunaSearch was given {own!r}, the experiment {theirs!r}; drop one of them"
            raise InvalidSpec(Problem("metric", message))
    return {str(name): str(mode) for name, mode in given}


def check_several(sampler: Any) -> None:
    """Raise `InvalidSpec` for a sampler that knows one objective only."""
    name = sampler.get("name") if isinstance(sampler, Mapping) else type(sampler).__name__
    if name in ("cmaes", "CmaEsSampler"):
        message = "CMA-ES searches for one objective; use tpe, nsgaii, nsgaiii or gp for several"
        raise InvalidSpec(Problem("searcher.sampler", message))
