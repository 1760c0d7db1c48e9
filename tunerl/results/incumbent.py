"""How good the best trial was, and what had been spent until then.

Invariant: everything is read from the store; the budget counts what all trials and replicas took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunerl import statistics
from tunerl.errors import InvalidInput
from tunerl.results.result import better, check_mode, number
from tunerl.trial import Metrics

if TYPE_CHECKING:
    from tunerl.store import Store

RESAMPLES = 1000
MANY = 400  # intervals; of more improvements than that only the last ones have one


@dataclass(frozen=True)
class Improvement:
    """From `spent` on the best objective was `value`, of `trial` at `iteration`; `low` and `high`
    bound its aggregate over the seeds (95 %, bootstrap), NaN where it had but one."""

    spent: int
    value: float
    trial: int
    iteration: int
    low: float
    high: float


@dataclass(frozen=True)
class Incumbent:
    """`unit`: "steps", or "iterations" where nobody reports steps; `spent`: of them in all."""

    metric: str
    mode: str
    unit: str
    spent: int
    improvements: list[Improvement]


def incumbent(store: Store, experiment_id: str) -> Incumbent:
    """The improvements of an experiment, in order. Raises `NotFound`, and `InvalidInput` for one
    without an objective."""
    spec = store.get_experiment(experiment_id).spec
    metric, mode = spec.get("metric"), spec.get("mode")
    if metric is None:
        raise InvalidInput(f"{experiment_id} has no objective, so no trial is the best")
    mode = check_mode(mode)
    rows = store.objectives(experiment_id)
    counted = any(row[3] for row in rows)
    spent, best, reached = 0, math.nan, dict[int, int]()
    found: list[tuple[int, int, float, int, int]] = []
    for key, trial, iteration, steps, seeds, value in rows:
        now = steps if counted else iteration
        spent += max(0, now - reached.get(trial, 0)) * seeds
        reached[trial] = max(now, reached.get(trial, 0))
        if math.isfinite(value) and better(value, best, mode):
            best = value
            found.append((key, spent, value, trial, iteration))
    replicas = store.replicas(experiment_id, [entry[0] for entry in found[-MANY:]])
    how = str(spec.get("aggregate", "mean"))
    improvements = [
        Improvement(then, value, trial, at, *_interval(replicas.get(key, []), str(metric), how))
        for key, then, value, trial, at in found
    ]
    return Incumbent(str(metric), mode, "steps" if counted else "iterations", spent, improvements)


def _interval(replicas: list[Metrics], metric: str, how: str) -> tuple[float, float]:
    values = [number(each.get(metric), nan=True) for each in replicas]
    if len(values) < 2:
        return math.nan, math.nan
    given = [math.nan if value is None else value for value in values]
    chosen = how if how in statistics.AGGREGATES else statistics.statistic(how)
    return statistics.bootstrap_interval(given, chosen, resamples=RESAMPLES)
