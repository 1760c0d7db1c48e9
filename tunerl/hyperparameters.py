"""What a dataclass of `vector()`/`fixed()` fields says: a check of configurations, a JSON schema.

Pure. Invariant: `resolve_fields` reports all that is wrong at once, and what it accepts its
`schema` accepts too.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from tunerl.errors import InvalidConfig, Problem, nearest
from tunerl.trainable import Hyperparameter, hyperparameters
from tunerl.trial import TRIAL_INDEX

_WORDS = {int: "integer", float: "number", bool: "boolean", str: "string", dict: "object"}


@dataclasses.dataclass(frozen=True)
class _Type:
    """An annotation taken apart. `kind` None: anything goes; `item`: of a list's entries."""

    kind: type | None
    item: type | None = None
    tuple: bool = False


@cache
def _types(cls: type) -> dict[str, _Type]:
    hints = typing.get_type_hints(cls)
    return {name: _parse(hints[name]) for name in hyperparameters(cls)}


def _parse(hint: Any) -> _Type:
    """Take an annotation apart. Of a union its scalar counts: None and the list form of a schedule
    are told by `Hyperparameter.optional` and `.schedule`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        members = [_parse(arg) for arg in args if arg is not type(None)]
        scalars = [member for member in members if member.kind not in (None, list)]
        return _Type(float) if _Type(float) in scalars else (scalars or members)[0]
    if origin in (list, tuple) or hint in (list, tuple):
        item = args[0] if args and args[0] in _WORDS else None
        return _Type(list, item, tuple=tuple in (origin, hint))
    if origin is dict or hint is dict or origin is Mapping or hint is Mapping:
        return _Type(dict)
    if hint is Any or hint in _WORDS:
        return _Type(None if hint is Any else hint)
    raise TypeError(
        f"a hyperparameter cannot be of type {hint}; use int, float, bool, str, dict, Any, "
        "list or tuple of them, or a union with None (and choices= for a fixed set of values)"
    )


def defaults(cls: type) -> dict[str, Any]:
    """The default of each hyperparameter, by name."""
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(cls):
        if "hyperparameter" in entry.metadata:
            factory = entry.default_factory
            found[entry.name] = entry.default if factory is dataclasses.MISSING else factory()
    return found


def resolve_fields(cls: type, config: Mapping[str, Any], *, path: str = "") -> dict[str, Any]:
    """`config` with the defaults of `cls` filled in and numbers in their declared type.

    `path` goes before the names in the problems. Raises `InvalidConfig` with all problems:
    unknown names, wrong types, values out of range or not among the choices, bad schedules. A
    `Repeater`'s index is passed over.
    """
    known, kinds = hyperparameters(cls), _types(cls)
    prefix = f"{path}." if path else ""
    values, problems = defaults(cls), []
    for name, value in config.items():
        where = f"{prefix}{name}"
        if name == TRIAL_INDEX:
            continue
        if name not in known:
            hint = nearest(str(name), known)
            problems.append(Problem(where, f"unknown hyperparameter {name!r}; {hint}"))
            continue
        try:
            values[name] = _value(value, known[name], kinds[name])
        except _Wrong as wrong:
            problems.extend(Problem(where, message) for message in wrong.args)
    if problems:
        raise InvalidConfig(problems)
    return values


class _Wrong(Exception):
    """Sentences on what is wrong with one value."""


def _value(value: Any, info: Hyperparameter, kind: _Type) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        if info.optional:
            return None
        raise _Wrong("is None; leave it out to get the default")
    if info.schedule and isinstance(value, list | tuple):
        return _schedule(value, info, kind)
    return _list(value, info, kind) if kind.kind is list else _scalar(value, info, kind.kind)


def _list(value: Any, info: Hyperparameter, kind: _Type) -> Any:
    if not isinstance(value, list | tuple):
        raise _Wrong(f"{value!r} is {_called(value)}; a list is wanted")
    if info.choices is not None and list(value) not in map(list, info.choices):
        raise _Wrong(_not_chosen(value, info))
    entries = dataclasses.replace(info, choices=None)
    typed = [_scalar(entry, entries, kind.item) for entry in value]
    return tuple(typed) if kind.tuple else typed


def _scalar(value: Any, info: Hyperparameter, kind: type | None) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    typed = _typed(value, kind)
    if isinstance(typed, float) and not math.isfinite(typed):
        raise _Wrong(f"{typed} is not a finite number")
    if info.choices is not None and typed not in info.choices:
        raise _Wrong(_not_chosen(typed, info))
    is_number = isinstance(typed, int | float) and not isinstance(typed, bool)
    if is_number and not _within(typed, info):
        raise _Wrong(f"{typed!r} is out of range; allowed: {_range(info)}")
    return typed


def _typed(value: Any, kind: type | None) -> Any:
    if kind is None:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is dict and isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    hint = ""
    if kind is int and isinstance(value, float) and value.is_integer():
        hint = f"; write {int(value)}"
    elif kind in (int, float) and isinstance(value, str):
        hint = "; numbers are written without quotes"
    raise _Wrong(f"{value!r} is {_called(value)}; {_called(kind)} is wanted{hint}")


def _level(info: Hyperparameter) -> Hyperparameter:
    """What holds for a schedule's values: one may go down to a bound that a constant may not be."""
    return dataclasses.replace(info, exclusive_low=False)


def _schedule(value: Any, info: Hyperparameter, kind: _Type) -> list[list[Any]]:
    form = "a schedule is [[0, value], [step, value], ...] with growing steps"
    points = []
    for point in value:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise _Wrong(f"{point!r} is not a pair [step, value]; {form}")
        step, level = point
        if isinstance(step, bool) or not isinstance(step, int | float | np.integer) or step % 1:
            raise _Wrong(f"{step!r} is not a step; {form}")
        points.append([int(step), _scalar(level, _level(info), kind.kind)])
    steps = [step for step, _ in points]
    if not steps or steps[0] != 0:
        raise _Wrong(f"the first step is {steps[0] if steps else 'missing'}, not 0; {form}")
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise _Wrong(f"the steps {steps} do not grow; {form}")
    return points


def _within(value: float, info: Hyperparameter) -> bool:
    if info.low is not None and (value <= info.low if info.exclusive_low else value < info.low):
        return False
    return info.high is None or value <= info.high


def _range(info: Hyperparameter) -> str:
    parts = []
    if info.low is not None:
        parts.append(f"{'>' if info.exclusive_low else '>='} {info.low:g}")
    if info.high is not None:
        parts.append(f"<= {info.high:g}")
    return " and ".join(parts)


def _not_chosen(value: Any, info: Hyperparameter) -> str:
    choices = info.choices or ()
    if isinstance(value, str):
        return f"{value!r} is not allowed; {nearest(value, map(str, choices))}" + (
            f" (allowed: {', '.join(map(repr, choices))})"
        )
    return f"{value!r} is not allowed; allowed: {', '.join(map(repr, choices))}"


def _called(what: Any) -> str:
    kind = what if isinstance(what, type) else type(what)
    words = {int: "an integer", float: "a float", bool: "a boolean", str: "a string"}
    return words.get(kind, f"a {kind.__name__}")


def schema(cls: type) -> dict[str, Any]:
    """JSON schema of a configuration of `cls`.

    ``x-vector`` tells whether members of a pack may differ in a field, ``x-search`` holds its
    default search range as a space in JSON.
    """
    known, kinds, standard = hyperparameters(cls), _types(cls), defaults(cls)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _property(info, kinds[name], standard[name]) for name, info in known.items()
        },
    }


def _property(info: Hyperparameter, kind: _Type, default: Any) -> dict[str, Any]:
    scalar = dict(_bounds(info, kind.item if kind.kind is list else kind.kind))
    form: dict[str, Any] = {"type": "array", "items": scalar} if kind.kind is list else scalar
    if info.choices is not None:
        (form if kind.kind is list else scalar)["enum"] = [_json(entry) for entry in info.choices]
    forms = [form]
    if info.schedule:
        level = dict(_bounds(_level(info), kind.kind))
        pair = {"type": "array", "prefixItems": [{"type": "integer"}, level], "minItems": 2}
        forms.append({"type": "array", "items": pair | {"maxItems": 2}, "minItems": 1})
    if info.optional:
        forms.append({"type": "null"})
    entry: dict[str, Any] = dict(forms[0]) if len(forms) == 1 else {"anyOf": forms}
    entry |= {"default": _json(default), "description": info.doc, "x-vector": info.vector}
    if info.search is not None:
        entry["x-search"] = dict(info.search)
    return entry


def _bounds(info: Hyperparameter, kind: type | None) -> Iterator[tuple[str, Any]]:
    if kind is not None:
        yield "type", _WORDS[kind]
    if kind in (int, float):
        if info.low is not None:
            yield "exclusiveMinimum" if info.exclusive_low else "minimum", info.low
        if info.high is not None:
            yield "maximum", info.high


def _json(value: Any) -> Any:
    return [_json(entry) for entry in value] if isinstance(value, list | tuple) else value
