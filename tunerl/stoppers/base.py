"""What a stopper is, and those that need no numbers: Ray Tune's names and meaning.

Invariant: a stopper's state follows from the results it was shown, in their order, and from the
seconds the experiment has run; so showing it the recorded ones again restores it.
"""

from __future__ import annotations

import datetime
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tunerl.errors import InvalidSpec, Problem
from tunerl.keywords import Checked


class Stopper(Checked):
    """Says after each result whether its trial ends, and whether the whole experiment does.

    `name` is its word in JSON; empty for what only Python can say. `timed`: it wants `resume`.
    """

    name: str = ""
    timed: bool = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial ends at this result (flat keys). Called once a result."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__(); write one")

    def stop_all(self) -> bool:
        """Whether the experiment ends. Called once a turn."""
        return False

    def resume(self, seconds: float) -> None:
        """The experiment goes on after it has run for so many seconds before."""

    def metrics(self) -> list[str]:
        """Names of the metrics it cannot do without."""
        return []

    def to_json(self) -> dict[str, Any] | None:
        """``{"type": name, ...options}``, or None where JSON cannot say it."""
        return None


class NoopStopper(Stopper):
    """Ends nothing."""

    name = "noop"

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name}


class FunctionStopper(Stopper):
    """Ends a trial once ``function(trial_id, result)`` says so."""

    def __init__(self, function: Callable[[str, dict[str, Any]], bool]) -> None:
        if not callable(function):
            raise invalid("function", f"{function!r} given; it must be a function")
        self._function = function

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return bool(self._function(trial_id, result))


class MaximumIterationStopper(Stopper):
    """Ends a trial at its `max_iter`-th result."""

    name = "maximum_iteration"

    def __init__(self, max_iter: int) -> None:
        self._max_iter = whole("max_iter", max_iter, 1)
        self._seen: Counter[str] = Counter()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._seen[trial_id] += 1
        return self._seen[trial_id] >= self._max_iter

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "max_iter": self._max_iter}


class TimeoutStopper(Stopper):
    """Ends the experiment after `timeout` seconds (or a timedelta), interruptions not counted."""

    name = "timeout"
    timed = True

    def __init__(self, timeout: float | datetime.timedelta) -> None:
        if isinstance(timeout, datetime.timedelta):
            timeout = timeout.total_seconds()
        self._timeout = number("timeout", timeout, above=0.0)
        self._began: float | None = None
        self._before = 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def resume(self, seconds: float) -> None:
        self._before, self._began = seconds, time.monotonic()

    def stop_all(self) -> bool:
        if self._began is None:
            self._began = time.monotonic()
        return self._before + time.monotonic() - self._began >= self._timeout

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "timeout": self._timeout}


class CombinedStopper(Stopper):
    """Ends what any of `stoppers` ends. Each of them sees every result."""

    name = "combined"

    def __init__(self, *stoppers: Stopper) -> None:
        for stopper in stoppers:
            if not (callable(stopper) and callable(getattr(stopper, "stop_all", None))):
                what = f"{stopper!r} is no Stopper; wrap a function: FunctionStopper(function)"
                raise invalid("stoppers", what)
        self.stoppers = stoppers
        self.timed = any(getattr(stopper, "timed", False) for stopper in stoppers)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        said = [bool(stopper(trial_id, result)) for stopper in self.stoppers]
        return any(said)

    def stop_all(self) -> bool:
        said = [bool(stopper.stop_all()) for stopper in self.stoppers]
        return any(said)

    def resume(self, seconds: float) -> None:
        for stopper in self.stoppers:
            if isinstance(stopper, Stopper):
                stopper.resume(seconds)

    def metrics(self) -> list[str]:
        ours = [stopper for stopper in self.stoppers if isinstance(stopper, Stopper)]
        return [name for stopper in ours for name in stopper.metrics()]

    def to_json(self) -> dict[str, Any] | None:
        parts = [s.to_json() if isinstance(s, Stopper) else None for s in self.stoppers]
        if any(part is None for part in parts):
            return None
        return {"type": self.name, "stoppers": parts}


class TrialsOnly(Stopper):
    """Ends the trials that `stopper` ends, but never the experiment."""

    def __init__(self, stopper: Callable[[str, dict[str, Any]], bool]) -> None:
        self._stopper = stopper

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return bool(self._stopper(trial_id, result))

    def metrics(self) -> list[str]:
        return self._stopper.metrics() if isinstance(self._stopper, Stopper) else []


def invalid(option: str, message: str) -> InvalidSpec:
    """What is wrong with an option of a stopper."""
    return InvalidSpec(Problem(f"stopper.{option}", message))


def whole(option: str, value: Any, least: int) -> int:
    """A whole number, at least `least`. Raises `InvalidSpec`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise invalid(option, f"{value!r} given; a whole number, at least {least}")
    return value


def number(option: str, value: Any, above: float = -math.inf) -> float:
    """A finite number above `above`. Raises `InvalidSpec`."""
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or value <= above:
        least = "" if above == -math.inf else f" above {above:g}"
        raise invalid(option, f"{value!r} given; a finite number{least}")
    return float(value)


def value_of(result: Mapping[str, Any], metric: str) -> float | None:
    """A metric as a number, or None where it is none: missing, text, NaN or infinite."""
    value = result.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
