"""From a tree to one configuration: every domain is replaced by what a `Source` draws for it.

Order: all domains of a level, then what they brought with them, then `when`, then functions; so a
configuration depends on nothing but the tree and the source.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem, nearest
from tunerl.space.domains import Choice, Grid, SampleFrom, When
from tunerl.space.numeric import Domain, Numeric
from tunerl.space.tree import Tree, copy, join, parse, same
from tunerl.trial import Config


@dataclass(frozen=True, eq=False)
class Slot:
    """A domain in its place. `name`: the path, with ``[i]`` after a choice that took option i."""

    box: Any
    key: Any
    path: str
    name: str

    @property
    def domain(self) -> Domain:
        found: Domain = self.box[self.key]
        return found


class Source(ABC):
    """Where the values of a configuration come from."""

    @abstractmethod
    def number(self, slot: Slot, domain: Numeric) -> Any: ...

    @abstractmethod
    def option(self, slot: Slot, domain: Choice) -> int: ...

    @abstractmethod
    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any: ...


class Random(Source):
    """Draws from `rng`; grid slots take the options of `variant` in their order of arrival."""

    def __init__(self, rng: np.random.Generator, variant: dict[str, int] | None = None) -> None:
        self.rng, self.variant = rng, variant or {}

    def number(self, slot: Slot, domain: Numeric) -> Any:
        return domain.sample(self.rng)

    def option(self, slot: Slot, domain: Choice) -> int:
        if slot.name in self.variant and isinstance(domain, Grid):
            return self.variant[slot.name]
        return int(self.rng.integers(len(domain.options)))

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        return call(domain, config, self.rng)


def call(domain: SampleFrom, config: View, rng: np.random.Generator) -> Any:
    """What the function returns; its ``random`` and ``np.random`` draw from `rng` meanwhile."""
    with global_random(int(rng.integers(2**32))):
        return domain.func(config) if domain.arity else domain.func()


@contextmanager
def global_random(seed: int) -> Iterator[None]:
    """Python's and NumPy's global generators seeded for a while, and put back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class Unresolved(Exception):
    """A function asked for a value that is not drawn yet."""


class View(dict[str, Any]):
    """The configuration so far, for `sample_from`: ``c["x"]``, ``c.x`` and Ray's ``c.config.x``."""

    def __init__(self, node: dict[str, Any]) -> None:
        super().__init__(
            (key, View(value) if isinstance(value, dict) else value)
            for key, value in node.items()
            if not isinstance(value, Domain)
        )
        self._pending = {key for key, value in node.items() if isinstance(value, Domain)}

    def __missing__(self, key: str) -> Any:
        if key in self._pending:
            raise Unresolved(key)
        raise KeyError(f"the configuration has no {key!r}; " + nearest(key, self))

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self or key in self._pending else default

    def __getattr__(self, key: str) -> Any:
        if key in self or key in self._pending:
            return self[key]
        if key == "config":
            return self
        raise AttributeError(f"the configuration has no {key!r}; " + nearest(key, self))


def slots(box: Any, key: Any, path: str, name: str) -> Iterator[Slot]:
    """The domains in ``box[key]``, in order of declaration."""
    node = box[key]
    if isinstance(node, Domain):
        yield Slot(box, key, path, name)
    elif isinstance(node, dict | list):
        for part in list(node) if isinstance(node, dict) else range(len(node)):
            yield from slots(node, part, join(path, part), join(name, part))


def resolve(tree: Tree, source: Source) -> Config:
    """One configuration. Raises `InvalidSpace` where parameters wait for one another."""
    box = [copy(tree)]
    waiting = list(slots(box, 0, "", ""))
    while waiting:
        ready = [slot for slot in waiting if not isinstance(slot.domain, When | SampleFrom)]
        if ready:
            done = {slot: list(_draw(slot, source)) for slot in ready}
        else:
            root: dict[str, Any] = box[0]
            done = _conditions(waiting, root) or _functions(waiting, root, source)
        if not done:
            raise InvalidSpace(
                [Problem(slot.path, "waits for a parameter that waits for it") for slot in waiting]
            )
        waiting = [new for slot in waiting for new in done.get(slot, [slot])]
    result: Config = box[0]
    return result


def _draw(slot: Slot, source: Source) -> Iterator[Slot]:
    domain, name = slot.domain, slot.name
    if isinstance(domain, Numeric):
        slot.box[slot.key] = source.number(slot, domain)
    elif isinstance(domain, Choice):
        index = source.option(slot, domain)
        slot.box[slot.key], name = copy(domain.options[index]), f"{name}[{index}]"
    yield from slots(slot.box, slot.key, slot.path, name)


def _conditions(waiting: list[Slot], root: dict[str, Any]) -> dict[Slot, list[Slot]]:
    done = {}
    for slot in waiting:
        domain = slot.domain
        if not isinstance(domain, When):
            continue
        try:
            value = _look_up(root, domain.path)
        except Unresolved:
            continue
        except (LookupError, TypeError):
            holds = False
        else:
            holds = any(same(value, wanted) for wanted in domain.values)
        if holds:
            slot.box[slot.key] = copy(domain.then)
            done[slot] = list(slots(slot.box, slot.key, slot.path, slot.name))
        else:
            del slot.box[slot.key]
            done[slot] = []
    return done


def _look_up(root: Any, path: str) -> Any:
    for part in path.split("/"):
        root = root[int(part)] if isinstance(root, list) and part.isdigit() else root[part]
        if isinstance(root, Domain):
            raise Unresolved(path)
    return root


def _functions(waiting: list[Slot], root: dict[str, Any], source: Source) -> dict[Slot, list[Slot]]:
    done = {}
    for slot in waiting:
        domain = slot.domain
        if not isinstance(domain, SampleFrom):
            continue
        try:
            value = source.function(slot, domain, View(root))
        except Unresolved:
            continue
        except InvalidSpace:
            raise
        except Exception as error:
            raise InvalidSpace(
                Problem(slot.path, f"sample_from failed: {type(error).__name__}: {error}")
            ) from error
        slot.box[slot.key] = parse(value)
        done[slot] = list(slots(slot.box, slot.key, slot.path, slot.name))
    return done
