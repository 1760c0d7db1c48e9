"""The domains a parameter can be drawn from, with Ray Tune 2.60's names, signatures and meaning."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem
from tunerl.space.numeric import Domain, Integer, Normal, Real


@dataclass(frozen=True)
class Choice(Domain):
    """One of `options`, with equal chances; an option may hold domains of its own."""

    options: tuple[Any, ...]

    @property
    def name(self) -> str:
        return "choice"

    @property
    def args(self) -> list[Any]:
        return list(self.options)

    def problems(self) -> list[str]:
        return [] if self.options else [f"{self.name} of nothing; give it at least one value"]


@dataclass(frozen=True)
class Grid(Choice):
    """Each of `options` in turn; several grids multiply."""

    @property
    def name(self) -> str:
        return "grid_search"


@dataclass(frozen=True)
class SampleFrom(Domain):
    """What `func` returns for the configuration so far; not JSON."""

    func: Any

    @property
    def name(self) -> str:
        return "sample_from"

    @property
    def args(self) -> list[Any]:
        return [getattr(self.func, "__qualname__", repr(self.func))]

    def problems(self) -> list[str]:
        if not callable(self.func):
            return [f"sample_from takes a function, not {self.func!r}"]
        if self.arity is None:
            return ["sample_from takes a function of one argument (the configuration) or of none"]
        return []

    @property
    def arity(self) -> int | None:
        """1, 0, or None where the function takes neither."""
        try:
            signature = inspect.signature(self.func)
        except (TypeError, ValueError):  # a builtin that does not tell
            return 1
        for arguments in ((None,), ()):
            try:
                signature.bind(*arguments)
            except TypeError:
                continue
            return len(arguments)
        return None


@dataclass(frozen=True)
class When(Domain):
    """`then` where the parameter at `path` ("a/b") has one of `values`; else no such key."""

    path: str
    values: tuple[Any, ...]
    then: Any

    @property
    def name(self) -> str:
        return "when"

    @property
    def args(self) -> list[Any]:
        return [self.path, list(self.values), self.then]

    def problems(self) -> list[str]:
        return [] if self.values else ["when is given no value of the other parameter to wait for"]


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


_UNUSED = object()


def _no_base(base: object) -> None:
    if base is not _UNUSED:
        warnings.warn(
            "`base` has no effect on what is sampled, in Ray Tune neither; leave it out",
            DeprecationWarning,
            stacklevel=3,
        )


def _whole(value: Any) -> Any:
    """1e6 as 1000000; anything else as it is, for `Integer.problems` to name."""
    value = _plain(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def uniform(lower: float, upper: float) -> Real:
    """Floats between `lower` and `upper`."""
    return Real(_plain(lower), _plain(upper))


def quniform(lower: float, upper: float, q: float) -> Real:
    """`uniform`, rounded to multiples of `q`; `upper` included."""
    return Real(_plain(lower), _plain(upper), q=_plain(q))


def loguniform(lower: float, upper: float, base: object = _UNUSED) -> Real:
    """Floats between `lower` and `upper` whose logarithm is uniform."""
    _no_base(base)
    return Real(_plain(lower), _plain(upper), log=True)


def qloguniform(lower: float, upper: float, q: float, base: object = _UNUSED) -> Real:
    """`loguniform`, rounded to multiples of `q`; `upper` included."""
    _no_base(base)
    return Real(_plain(lower), _plain(upper), log=True, q=_plain(q))


def randn(mean: float = 0.0, sd: float = 1.0) -> Normal:
    """Floats from a normal distribution."""
    return Normal(_plain(mean), _plain(sd))


def qrandn(mean: float, sd: float, q: float) -> Normal:
    """`randn`, rounded to multiples of `q`."""
    return Normal(_plain(mean), _plain(sd), _plain(q))


def randint(lower: int, upper: int) -> Integer:
    """Whole numbers from `lower` to below `upper`."""
    return Integer(_whole(lower), _whole(upper))


def qrandint(lower: int, upper: int, q: int = 1) -> Integer:
    """Multiples of `q` from `lower` to `upper`, which is included unless q is 1."""
    return Integer(_whole(lower), _whole(upper), q=_whole(q))


def lograndint(lower: int, upper: int, base: object = _UNUSED) -> Integer:
    """`randint` on a log scale."""
    _no_base(base)
    return Integer(_whole(lower), _whole(upper), log=True)


def qlograndint(lower: int, upper: int, q: int, base: object = _UNUSED) -> Integer:
    """`qrandint` on a log scale."""
    _no_base(base)
    return Integer(_whole(lower), _whole(upper), log=True, q=_whole(q))


def choice(categories: Sequence[Any]) -> Choice:
    """One of `categories`, each as likely as another; they may be dicts that hold domains.

    Raises `InvalidSpace` for what is no list of values.
    """
    return Choice(tuple(_values("choice", categories)))


def grid_search(values: Iterable[Any]) -> dict[str, list[Any]]:
    """Each of `values` in turn, in Ray Tune's own form ``{"grid_search": [...]}``.

    Raises `InvalidSpace` for what is no list of values, such as a domain.
    """
    return {"grid_search": list(_values("grid_search", values))}


def _values(word: str, given: Any) -> Iterable[Any]:
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        return given
    message = f"{word} takes a list of values, not {given!r}"
    if isinstance(given, Domain):
        message += "; a range cannot be listed: give some of its values, or the range alone"
    raise InvalidSpace(Problem("", message))


def sample_from(func: Callable[..., Any]) -> SampleFrom:
    """What `func(config)` (or `func()`) returns; `config` also answers as Ray's `spec.config.x`."""
    return SampleFrom(func)


def when(path: str, equals: Any, then: Any) -> When:
    """`then` where the parameter at `path` equals `equals`, or one of them if that is a list.

    Else the key is absent. `path` is counted from the root ("a/b"); `then` is a domain, a constant
    or a dict of them.
    """
    values = equals if isinstance(equals, list | tuple) else (equals,)
    return When(path, tuple(values), then)
