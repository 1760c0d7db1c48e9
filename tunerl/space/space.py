"""`Space`: a validated search space that samples configurations and reads them back.

Invariant: sampling is a pure function of the generator it is given (and of the grid variant).
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem, nearest
from tunerl.space import tree as trees
from tunerl.space.domains import Choice, Grid, SampleFrom, When
from tunerl.space.numeric import Domain, Numeric
from tunerl.space.resolve import Random, Slot, Source, View, resolve
from tunerl.trial import Config


class Space:
    """A search space.

    `tree`: a dict (nested at will) of constants and domains, ours or Ray Tune's. Raises
    `InvalidSpace` with everything that is wrong with it, each under its path.
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        if not isinstance(tree, Mapping):
            raise InvalidSpace(f"a search space is a dict, not {type(tree).__name__}")
        parsed = trees.parse(tree)
        if isinstance(parsed, Domain):  # {"grid_search": [...]} alone
            raise InvalidSpace(f"a search space is a dict of parameters, not one {parsed.name}")
        found = [*trees.problems(parsed), *_dangling(parsed)]
        if found:
            raise InvalidSpace(found)
        self.tree: dict[str, Any] = parsed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.tree == other.tree

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Space({self.tree!r})"

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """All domains by name: ``a/b``, and ``a[1]/b`` for what option 1 of choice `a` holds."""
        return dict(trees.domains(self.tree))

    @property
    def searched(self) -> list[str]:
        """Paths, such as ``model/fcnet_hiddens``, of what may differ between configurations."""
        return list(dict.fromkeys(re.sub(r"\[\d+\]", "", name) for name in self.domains))

    def drawn(self, config: Config) -> Config:
        """Of a configuration only what was searched, flat, without what its choices left out."""
        found: Config = {}
        for path in self.searched:
            with contextlib.suppress(LookupError):
                found[path] = look_up(config, path)
        return found

    @property
    def constant(self) -> bool:
        """Whether there is nothing to search: every configuration would be the same."""
        return not trees.has_domains(self.tree)

    def check(self, num_samples: int) -> None:
        """Raise `InvalidSpace` where all of several trials would be identical."""
        if self.constant and num_samples != 1:
            count = "an endless number of" if num_samples < 0 else str(num_samples)
            raise InvalidSpace(
                Problem(
                    "param_space",
                    f"there is nothing to search, so {count} trials would be identical; "
                    "give a parameter a domain such as uniform(0, 1), or use num_samples=1 "
                    "(and num_seeds to judge one configuration on several seeds)",
                )
            )

    @cached_property
    def _grid(self) -> list[tuple[str, list[dict[str, int]]]]:
        """Each grid's picks by name (with those of grids inside its options), sorted by path."""
        return sorted(_grids(self.tree, ""), key=lambda entry: entry[0].split("/"))

    @property
    def grid_size(self) -> int:
        """How many combinations the grids have; 1 where there is none."""
        return math.prod(len(picks) for _, picks in self._grid)

    def sample(self, rng: np.random.Generator) -> Config:
        """One configuration; grids are drawn from like choices."""
        return resolve(self.tree, Random(rng))

    def variant(self, index: int, rng: np.random.Generator) -> Config:
        """Combination `index` of the grids, everything else drawn from `rng`.

        The grid whose path sorts first turns fastest, as in Ray Tune.
        """
        if not 0 <= index < self.grid_size:
            raise IndexError(f"variant {index} of a grid of {self.grid_size}")
        chosen: dict[str, int] = {}
        for _, picks in self._grid:
            index, digit = divmod(index, len(picks))
            chosen |= picks[digit]
        return resolve(self.tree, Random(rng, chosen))

    def draw(self, source: Source) -> Config:
        """One configuration with every value from `source`."""
        return resolve(self.tree, source)

    def fix(self, point: Mapping[str, Any]) -> Space:
        """This space with the parameters that `point` gives held constant.

        `point` is nested or flat (``{"a/b": 1}``), a part of a configuration or all of it. Raises
        `InvalidSpace` for a parameter that does not exist and a value that is not in its domain.
        """
        found: list[Problem] = []
        nested = trees.parse(unflatten(point))
        fixed = trees.fix(
            self.tree, nested, "", lambda path, message: found.append(Problem(path, message))
        )
        if found:
            raise InvalidSpace(found)
        return Space(fixed)

    def read(self, config: Mapping[str, Any]) -> dict[str, tuple[Domain, Any]]:
        """What was drawn for `config`: the domain and value (of a choice: the index) by name.

        Raises `InvalidSpace` where the configuration is not of this space.
        """
        given = trees.parse(config)
        reader = _Read(given)
        drawn = resolve(self.tree, reader)
        if reader.misfits:
            raise InvalidSpace(reader.misfits)
        if not trees.same(drawn, given):
            raise InvalidSpace(list(_differences(drawn, given, "")))
        return reader.found

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether `config` is a configuration of this space."""
        try:
            self.read(config)
        except InvalidSpace:
            return False
        return True


class _Read(Source):
    """Takes every value from a given configuration and remembers it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.found: dict[str, tuple[Domain, Any]] = {}
        self.misfits: list[Problem] = []

    def number(self, slot: Slot, domain: Numeric) -> Any:
        value = self._value(slot)
        if not domain.contains(value):
            self.misfits.append(Problem(slot.path, f"{value!r} is not in {domain}"))
        self.found[slot.name] = domain, value
        return value

    def option(self, slot: Slot, domain: Choice) -> int:
        value = self._value(slot)
        index = trees.pick(domain, value)
        if index is None:
            self.misfits.append(Problem(slot.path, f"{value!r} is none of {list(domain.options)}"))
            raise InvalidSpace(self.misfits)
        self.found[slot.name] = domain, index
        return index

    def function(self, slot: Slot, domain: SampleFrom, config: View) -> Any:
        return self._value(slot)

    def _value(self, slot: Slot) -> Any:
        try:
            return look_up(self.config, slot.path)
        except LookupError:
            self.misfits.append(Problem(slot.path, "the configuration has no such value"))
            raise InvalidSpace(self.misfits) from None


def look_up(node: Any, path: str) -> Any:
    """The part of a nested configuration at `path`. Raises `LookupError`."""
    for part in path.split("/"):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise LookupError(path)
    return node


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a/b": 1}`` as ``{"a": {"b": 1}}``; what is nested already stays so."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = str(key).split("/")
        box = nested
        for part in parents:
            box = box.setdefault(part, {})
        inner = unflatten(value) if isinstance(value, Mapping) else value
        if isinstance(inner, dict) and isinstance(box.get(last), dict):
            box[last] |= inner
        else:
            box[last] = inner
    return nested


def _grids(node: Any, name: str) -> Iterator[tuple[str, list[dict[str, int]]]]:
    for path, domain in trees.leaves(node, name):
        if not isinstance(domain, Grid):
            continue
        picks = []
        for index, option in enumerate(domain.options):
            combined = [{path: index}]
            for _, inner in _grids(option, f"{path}[{index}]"):
                combined = [outer | more for more in inner for outer in combined]
            picks += combined
        yield path, picks


def _paths(node: Any, path: str = "") -> Iterator[str]:
    """Every path a configuration may have."""
    if path:
        yield path
    if isinstance(node, When):
        yield from _paths(node.then, path)
    elif isinstance(node, Choice):
        for option in node.options:
            yield from _paths(option, path)
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _paths(value, trees.join(path, key))


def _dangling(node: Any) -> Iterator[Problem]:
    """Every `when` that waits for a parameter that cannot exist."""
    paths = set(_paths(node))
    open_ended = {name for name, domain in trees.domains(node) if isinstance(domain, SampleFrom)}
    for name, domain in _whens(node, ""):
        opaque = any(domain.path.startswith(f"{path}/") for path in open_ended)
        if domain.path not in paths and not opaque:
            yield Problem(
                name,
                f"when waits for {domain.path!r}, which is not there; "
                + nearest(domain.path, paths),
            )


def _whens(node: Any, path: str) -> Iterator[tuple[str, When]]:
    for name, domain in trees.leaves(node, path):
        if isinstance(domain, When):
            yield name, domain
            yield from _whens(domain.then, name)
        elif isinstance(domain, Choice):
            for index, option in enumerate(domain.options):
                yield from _whens(option, f"{name}[{index}]")


def _differences(drawn: Any, given: Any, path: str) -> Iterator[Problem]:
    if isinstance(drawn, dict) and isinstance(given, dict):
        for key in given.keys() - drawn.keys():
            yield Problem(
                trees.join(path, key), "there is no such parameter; " + nearest(key, drawn)
            )
        for key in drawn:
            if key not in given:
                yield Problem(trees.join(path, key), "the configuration has no such value")
            else:
                yield from _differences(drawn[key], given[key], trees.join(path, key))
    elif not trees.same(drawn, given):
        yield Problem(path, f"{given!r} is not {drawn!r}, which is constant")
