"""Between search spaces and Ray Tune's: domains there, configurations back.

Ray is never imported here: who holds one of its searchers has loaded its domains already.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, Problem
from tunerl.space import Choice, Domain, Grid, Numeric, SampleFrom, When
from tunerl.space.tree import join

DOMAINS = "ray.tune.search.sample"


def to_foreign(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A search space in Ray's domains; in ours where Ray is not loaded.

    Raises `InvalidSpace` for grids and conditions, for which Ray's searchers have no place.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = _translate(tree, "", sys.modules.get(DOMAINS), problems)
    if problems:
        raise InvalidSpace(problems)
    return found


def _translate(node: Any, path: str, sample: Any, problems: list[Problem]) -> Any:
    if isinstance(node, Mapping):
        return {k: _translate(v, join(path, k), sample, problems) for k, v in node.items()}
    if isinstance(node, list):
        inner = enumerate(node)
        return [_translate(value, join(path, index), sample, problems) for index, value in inner]
    if isinstance(node, Grid | When):
        message = f"{node.name} has no counterpart in this searcher; use choice, or OptunaSearch"
        problems.append(Problem(path, message))
        return None
    if not isinstance(node, Domain) or sample is None:
        return copy.deepcopy(node)
    if isinstance(node, Choice):
        options = [
            _translate(option, f"{path}[{index}]", sample, problems)
            for index, option in enumerate(node.options)
        ]
        return sample.choice(options)
    if isinstance(node, SampleFrom):
        return sample.sample_from(node.func)
    assert isinstance(node, Numeric)
    return getattr(sample, node.name)(*node.args)


def constants(tree: Any) -> Any:
    """What of a search space is the same in every configuration."""
    if not isinstance(tree, Mapping):
        return copy.deepcopy(tree)
    return {key: constants(value) for key, value in tree.items() if not isinstance(value, Domain)}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `over`, at any depth; ``a/b`` is the same as nesting."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        first, slash, rest = str(key).partition("/")
        if slash:
            value = {rest: value}
        if isinstance(value, Mapping):
            inner = merged.get(first)
            merged[first] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[first] = value
    return merged


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's own, at any depth."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
