"""When a trial, or the whole experiment, has had enough: rules in JSON, functions, Ray's stoppers.

Invariant: a metric that a rule needs and that is missing from the first result is an error, and
NaN satisfies no rule.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tunerl.errors import InvalidSpec, MetricError, Problem, TrainableError
from tunerl.metrics import nearest_metric
from tunerl.stoppers.base import Stopper

Rule = Callable[[str, dict[str, Any]], bool]

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    functools.partial,
)


class StopRules:
    """The rules of one experiment.

    `limits`: ``{metric: value}``; a trial stops once it reports that much or more, as in Ray Tune.
    `custom`: a function ``(trial_id, result) -> bool``, or an object that can be called so, whose
    ``stop_all()``, if it has one, ends the experiment; the trial id is its number in five digits.
    An object is copied: it may remember, and whoever begins anew begins with one that does not.
    """

    def __init__(self, limits: Mapping[str, float], custom: Rule | None = None) -> None:
        if custom is not None and not callable(custom):
            raise InvalidSpec(
                Problem(
                    "stop",
                    f"{custom!r} given; allowed: a dict of metric: value, a function of trial id "
                    "and result, or a Stopper",
                )
            )
        self._limits = dict(limits)
        self._custom = custom if isinstance(custom, _FUNCTIONS) else copy.deepcopy(custom)

    def needs(self) -> list[str]:
        """The metrics that the limits and a stopper name."""
        more = self._custom.metrics() if isinstance(self._custom, Stopper) else []
        return [*self._limits, *more]

    @property
    def timed(self) -> bool:
        """Whether the seconds that the experiment has run matter."""
        return isinstance(self._custom, Stopper) and self._custom.timed

    def resume(self, seconds: float) -> None:
        """The experiment goes on after so many seconds."""
        if isinstance(self._custom, Stopper):
            self._custom.resume(seconds)

    def reached(self, trial: int, metrics: Mapping[str, Any]) -> bool:
        """Whether the trial stops at this result. To be asked once a result.

        Raises `TrainableError` for what the function raises."""
        if any(_at_least(metrics.get(name), limit) for name, limit in self._limits.items()):
            return True
        if self._custom is None:
            return False
        try:
            return bool(self._custom(f"{trial:05d}", {**metrics, "trial_id": f"{trial:05d}"}))
        except Exception as error:
            raise TrainableError(
                f"the stop function raised {type(error).__name__}: {error} at a result of trial "
                f"{trial}; it is called with the trial's id and the result, a flat dict"
            ) from error

    def all_stopped(self) -> bool:
        """Whether the rule says that no trial needs to go on."""
        stop_all = getattr(self._custom, "stop_all", None)
        return bool(stop_all()) if callable(stop_all) else False


def _at_least(value: Any, limit: float) -> bool:
    return isinstance(value, int | float) and bool(value >= limit)


def check_first_result(
    metrics: Mapping[str, Any], objectives: Iterable[str], stop: Iterable[str]
) -> None:
    """Raise `MetricError` for the first metric that the experiment needs and nobody reports."""
    needed = [*((name, "metric") for name in objectives), *((name, "stop rule") for name in stop)]
    for name, what in needed:
        if name not in metrics:
            raise MetricError(
                f"the {what} {name!r} is not among the metrics of the first result; "
                + nearest_metric(name, metrics)
            )
