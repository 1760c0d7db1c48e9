"""Reads an `ExperimentSpec` from JSON: names and types of the fields, nothing more.

Invariant: all that is wrong is found at once; a problem's path is the field to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from tunerl.errors import InvalidSpec, Problem
from tunerl.hints import field_hint
from tunerl.spec import CheckpointSpec, ExperimentSpec, FailureSpec

_NESTED = {"checkpoint": CheckpointSpec, "failure": FailureSpec}
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a string"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "dict": ((Mapping,), "an object"),
    "tuple": ((list, tuple), "a list"),
}


def read(obj: Mapping[str, Any]) -> ExperimentSpec:
    """See `tunerl.spec.from_json`."""
    problems: list[Problem] = []
    named = {key: {"type": obj[key]} for key in ("searcher", "scheduler") if _word(obj.get(key))}
    spec = _read(ExperimentSpec, split_objectives({**obj, **named}, problems), "", problems)
    if problems:
        raise InvalidSpec(problems)
    assert isinstance(spec, ExperimentSpec)
    return spec


def lenient(obj: Mapping[str, Any]) -> tuple[ExperimentSpec, list[Problem]]:
    """The spec without the fields that do not exist, and what is wrong with those, so that the rest
    can be checked too. Raises `InvalidSpec` where a field that exists cannot be read."""
    try:
        return read(obj), []
    except InvalidSpec as error:
        try:
            return read(_existing(ExperimentSpec, obj)), error.problems
        except InvalidSpec:
            raise error from None


def _existing(cls: type[Any], obj: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields that do not exist, of its parts too."""
    kept = {entry.name: obj[entry.name] for entry in fields(cls) if entry.name in obj}
    for name in _NESTED.keys() & kept.keys():
        if isinstance(kept[name], Mapping):
            kept[name] = _existing(_NESTED[name], kept[name])
    return kept


def _word(value: Any) -> bool:
    """Whether a searcher or scheduler is given by its name alone."""
    return isinstance(value, str) and bool(value)


def split_objectives(obj: Mapping[str, Any], problems: list[Problem]) -> Mapping[str, Any]:
    """The same with the first of several objectives as metric and mode, the others beside it."""
    metric, mode = obj.get("metric"), obj.get("mode")
    if not isinstance(metric, list | tuple) and not isinstance(mode, list | tuple):
        return obj
    metrics = list(metric) if isinstance(metric, list | tuple) else [metric]
    modes = list(mode) if isinstance(mode, list | tuple) else [mode]
    if len(metrics) != len(modes) or len(set(map(str, metrics))) != len(metrics) or not metrics:
        message = f"metric={metric!r}, mode={mode!r} given; name each metric once, each with a mode"
        few = len(set(map(str, metrics))) == len(metrics) > 0
        if few:
            form = ["max"] * len(metrics)
            message += f": mode is a list of {len(metrics)}, such as {form}"
        problems.append(Problem("mode" if few else "metric", message))
        return {**obj, "metric": None, "mode": None}
    rest = dict(zip(map(str, metrics[1:]), modes[1:], strict=True))
    return {**obj, "metric": metrics[0], "mode": modes[0], "more_objectives": rest}


def _read(cls: type[Any], obj: Mapping[str, Any], prefix: str, problems: list[Problem]) -> Any:
    known = {entry.name: entry for entry in fields(cls)}
    values = {}
    for name, value in obj.items():
        path = f"{prefix}{name}"
        if name not in known:
            hint = field_hint(str(name), known)
            problems.append(Problem(path, f"there is no such field; {hint}"))
        elif name in _NESTED and isinstance(value, Mapping):
            values[name] = _read(_NESTED[name], value, f"{path}.", problems)
        elif message := _misfit(known[name], value):
            problems.append(Problem(path, message))
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    for name, entry in known.items():
        if name not in obj and entry.default is MISSING and entry.default_factory is MISSING:
            problems.append(Problem(f"{prefix}{name}", "is missing"))
    return None if problems else cls(**values)


def _misfit(entry: Field[Any], value: Any) -> str | None:
    """What is wrong with the type of a value."""
    words = [word.strip() for word in str(entry.type).split("|")]
    if value is None and "None" in words:
        return None
    kinds, what = _KINDS.get(words[0].split("[")[0], ((Mapping,), "an object"))
    if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return None
    return f"{value!r} given; it must be {what}" + (" or null" if "None" in words else "")
