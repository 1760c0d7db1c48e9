"""New configurations out of old ones: mutated parameters move a little, or are drawn anew. Pure.

Invariant: what comes out lies in its domain, whole numbers stay whole, and whatever has another
value to go to moves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem
from tunerl.space.domains import Choice, SampleFrom, When
from tunerl.space.numeric import Integer, Normal, Numeric, Real
from tunerl.space.resolve import Slot, Source, View, call, resolve
from tunerl.space.space import look_up
from tunerl.space.tree import Tree, has_domains, join, pick
from tunerl.trial import Config

NONE = object()  # no such value


@dataclass(frozen=True)
class Step:
    """How far a parameter moves. `factors`: one above, one below 1, each as likely as the other;
    `resample`: the chance of a value drawn anew instead."""

    factors: tuple[float, float] = (1.2, 0.8)
    resample: float = 0.25


class Changed(Source):
    """The values of `config`; those below the paths of `mutated` otherwise. What the
    configuration lacks (a choice went another way) is drawn."""

    def __init__(self, config: Config, mutated: Collection[str], rng: np.random.Generator) -> None:
        self.config, self.mutated, self.rng = config, mutated, rng

    def moves(self, path: str) -> bool:
        """Whether the parameter at `path` is mutated."""
        return any(path == one or path.startswith(f"{one}/") for one in self.mutated)

    def old(self, path: str) -> Any:
        try:
            return look_up(self.config, path)
        except LookupError:
            return NONE

    def number(self, slot: Slot, domain: Numeric) -> Any:
        old = self.old(slot.path)
        if old is NONE or isinstance(old, str | dict | list | bool | None):
            return domain.sample(self.rng)
        return self.new_number(slot.path, domain, old) if self.moves(slot.path) else old

    def option(self, slot: Slot, domain: Choice) -> int:
        old = self.old(slot.path)
        index = None if old is NONE else pick(domain, old)
        if index is None:
            return int(self.rng.integers(len(domain.options)))
        moves = self.moves(slot.path) and len(domain.options) > 1
        return self.new_option(slot.path, domain, index) if moves else index

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        old = self.old(slot.path)
        if old is NONE:
            return call(domain, config, self.rng)
        return self.new_value(domain, old, config) if self.moves(slot.path) else old

    def new_number(self, path: str, domain: Numeric, old: Any) -> Any:
        """Another number of the domain."""
        raise NotImplementedError

    def new_option(self, path: str, domain: Choice, index: int) -> int:
        """Another option than `index`."""
        raise NotImplementedError

    def new_value(self, domain: SampleFrom, old: Any, config: View) -> Any:
        """What the function makes of it."""
        return call(domain, config, self.rng)


class Perturbed(Changed):
    """PBT's exploration (Jaderberg et al., arXiv 1711.09846): numbers times a factor, options to a
    neighbour, or drawn anew."""

    def __init__(
        self, config: Config, mutated: Collection[str], rng: np.random.Generator, step: Step
    ) -> None:
        super().__init__(config, mutated, rng)
        self.step = step

    def _anew(self) -> bool:
        return bool(self.rng.random() < self.step.resample)

    def _factor(self) -> float:
        return self.step.factors[int(self.rng.integers(2))]

    def new_number(self, path: str, domain: Numeric, old: Any) -> Any:
        if self._anew():
            return domain.sample(self.rng)
        return moved(domain, old, self._factor(), self.step.factors)

    def new_option(self, path: str, domain: Choice, index: int) -> int:
        count = len(domain.options)
        if self._anew():
            return int(self.rng.integers(count))
        up = bool(self.rng.integers(2))
        if index in (0, count - 1):
            up = index == 0
        return index + (1 if up else -1)

    def new_value(self, domain: SampleFrom, old: Any, config: View) -> Any:
        number = isinstance(old, int | float) and not isinstance(old, bool)
        if self._anew() or not number:
            return call(domain, config, self.rng)
        factor = self._factor()
        return old * factor if isinstance(old, float) else _whole(old, factor)


def moved(domain: Numeric, old: float, factor: float, factors: tuple[float, float]) -> Any:
    """`old` times `factor`, within the domain; times the other factor where that leads nowhere."""
    others = [other for other in factors if other != factor]
    for tried in (factor, *others):
        value = _times(domain, old, tried)
        if value != old:
            return value
    return old


def _times(domain: Numeric, old: float, factor: float) -> Any:
    if isinstance(domain, Integer):
        first, last = domain.first, domain.end - 1
        index = min(max(_whole(round(old / domain.step), factor), first), last)
        return index * domain.step
    assert isinstance(domain, Real | Normal)
    value = old * factor
    if old == 0:  # a product would stay there for good
        width = domain.sd if isinstance(domain, Normal) else domain.upper - domain.lower
        value = (factor - 1) * width
    snapped = domain.snap(value)
    if snapped == old and domain.q is not None:
        snapped = domain.snap(old + math.copysign(domain.q, value - old))
    return snapped


def _whole(old: int, factor: float) -> int:
    """At least one up or down."""
    up = (factor > 1) == (old >= 0)
    value = round(old * factor)
    if value == old:
        value = old + (1 if up else -1)
    return value


def explore(tree: Tree, source: Changed) -> Config:
    """The configuration with the values of `source`; what is constant in the tree stays as the old
    configuration has it."""
    return _keep(source.config, resolve(tree, source), tree)


def _keep(old: Config, new: Config, tree: Tree) -> Config:
    made = {key: value for key, value in old.items() if key not in tree} | new
    for key, node in tree.items():
        if key not in old or (has_domains(node) and not isinstance(node, dict)):
            continue
        inner = isinstance(node, dict) and isinstance(old[key], dict) and key in new
        made[key] = _keep(old[key], new[key], node) if inner else old[key]
    return made


def overlay(tree: Tree, changes: Mapping[str, Any], path: str = "") -> Tree:
    """A space's tree with the domains of `changes` in their places, added where it has none.

    Raises `InvalidSpace` for one that lies within a choice.
    """
    made = dict(tree)
    for key, change in changes.items():
        where, old = join(path, key), made.get(key)
        if isinstance(change, Mapping) and isinstance(old, Choice):
            message = "lies within a choice; name the choice itself"
            raise InvalidSpace(Problem(where, message))
        if isinstance(change, Mapping):
            made[key] = overlay(old if isinstance(old, Mapping) else {}, change, where)
        else:
            made[key] = replace(old, then=change) if isinstance(old, When) else change
    return made


def missing(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    """A space's tree with those domains of `changes` for which it has no place."""
    made = dict(tree)
    for key, change in changes.items():
        if key not in made:
            made[key] = change
        elif isinstance(change, Mapping) and isinstance(made[key], Mapping):
            made[key] = missing(made[key], change)
    return made


def paths_of(changes: Mapping[str, Any], path: str = "") -> list[str]:
    """Where the domains of `changes` stand."""
    found = []
    for key, change in changes.items():
        where = join(path, key)
        found += paths_of(change, where) if isinstance(change, Mapping) else [where]
    return found
