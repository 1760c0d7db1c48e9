"""What rung schedulers share: milestones, the cutoff of a rung, numbers out of results.

Scores are higher-is-better; what is no number scores `WORST` and never beats a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunerl.errors import MetricError, nearest

WORST = -math.inf  # the score of NaN, None and infinity


def number(result: Mapping[str, Any], key: str, role: str) -> float:
    """The value of `key`; None is NaN. Raises `MetricError` where it is missing or no number."""
    if key not in result:
        raise MetricError(
            f"the scheduler's {role} {key!r} is not among the metrics the trainable reports; "
            + nearest(key, result)
        )
    value = result[key]
    if value is None:
        return math.nan
    if isinstance(value, str):
        raise MetricError(f"the scheduler's {role} {key!r} is {value!r}; it must be a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MetricError(
            f"the scheduler's {role} {key!r} is a {type(value).__name__}; it must be a number"
        ) from None


def milestones(grace_period: float, max_t: float, reduction_factor: float, s: int) -> list[float]:
    """The rungs of bracket `s`, ascending: grace_period * reduction_factor^(k+s) up to max_t."""
    found: list[float] = []
    while (value := grace_period * reduction_factor ** (s + len(found))) <= max_t * (1 + 1e-9):
        found.append(value)
    return found


def cutoff(scores: Iterable[float], reduction_factor: float) -> float | None:
    """The score that the best 1/reduction_factor reach, by linear interpolation as Ray Tune does.

    Scores that are no numbers do not count; None when no number is left.
    """
    ranked = sorted(score for score in scores if score != WORST)
    if not ranked:
        return None
    position = (1 - 1 / reduction_factor) * (len(ranked) - 1)
    low, high = ranked[math.floor(position)], ranked[math.ceil(position)]
    share = position - math.floor(position)
    return low if low == high or share == 0 else low + share * (high - low)


@dataclass
class Rung:
    """`scores`: higher is better. `promoted`: who has gone on from here (promotion variant)."""

    milestone: float
    scores: dict[int, float] = field(default_factory=dict)
    promoted: set[int] = field(default_factory=set)

    def promotable(self, quota: int) -> list[int]:
        """The best `quota` trials, best first, but who was promoted before or has no number."""
        ranked = sorted(self.scores, key=lambda trial: (-self.scores[trial], trial))[:quota]
        return [
            trial for trial in ranked if trial not in self.promoted and self.scores[trial] != WORST
        ]
