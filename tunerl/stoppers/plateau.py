"""Stoppers that wait until a metric no longer moves; constant work a result.

Invariant: what is no finite number is never part of a plateau.
"""

from __future__ import annotations

import bisect
import statistics
from collections import deque
from typing import Any

from tunerl.stoppers.base import Stopper, invalid, number, value_of, whole


class ExperimentPlateauStopper(Stopper):
    """Ends the experiment once the `top` best values of `metric` hardly differ.

    As in Ray Tune: their standard deviation is at most `std` for more than `patience` results in a
    row. `mode`: which values are best, "min" or "max".
    """

    name = "experiment_plateau"

    def __init__(
        self,
        metric: str,
        std: float = 0.001,
        top: int = 10,
        mode: str = "min",
        patience: int = 0,
    ) -> None:
        if mode not in ("min", "max"):
            raise invalid("mode", f"{mode!r} given; allowed: 'min', 'max'")
        self._metric, self._mode = _name(metric), mode
        self._std = number("std", std, above=0.0)
        self._top, self._patience = whole("top", top, 2), whole("patience", patience, 0)
        self._best: list[float] = []  # ascending; of the negated values with "max"
        self._still = 0  # results in a row at which the best hardly differed

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        value = value_of(result, self._metric)
        if value is not None:
            bisect.insort(self._best, value if self._mode == "min" else -value)
            del self._best[self._top :]
        self._still = self._still + 1 if self._plateau() else 0
        return self.stop_all()

    def _plateau(self) -> bool:
        return len(self._best) == self._top and statistics.pstdev(self._best) <= self._std

    def stop_all(self) -> bool:
        return self._still > 0 and self._still >= self._patience

    def metrics(self) -> list[str]:
        return [self._metric]

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "metric": self._metric,
            "std": self._std,
            "top": self._top,
            "mode": self._mode,
            "patience": self._patience,
        }


class TrialPlateauStopper(Stopper):
    """Ends a trial once its last `num_results` values of `metric` hardly differ.

    Their standard deviation is below `std`, after at least `grace_period` results. With a
    `metric_threshold` only where the latest value has reached it: is as large (`mode` "max") or as
    small ("min").
    """

    name = "trial_plateau"

    def __init__(
        self,
        metric: str,
        std: float = 0.01,
        num_results: int = 4,
        grace_period: int = 4,
        metric_threshold: float | None = None,
        mode: str | None = None,
    ) -> None:
        if mode not in ("min", "max", None) or (metric_threshold is not None and mode is None):
            raise invalid("mode", f"{mode!r} given; 'min' or 'max' goes with a metric_threshold")
        self._metric, self._mode = _name(metric), mode
        self._std = number("std", std, above=0.0)
        self._num_results = whole("num_results", num_results, 1)
        self._grace_period = whole("grace_period", grace_period, 0)
        if metric_threshold is not None:
            metric_threshold = number("metric_threshold", metric_threshold)
        self._threshold = metric_threshold
        self._seen: dict[str, int] = {}
        self._last: dict[str, deque[float | None]] = {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        value = value_of(result, self._metric)
        seen = self._seen[trial_id] = self._seen.get(trial_id, 0) + 1
        last = self._last.setdefault(trial_id, deque(maxlen=self._num_results))
        last.append(value)
        numbers = [entry for entry in last if entry is not None]
        if seen < self._grace_period or value is None or len(numbers) < self._num_results:
            return False
        if self._threshold is not None:
            short = value > self._threshold if self._mode == "min" else value < self._threshold
            if short:
                return False
        return statistics.pstdev(numbers) < self._std

    def metrics(self) -> list[str]:
        return [self._metric]

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "metric": self._metric,
            "std": self._std,
            "num_results": self._num_results,
            "grace_period": self._grace_period,
            "metric_threshold": self._threshold,
            "mode": self._mode,
        }


def _name(metric: Any) -> str:
    if not isinstance(metric, str) or not metric:
        raise invalid("metric", f"{metric!r} given; it must be the name of a metric")
    return metric
