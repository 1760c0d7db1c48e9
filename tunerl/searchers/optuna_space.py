"""Between search spaces and Optuna's parameters: draw a configuration, and read one back.

Reading is the inverse of drawing, so the history of configurations is all a study is made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tunerl.errors import InvalidSpace, Problem, nearest
from tunerl.space import Choice, Integer, Normal, Numeric, Real, SampleFrom, Space
from tunerl.space.resolve import Slot, Source, View, call
from tunerl.space.space import look_up, unflatten
from tunerl.space.tree import join, parse, pick
from tunerl.trial import Config

TAIL = 1e-6  # a normal domain is searched between these quantiles
Params = tuple[dict[str, Any], dict[str, BaseDistribution]]


def distribution(domain: Numeric | Choice) -> BaseDistribution:
    """The Optuna distribution that stands for a domain.

    Whole numbers are counted in steps of `q`; a normal domain is its quantiles; on a log scale
    with `q`, which Optuna lacks, values are rounded afterwards.
    """
    if isinstance(domain, Integer):
        return IntDistribution(domain.first, domain.end - 1, log=domain.log)
    if isinstance(domain, Real):
        step = None if domain.log else domain.q
        return FloatDistribution(domain.lower, domain.upper, log=domain.log, step=step)
    if isinstance(domain, Normal):
        return FloatDistribution(TAIL, 1 - TAIL)
    if isinstance(domain, Choice):
        return CategoricalDistribution(labels(domain))
    raise TypeError(f"no Optuna distribution stands for {domain}")


def labels(domain: Choice) -> list[Any]:
    """The options as Optuna sees them: distinct scalars as they are, all else as 0, 1, ..."""
    options = list(domain.options)
    if all(option is None or isinstance(option, str | int | float) for option in options):
        distinct = set(options)
        if len(distinct) == len(options) and all(option == option for option in options):
            return options
    return list(range(len(options)))


def to_param(domain: Numeric, value: Any) -> Any:
    """The parameter that stands for a value."""
    if isinstance(domain, Integer):
        return int(value) // domain.step
    if isinstance(domain, Normal):
        return min(max(domain.to_unit(value), TAIL), 1 - TAIL)
    assert isinstance(domain, Real)
    return min(max(float(value), domain.lower), domain.upper)


def from_param(domain: Numeric, param: Any) -> Any:
    """The value that a parameter stands for."""
    if isinstance(domain, Integer):
        return int(param) * domain.step
    if isinstance(domain, Normal):
        return domain.from_unit(float(param))
    assert isinstance(domain, Real)
    return domain.snap(float(param))


def suggest(trial: optuna.Trial, name: str, kind: BaseDistribution) -> Any:
    """Ask for a parameter by its distribution."""
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
    if isinstance(kind, FloatDistribution):
        return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(name, kind.choices)
    raise TypeError(f"{kind} is not one of Optuna's float, int and categorical distributions")


class Adapter(ABC):
    """What the searcher needs of a space, be it a tree or a define-by-run function."""

    @abstractmethod
    def propose(
        self, trial: optuna.Trial, point: Mapping[str, Any], rng: np.random.Generator
    ) -> Config:
        """A configuration whose parameters come from `point`, where it has them, or `trial`."""

    @abstractmethod
    def read(self, config: Config) -> Params:
        """The parameters and distributions behind a configuration. Raises `InvalidSpace`."""


class TreeAdapter(Adapter):
    """A `Space`: parameters go by the names of its domains."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def propose(
        self, trial: optuna.Trial, point: Mapping[str, Any], rng: np.random.Generator
    ) -> Config:
        return self.space.draw(_Ask(trial, parse(unflatten(point)), rng))

    def read(self, config: Config) -> Params:
        params: dict[str, Any] = {}
        kinds: dict[str, BaseDistribution] = {}
        for name, (domain, value) in self.space.read(config).items():
            assert isinstance(domain, Numeric | Choice)
            kinds[name] = distribution(domain)
            params[name] = (
                labels(domain)[value] if isinstance(domain, Choice) else to_param(domain, value)
            )
        return params, kinds


class _Ask(Source):
    def __init__(self, trial: optuna.Trial, point: Config, rng: np.random.Generator) -> None:
        self.trial, self.point, self.rng = trial, point, rng

    def number(self, slot: Slot, domain: Numeric) -> Any:
        try:
            return look_up(self.point, slot.path)
        except LookupError:
            return from_param(domain, suggest(self.trial, slot.name, distribution(domain)))

    def option(self, slot: Slot, domain: Choice) -> int:
        try:
            index = pick(domain, look_up(self.point, slot.path))
        except LookupError:
            index = None
        if index is None:
            label = suggest(self.trial, slot.name, distribution(domain))
            return labels(domain).index(label)
        return index

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        try:
            return look_up(self.point, slot.path)
        except LookupError:
            return call(domain, config, self.rng)


DefineByRun = Callable[[Any], Mapping[str, Any] | None]


class FunctionAdapter(Adapter):
    """A define-by-run function; its parameters' names are paths, what it returns is constant."""

    def __init__(self, function: DefineByRun, constants: Config) -> None:
        self.function, self.constants = function, constants

    def propose(
        self, trial: optuna.Trial, point: Mapping[str, Any], rng: np.random.Generator
    ) -> Config:
        given = parse(unflatten(point))

        def answer(name: str, kind: BaseDistribution) -> Any:
            try:
                value = look_up(given, name)
            except LookupError:
                return suggest(trial, name, kind)
            return _checked(name, kind, value)

        captor = Captor(answer, trial.number)
        returned = self.function(captor)
        if returned is not None and not isinstance(returned, Mapping):
            raise InvalidSpace(
                "the define-by-run function must return a dict of constants or nothing, "
                f"not {type(returned).__name__}"
            )
        flat = {**self.constants, **captor.params, **(returned or {})}
        config: Config = parse(unflatten(flat))
        unused = [name for name in _flat(given) if name not in captor.params]
        if unused:
            raise InvalidSpace(
                [
                    Problem(name, "nothing asks for this; " + nearest(name, captor.params))
                    for name in unused
                ]
            )
        return config

    def read(self, config: Config) -> Params:
        def answer(name: str, kind: BaseDistribution) -> Any:
            try:
                value = look_up(config, name)
            except LookupError:
                raise InvalidSpace(Problem(name, "the configuration has no such value")) from None
            return _checked(name, kind, value)

        captor = Captor(answer, 0)
        self.function(captor)
        return captor.params, captor.kinds


def _checked(name: str, kind: BaseDistribution, value: Any) -> Any:
    try:
        valid = kind._contains(kind.to_internal_repr(value))
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InvalidSpace(Problem(name, f"{value!r} is not in {kind}"))
    return value


def _flat(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, join(path, key))
        else:
            yield join(path, key)


class Captor:
    """Stands for an Optuna trial before a define-by-run function and remembers what it asked."""

    def __init__(self, answer: Callable[[str, BaseDistribution], Any], number: int) -> None:
        self._answer, self.number = answer, number
        self.params: dict[str, Any] = {}
        self.kinds: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._ask(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self._ask(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._ask(name, CategoricalDistribution(choices))

    def _ask(self, name: str, kind: BaseDistribution) -> Any:
        if name not in self.params:
            self.params[name], self.kinds[name] = self._answer(name, kind), kind
        return self.params[name]
