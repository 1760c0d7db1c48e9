"""Constraints on metrics, as text: ``{"memory": "<= 5", "return": ">= 100"}``.

Invariant: a violation is a number, at most 0 where the constraint holds (Optuna's convention).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunerl.errors import InvalidSpec, Problem

_FORM = re.compile(r"\s*(<=|>=|<|>)\s*([-+0-9.eE_]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """`metric` is at most (`sign` 1) or at least (`sign` -1) `bound`."""

    metric: str
    sign: int
    bound: float

    def violation(self, metrics: Mapping[str, Any]) -> float:
        """By how much the constraint is broken; NaN where the metric is missing or no number."""
        value = metrics.get(self.metric)
        if not isinstance(value, int | float):
            return math.nan
        return self.sign * (float(value) - self.bound)


def parse_constraints(given: Any) -> list[Constraint]:
    """The constraints that a mapping of metric to ``"<= bound"`` or ``">= bound"`` describes.

    ``<`` and ``>`` mean the same as ``<=`` and ``>=``. Raises `InvalidSpec` with all misfits.
    """
    found, problems = [], []
    if given is not None and not isinstance(given, Mapping):
        message = f'{given!r} given; constraints are an object: {{"time_total_s": "<= 5"}}'
        raise InvalidSpec(Problem("searcher.constraints", message))
    for metric, text in (given or {}).items():
        match = _FORM.fullmatch(str(text))
        try:
            bound = float(match[2]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or math.isnan(bound):
            message = f"{text!r} given; a constraint is written '<= 5' or '>= 0.1'"
            problems.append(Problem(f"searcher.constraints.{metric}", message))
        else:
            found.append(Constraint(str(metric), 1 if match[1][0] == "<" else -1, bound))
    if problems:
        raise InvalidSpec(problems)
    return found
