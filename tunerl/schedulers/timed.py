"""What schedulers share that compare trials by a metric over time: options, checks, measurements.

Invariant: a score is higher for the better trial, and `WORST` for what is no number.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from tunerl.errors import InvalidSpec, MetricError, Problem, nearest
from tunerl.schedulers.base import Scheduler, Verdict
from tunerl.schedulers.rungs import WORST, number


class TimedScheduler(Scheduler):
    """`time_attr`: the metric that time is measured in. `title`: what messages call the scheduler.

    Each option of the constructor is kept in an attribute of its name, so that JSON can be made
    of them.
    """

    title: str
    time_attr: str
    seed: int = 0

    def _check(self, problems: Iterable[Problem] = ()) -> None:
        """Raise `InvalidSpec` for the options every such scheduler has, and for `problems`."""
        found = [*kind("time_attr", self.time_attr, str)]
        if self.mode not in (None, "min", "max"):
            found.append(Problem("scheduler.mode", f"{self.mode!r} given; allowed: 'min', 'max'"))
        if found := [*found, *problems]:
            raise InvalidSpec(found)

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        if not self.metric:
            raise InvalidSpec(
                Problem(
                    "metric", f"is missing; {self.title} compares trials by a metric, so name one"
                )
            )
        if self.mode not in ("min", "max"):
            given = "none given" if self.mode is None else f"{self.mode!r} given"
            raise InvalidSpec(
                Problem(
                    "mode",
                    f"{self.title} needs to know which is better; {given}, allowed: 'min', 'max'",
                )
            )

    def measure(self, result: Mapping[str, Any]) -> tuple[float, float]:
        """The time and the score of a result.

        Raises `MetricError` where one is missing or no number, or the time not finite.
        """
        assert self.metric is not None, "setup() comes before the first event"
        time = number(result, self.time_attr, "time_attr")
        value = number(result, self.metric, "metric")
        if not math.isfinite(time):
            raise MetricError(
                f"the scheduler's time_attr {self.time_attr!r} is {time}; it must be finite"
            )
        score = value if self.mode == "max" else -value
        return time, score if math.isfinite(score) else WORST

    def verdict(
        self, time: float, score: float, needed: float, rivals: int, bracket: int | None = None
    ) -> Verdict:
        """A verdict in the metric's own numbers; `WORST` becomes NaN."""
        value, limit = (
            math.nan if given == WORST else given if self.mode == "max" else -given
            for given in (score, needed)
        )
        return Verdict(time, value, limit, rivals, bracket)

    def to_json(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {"type": self.name, **options}


def above(name: str, value: object, low: float = 0.0, *, equal: bool = False) -> Iterator[Problem]:
    """A problem unless `value` is a finite number above `low`, or `equal` to it."""
    if is_number(value) and math.isfinite(value) and (value > low or (equal and value == low)):
        return
    words = f"a number from {low:g} on" if equal else f"a number above {low:g}"
    yield Problem(f"scheduler.{name}", f"{value!r} given; it must be {words}")


def whole(name: str, value: object, low: int = 1) -> Iterator[Problem]:
    """A problem unless `value` is a whole number from `low` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        text = f"{value!r} given; it must be a whole number from {low} on"
        yield Problem(f"scheduler.{name}", text)


def kind(name: str, value: object, wanted: type) -> Iterator[Problem]:
    """A problem unless `value` is of a type."""
    if not isinstance(value, wanted):
        yield Problem(f"scheduler.{name}", f"{value!r} given; it must be a {wanted.__name__}")


def word(name: str, value: object, allowed: Sequence[str]) -> Iterator[Problem]:
    """A problem unless `value` is one of `allowed`."""
    if value not in allowed:
        yield Problem(f"scheduler.{name}", f"{value!r} given; " + nearest(str(value), allowed))


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
