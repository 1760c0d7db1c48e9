"""What an experiment that comes over the network may say.

Invariant: a request names only what this installation knows: no import path, no Python, no place on
this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tunerl import registry, spec
from tunerl.errors import InvalidInput, InvalidSpec, Problem
from tunerl.extending import CHANGEABLE, amended
from tunerl.spec import Custom, ExperimentSpec

MAX_NAME = 100


def admit(body: dict[str, Any]) -> ExperimentSpec:
    """The checked spec. Raises `InvalidSpec` with all problems, each under its path."""
    found = list(_foreign(body))
    try:
        checked = spec.check(body)
    except InvalidInput as error:
        seen = {problem.path for problem in found}
        found += [problem for problem in error.problems if problem.path not in seen]
    if found:
        raise InvalidSpec(found)
    return checked if checked.name else replace(checked, name=checked.trainable)


def admit_changes(before: ExperimentSpec, changes: dict[str, Any]) -> ExperimentSpec:
    """The spec that comes of `changes` to one that was admitted, checked; `name` may be among them.

    Raises `InvalidSpec` with all problems.
    """
    found = list(_foreign(changes))
    if found:
        raise InvalidSpec(found)
    allowed = {name: value for name, value in changes.items() if name in (*CHANGEABLE, "name")}
    read = spec.from_json({**before.to_json(), **allowed})
    wanted = {name: getattr(read, name, None) for name in changes if name != "name"}
    return replace(
        amended(before, wanted, registry.trainable(before.trainable), Custom()), name=read.name
    )


def _foreign(body: Mapping[str, Any]) -> Iterator[Problem]:
    name = body.get("name")
    if isinstance(name, str) and ("/" in name or not name.isprintable() or len(name) > MAX_NAME):
        yield Problem("name", f"at most {MAX_NAME} printable characters, none of them a slash")
    if body.get("storage"):
        yield Problem("storage", "the service decides where checkpoints go (TUNERL_STORAGE)")
    if body.get("python"):
        yield Problem("python", "Python objects cannot be sent; use tunerl.Tuner in a program")
    if body.get("origin"):
        yield Problem(
            "origin", "the service writes it: ask an experiment for :confirm or :baseline"
        )
    space = body.get("param_space")
    for name in _texts(space.get("env") if isinstance(space, Mapping) else None):
        if ":" in name:
            yield Problem(
                "param_space.env",
                f"{name!r} would import a module; name a registered environment or Gymnasium id",
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
