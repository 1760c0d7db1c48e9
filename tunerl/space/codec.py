"""Search spaces as JSON and YAML, both ways.

A domain is an object with exactly one key, its name; any other object is a dict of parameters. A
constant dict that looks like a domain is wrapped: ``{"const": {...}}``.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from tunerl.errors import InvalidSpace, Problem
from tunerl.space import domains as words
from tunerl.space import tree as trees
from tunerl.space.domains import Choice, SampleFrom, When
from tunerl.space.numeric import Domain

NUMERIC: dict[str, Callable[..., Domain]] = {
    function.__name__: function
    for function in (
        words.uniform,
        words.quniform,
        words.loguniform,
        words.qloguniform,
        words.randn,
        words.qrandn,
        words.randint,
        words.qrandint,
        words.lograndint,
        words.qlograndint,
    )
}
WORDS = frozenset({*NUMERIC, "choice", "grid_search", "when", "const", "python"})


def to_json(tree: Any) -> Any:
    """The JSON of a search space. What JSON cannot hold becomes ``{"python": name}``.

    `python_parts` lists those; `from_json` refuses them.
    """
    return _encode(trees.parse(tree))


def _encode(node: Any) -> Any:
    if isinstance(node, When):
        return {"when": [node.path, [_encode(value) for value in node.values], _encode(node.then)]}
    if isinstance(node, Choice):
        return {node.name: [_encode(option) for option in node.options]}
    if isinstance(node, SampleFrom):
        return {"python": _name(node.func)}
    if isinstance(node, Domain):
        return {node.name: node.args}
    if isinstance(node, dict):
        encoded = {key: _encode(value) for key, value in node.items()}
        return {"const": encoded} if len(node) == 1 and set(node) <= WORDS else encoded
    if isinstance(node, list):
        return [_encode(value) for value in node]
    return node if _is_json(node) else {"python": _name(node)}


def _is_json(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return math.isfinite(leaf)
    return leaf is None or isinstance(leaf, str | int)


def _name(leaf: Any) -> str:
    module, name = getattr(leaf, "__module__", ""), getattr(leaf, "__qualname__", "")
    return f"{module}.{name}" if module and name else repr(leaf)


def python_parts(tree: Any) -> list[str]:
    """The paths of what cannot be written in JSON: functions, classes, other objects."""
    return python_in(to_json(tree))


def python_in(json: Any) -> list[str]:
    """The paths at which JSON written by `to_json` (or a searcher's) stands for Python objects."""
    return sorted(set(_python_parts(json, "")))


def _python_parts(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        if set(node) == {"python"} and isinstance(node["python"], str):
            yield path
            return
        for key, value in node.items():
            inner = path if key in WORDS and len(node) == 1 else trees.join(path, key)
            yield from _python_parts(value, inner)
    elif isinstance(node, list):
        for value in node:
            yield from _python_parts(value, path)


def from_json(obj: Any) -> Any:
    """The tree that JSON describes, for `Space`. Raises `InvalidSpace` with all that is wrong."""
    found: list[Problem] = []
    tree = _decode(obj, "", lambda path, message: found.append(Problem(path, message)))
    if found:
        raise InvalidSpace(found)
    return tree


Report = Callable[[str, str], None]


def _decode(node: Any, path: str, report: Report) -> Any:
    if isinstance(node, list):
        return [_decode(value, trees.join(path, index), report) for index, value in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    word = next(iter(node)) if len(node) == 1 else None
    if word in WORDS:
        return _decode_word(str(word), node[word], path, report)
    return {key: _decode(value, trees.join(path, key), report) for key, value in node.items()}


def _decode_word(word: str, args: Any, path: str, report: Report) -> Any:
    if word == "const":
        if not isinstance(args, Mapping):
            return args
        return {key: _decode(value, trees.join(path, key), report) for key, value in args.items()}
    if word == "python":
        report(path, f"{args} is Python and cannot come from JSON; use choice, when or a constant")
        return None
    if word in ("choice", "grid_search"):
        if not isinstance(args, list):
            report(path, f"{word} takes a list of values, not {args!r}")
            return None
        options = [_decode(value, f"{path}[{index}]", report) for index, value in enumerate(args)]
        return words.choice(options) if word == "choice" else words.grid_search(options)
    if word == "when":
        if not isinstance(args, list) or len(args) != 3 or not isinstance(args[0], str):
            report(path, f"when takes [path, values, what then], not {args!r}")
            return None
        values = args[1] if isinstance(args[1], list) else [args[1]]
        return When(args[0], tuple(values), _decode(args[2], path, report))
    return _decode_numeric(word, args, path, report)


def _decode_numeric(word: str, args: Any, path: str, report: Report) -> Any:
    """``{"uniform": [0, 1]}``; options may go last as an object, or all be one."""
    if isinstance(args, list) and args and isinstance(args[-1], Mapping):
        positional, options = args[:-1], args[-1]
    else:
        positional, options = ([], args) if isinstance(args, Mapping) else (args, {})
    function = NUMERIC[word]
    allowed = [name for name in inspect.signature(function).parameters if name != "base"]
    try:
        bound = inspect.signature(function).bind(*map(_number, positional), **options)
    except TypeError:
        report(path, f"{word} takes [{', '.join(allowed)}], not {args!r}")
        return None
    return function(*bound.args, **{key: _number(value) for key, value in bound.kwargs.items()})


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-5 as a string; a bound is a number all the same."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


class _Loader(yaml.SafeLoader):
    """Reads 1e-5 as the number it is (YAML 1.2)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def from_yaml(text: str) -> Any:
    """The tree that a YAML document describes: the JSON form, and 1e-5 is a number."""
    try:
        return from_json(yaml.load(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise InvalidSpace(f"the search space is not YAML: {error}") from error


def to_yaml(tree: Any) -> str:
    """The YAML of a search space: the JSON form."""
    text: str = yaml.safe_dump(to_json(tree), sort_keys=False)
    return text
