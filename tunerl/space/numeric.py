"""Numeric domains: monotone maps of the unit interval; sampling is the map of one uniform draw.

Upper bounds are exclusive for whole numbers and inclusive for quantised domains (q = 1 aside).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

EDGE = 1e-12  # how near to 0 and 1 the unit interval goes where the ends map to infinity


class Domain(ABC):
    """Where a parameter's values come from. `name` is its word in JSON, `args` what follows."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def args(self) -> list[Any]: ...

    def problems(self) -> list[str]:
        """What makes this domain impossible to sample, as sentences."""
        return []

    def __str__(self) -> str:
        return f"{self.name}({', '.join(str(arg) for arg in self.args)})"


class Numeric(Domain):
    """Numbers, through a monotone map of the unit interval."""

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """The value at `unit` in [0, 1]."""

    @abstractmethod
    def to_unit(self, value: float) -> float:
        """Where a value lies in [0, 1]; ``from_unit(to_unit(value)) == value``."""

    @abstractmethod
    def contains(self, value: Any) -> bool: ...

    def sample(self, rng: np.random.Generator) -> Any:
        return self.from_unit(rng.random())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _on_grid(index: int, q: float) -> float:
    """``index * q`` without the noise in the last digit (0.3, not 0.30000000000000004)."""
    return float(format(index * q, ".15g"))


@dataclass(frozen=True)
class Real(Numeric):
    """Floats between `lower` and `upper`, on a linear or log scale, rounded to multiples of `q`."""

    lower: float
    upper: float
    log: bool = False
    q: float | None = None

    @property
    def name(self) -> str:
        return ("q" if self.q is not None else "") + ("loguniform" if self.log else "uniform")

    @property
    def args(self) -> list[Any]:
        return [self.lower, self.upper] + ([] if self.q is None else [self.q])

    def problems(self) -> list[str]:
        found = _bad_bounds(self, _is_number, "a number")
        if found or self.q is None:
            return found
        if not _is_number(self.q) or not 0 < self.q < math.inf:
            return [f"q is {self.q!r}; it must be a number above 0"]
        return [
            f"{side} is {bound}, which is not a multiple of q = {self.q}"
            for side, bound in (("lower", self.lower), ("upper", self.upper))
            if not math.isclose(bound / self.q, round(bound / self.q), abs_tol=1e-9)
        ]

    def from_unit(self, unit: float) -> float:
        if self.log:
            low, high = math.log(self.lower), math.log(self.upper)
            value = math.exp(low + unit * (high - low))
        else:
            value = self.lower + unit * (self.upper - self.lower)
        return self.snap(value)

    def snap(self, value: float) -> float:
        """The nearest value of this domain."""
        value = min(max(value, self.lower), self.upper)
        return float(value) if self.q is None else _on_grid(round(value / self.q), self.q)

    def to_unit(self, value: float) -> float:
        if self.lower == self.upper:
            return 0.5
        if self.log:
            low, high = math.log(self.lower), math.log(self.upper)
            unit = (math.log(max(value, self.lower)) - low) / (high - low)
        else:
            unit = (value - self.lower) / (self.upper - self.lower)
        return min(max(unit, 0.0), 1.0)

    def contains(self, value: Any) -> bool:
        if not _is_number(value) or not math.isfinite(value):
            return False
        slack = 1e-9 * max(abs(self.lower), abs(self.upper))
        if not self.lower - slack <= value <= self.upper + slack:
            return False
        return self.q is None or math.isclose(self.snap(value), value, abs_tol=1e-9 * self.q)


@dataclass(frozen=True)
class Normal(Numeric):
    """Floats around `mean` with standard deviation `sd`, rounded to multiples of `q`."""

    mean: float = 0.0
    sd: float = 1.0
    q: float | None = None

    @property
    def name(self) -> str:
        return "randn" if self.q is None else "qrandn"

    @property
    def args(self) -> list[Any]:
        return [self.mean, self.sd] + ([] if self.q is None else [self.q])

    def problems(self) -> list[str]:
        found = []
        if not _is_number(self.mean) or not math.isfinite(self.mean):
            found.append(f"mean is {self.mean!r}; it must be a finite number")
        for name, value in (("sd", self.sd), ("q", self.q)):
            if value is not None and (not _is_number(value) or not 0 < value < math.inf):
                found.append(f"{name} is {value!r}; it must be a number above 0")
        return found

    def from_unit(self, unit: float) -> float:
        unit = min(max(unit, EDGE), 1 - EDGE)
        return self.snap(NormalDist(self.mean, self.sd).inv_cdf(unit))

    def snap(self, value: float) -> float:
        """The nearest value of this domain."""
        return float(value) if self.q is None else _on_grid(round(value / self.q), self.q)

    def to_unit(self, value: float) -> float:
        return min(max(NormalDist(self.mean, self.sd).cdf(value), EDGE), 1 - EDGE)

    def contains(self, value: Any) -> bool:
        if not _is_number(value) or not math.isfinite(value):
            return False
        return self.q is None or math.isclose(self.snap(value), value, abs_tol=1e-9 * self.q)


@dataclass(frozen=True)
class Integer(Numeric):
    """Whole numbers from `lower` to below `upper`; with `q` the multiples of it, `upper` included
    (but for q = 1, as in Ray Tune)."""

    lower: int
    upper: int
    log: bool = False
    q: int | None = None

    @property
    def name(self) -> str:
        return ("q" if self.q is not None else "") + ("lograndint" if self.log else "randint")

    @property
    def args(self) -> list[Any]:
        return [self.lower, self.upper] + ([] if self.q is None else [self.q])

    @property
    def step(self) -> int:
        return 1 if self.q is None else self.q

    @property
    def first(self) -> int:
        """The lowest value, in steps."""
        return -(-self.lower // self.step)

    @property
    def end(self) -> int:
        """One past the highest value, in steps."""
        return self.upper if self.step == 1 else self.upper // self.step + 1

    def problems(self) -> list[str]:
        found = _bad_bounds(self, _is_whole, "a whole number")
        if found:
            return found
        if not _is_whole(self.step) or self.step < 1:
            return [f"q is {self.q!r}; it must be a whole number from 1 on"]
        if self.end <= self.first:
            if self.step == 1:
                return [f"no whole number lies from {self.lower} to below {self.upper}"]
            return [f"no multiple of q = {self.q} lies between {self.lower} and {self.upper}"]
        return []

    def from_unit(self, unit: float) -> int:
        if self.log:
            low, high = math.log(self.first), math.log(self.end)
            index = math.floor(math.exp(low + unit * (high - low)))
        else:
            index = math.floor(self.first + unit * (self.end - self.first))
        return min(max(index, self.first), self.end - 1) * self.step

    def to_unit(self, value: float) -> float:
        index = min(max(round(value / self.step), self.first), self.end - 1)
        if not self.log:
            return (index + 0.5 - self.first) / (self.end - self.first)
        low, high = math.log(self.first), math.log(self.end)
        return ((math.log(index) + math.log(index + 1)) / 2 - low) / (high - low)

    def contains(self, value: Any) -> bool:
        if not _is_number(value) or value != math.floor(value) or value % self.step:
            return False
        return bool(self.first <= value // self.step < self.end)


def _bad_bounds(domain: Real | Integer, valid: Callable[[object], bool], kind: str) -> list[str]:
    found = [
        f"{side} is {bound!r}; it must be {kind}"
        for side, bound in (("lower", domain.lower), ("upper", domain.upper))
        if not valid(bound) or not math.isfinite(bound)
    ]
    if found:
        return found
    if domain.lower > domain.upper:
        return [f"lower is {domain.lower} and upper is {domain.upper}; swap them"]
    if domain.log and domain.lower <= 0:
        return [
            f"lower is {domain.lower}; a log scale needs a bound above 0"
            " (give the value itself, not its logarithm)"
        ]
    return []
