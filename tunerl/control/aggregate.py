"""From the metrics of a trial's replicas to the trial's result. Pure.

Invariant: a number is the mean over replicas, an objective is the aggregate the experiment names,
and what is true only of some replicas (``done``) is not true of the trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunerl import statistics
from tunerl.trial import Metrics


def combine(replicas: Sequence[Mapping[str, Any]], objectives: Iterable[str], how: str) -> Metrics:
    """One trial's metrics from those of its replicas (flat, at least one).

    Names that only some replicas report are kept out, as their mean would be of other replicas
    than the rest.
    """
    if len(replicas) == 1:
        return dict(replicas[0])
    first = replicas[0]
    common = [name for name in first if all(name in other for other in replicas[1:])]
    combined = {name: _combine([metrics[name] for metrics in replicas]) for name in common}
    for metric in combined.keys() & set(objectives):
        combined[metric] = statistics.aggregate([objective(m, metric) for m in replicas], how)
    return combined


def _combine(values: list[Any]) -> Any:
    if all(isinstance(value, bool) for value in values):
        return all(values)
    if all(isinstance(value, int | float) for value in values):
        if all(value == values[0] for value in values):
            return values[0]
        return statistics.mean([float(value) for value in values])
    return values[0] if all(value == values[0] for value in values) else None


def objective(metrics: Mapping[str, Any], metric: str | None) -> float | None:
    """The value to compare trials by. None: not reported; NaN: reported, but no (finite) number."""
    if metric is None or metric not in metrics:
        return None
    value = metrics[metric]
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return math.nan
