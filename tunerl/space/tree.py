"""A search space as a tree: dicts and lists whose leaves are constants and domains.

`parse` brings every accepted form (ours, Ray Tune's objects, ``{"grid_search": [...]}``) into it;
after that lists are lists, scalars are Python's own, and every special leaf is a `Domain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunerl.errors import Problem, nearest
from tunerl.space.domains import Choice, Grid, SampleFrom, When
from tunerl.space.numeric import Domain, Integer, Normal, Numeric, Real

Tree = Any
RAY = "ray.tune."


def join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def parse(node: Any) -> Tree:
    """The tree that `node` describes. Nothing is validated; see `problems`."""
    if isinstance(node, Choice):
        return replace(node, options=tuple(parse(option) for option in node.options))
    if isinstance(node, When):
        values = tuple(parse(value) for value in node.values)
        return replace(node, values=values, then=parse(node.then))
    if isinstance(node, Domain):
        return node
    if _is_ray(node):
        return _from_ray(node)
    if isinstance(node, Mapping):
        if set(node) == {"grid_search"} and not isinstance(node["grid_search"], str):
            return Grid(tuple(parse(option) for option in node["grid_search"]))
        return {key: parse(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [parse(value) for value in node]
    return node.item() if isinstance(node, np.generic) else node


def _is_ray(node: Any) -> bool:
    return any(
        cls.__module__.startswith(RAY) and cls.__name__ == "Domain" for cls in type(node).__mro__
    )


def _from_ray(node: Any) -> Domain:
    """One of ``ray.tune``'s domains, read by its attributes (ray is not imported)."""
    sampler, q = node.sampler, None
    if type(sampler).__name__ == "Quantized":
        sampler, q = sampler.sampler, sampler.q
    log = "LogUniform" in type(sampler).__name__
    kinds = [cls.__name__ for cls in type(node).__mro__]
    if "Categorical" in kinds:
        options = tuple(parse(option) for option in node.categories)
        return Grid(options) if type(sampler).__name__ == "Grid" else Choice(options)
    if "Integer" in kinds:
        return Integer(int(node.lower), int(node.upper), log, q)
    if "Function" in kinds:
        return SampleFrom(node.func)
    if "Normal" in type(sampler).__name__:
        return Normal(float(sampler.mean), float(sampler.sd), q)
    return Real(float(node.lower), float(node.upper), log, q)


def copy(node: Tree) -> Tree:
    """Fresh dicts and lists; domains and other leaves are shared."""
    if isinstance(node, dict):
        return {key: copy(value) for key, value in node.items()}
    if isinstance(node, list):
        return [copy(value) for value in node]
    return node


def has_domains(node: Tree) -> bool:
    return next(leaves(node), None) is not None


def leaves(node: Tree, path: str = "") -> Iterator[tuple[str, Domain]]:
    """The domains of a tree by path, not those inside other domains."""
    if isinstance(node, Domain):
        yield path, node
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, join(path, key))


def domains(node: Tree, path: str = "") -> Iterator[tuple[str, Domain]]:
    """All domains by name: the path, with ``[i]`` after a choice for what its option i holds."""
    for name, domain in leaves(node, path):
        if isinstance(domain, When):
            yield from domains(domain.then, name)
            continue
        yield name, domain
        if isinstance(domain, Choice):
            for index, option in enumerate(domain.options):
                yield from domains(option, f"{name}[{index}]")


def problems(node: Tree, path: str = "", inside: str | None = None) -> Iterator[Problem]:
    """All that makes a tree impossible to sample. `inside`: the domain that encloses it."""
    if isinstance(node, dict):
        if len(node) == 1 and isinstance(node.get("eval"), str):
            yield Problem(path, "Ray's {'eval': ...} is not evaluated; use sample_from or when")
        for key, value in node.items():
            if not isinstance(key, str):
                yield Problem(join(path, key), f"a key must be a string; this one is {key!r}")
            yield from problems(value, join(path, key), inside)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, When):
                yield Problem(join(path, index), "when cannot stand in a list, only under a key")
            yield from problems(value, join(path, index), inside)
    elif isinstance(node, Domain):
        yield from (Problem(path, message) for message in node.problems())
        if isinstance(node, Grid) and inside not in (None, "grid_search"):
            yield Problem(
                path, f"grid_search inside {inside} is not a grid; use choice, or grid the whole"
            )
        if isinstance(node, Choice):
            for index, option in enumerate(node.options):
                yield from problems(option, f"{path}[{index}]", node.name)
                if isinstance(option, When):
                    yield Problem(f"{path}[{index}]", "when cannot be an option, only stand in one")
        elif isinstance(node, When):
            yield from problems(node.then, path, node.name)


def matches(node: Tree, value: Any) -> bool:
    """Whether `value` (perhaps only a part of it, where it is a dict) can come from `node`."""
    if isinstance(node, Choice):
        return any(matches(option, value) for option in node.options)
    if isinstance(node, When):
        return matches(node.then, value)
    if isinstance(node, Numeric):
        return node.contains(value)
    if isinstance(node, SampleFrom):
        return True
    if isinstance(node, dict):
        return isinstance(value, dict) and all(
            key in node and matches(node[key], part) for key, part in value.items()
        )
    if isinstance(node, list):
        return (
            isinstance(value, list)
            and len(value) == len(node)
            and all(matches(part, given) for part, given in zip(node, value, strict=True))
        )
    return same(node, value)


def same(one: Any, other: Any) -> bool:
    """Equality as JSON sees it: 1 and 1.0 are the same, 1 and True are not."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one is other or np.all(one == other))


def pick(domain: Choice, value: Any) -> int | None:
    """The index of the option that `value` is (a part of): an exact match before a partial one."""
    for test in (_complete, matches):
        for index, option in enumerate(domain.options):
            if test(option, value):
                return index
    return None


def _complete(option: Tree, value: Any) -> bool:
    if isinstance(option, Choice):
        return any(_complete(inner, value) for inner in option.options)
    if isinstance(option, When):
        return _complete(option.then, value)
    if isinstance(option, dict) and isinstance(value, dict):
        needed = {key for key, part in option.items() if not isinstance(part, When)}
        return needed <= value.keys() <= option.keys() and all(
            _complete(option[key], part) for key, part in value.items()
        )
    return matches(option, value)


def fix(node: Tree, value: Any, path: str, report: Callable[[str, str], None]) -> Tree:
    """`node` with the parts that `value` gives held constant; misfits go to `report`."""
    if isinstance(node, When):
        return replace(node, then=fix(node.then, value, path, report))
    if isinstance(node, Choice):
        index = pick(node, value)
        if index is None:
            report(path, f"{value!r} is none of {list(node.options)}")
            return node
        option = node.options[index]
        return fix(option, value, path, report) if has_domains(option) else option
    if isinstance(node, dict) and isinstance(value, dict):
        for key in value.keys() - node.keys():
            report(join(path, key), "there is no such parameter; " + nearest(key, node))
        return {
            key: fix(part, value[key], join(path, key), report) if key in value else part
            for key, part in node.items()
        }
    if isinstance(node, list) and isinstance(value, list) and len(node) == len(value):
        pairs = enumerate(zip(node, value, strict=True))
        return [fix(part, given, join(path, index), report) for index, (part, given) in pairs]
    if not matches(node, value):
        what = f"not in {node}" if isinstance(node, Domain) else f"not {node!r}, which is constant"
        report(path, f"{value!r} is {what}")
    return value
