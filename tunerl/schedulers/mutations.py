"""What a population's members may change, as a user writes it: domains by name, nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.space import SampleFrom, from_json, to_json
from tunerl.space.domains import Choice
from tunerl.space.numeric import Domain
from tunerl.space.tree import join, parse, problems


def read(given: Any, option: str) -> dict[str, Any]:
    """A tree whose leaves are domains: lists are choices, functions `sample_from`.

    Names may be joined by ``/``. Raises `InvalidSpec` with all that is wrong.
    """
    where = f"scheduler.{option}"
    if not isinstance(given, Mapping):
        raise InvalidSpec(Problem(where, f"{given!r} given; it must be a dict of domains by name"))
    try:
        tree = parse(from_json(given))
    except InvalidSpace as error:
        raise InvalidSpec([_below(where, p.path, p.message) for p in error.problems]) from error
    found: list[Problem] = []
    made = _domains(tree, "", found)
    for path, message in [(p.path, p.message) for p in problems(made)]:
        found.append(Problem(path, message))
    if not made and not found:
        found.append(Problem("", "is empty; leave it out to change all that can be changed"))
    if found:
        raise InvalidSpec([_below(where, p.path, p.message) for p in found])
    return made


def written(tree: Mapping[str, Any] | None) -> Any:
    """As JSON."""
    return None if tree is None else to_json(tree)


def _below(where: str, path: str, message: str) -> Problem:
    return Problem(f"{where}.{path.replace('/', '.')}".rstrip("."), message)


def _domains(tree: Mapping[str, Any], path: str, found: list[Problem]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in tree.items():
        *parents, key = str(name).split("/")
        box = made
        for parent in parents:
            box = box.setdefault(parent, {})
        where = join(path, name)
        if isinstance(value, Mapping):
            box[key] = _domains(value, where, found)
        elif isinstance(value, list):
            box[key] = Choice(tuple(value))
        elif isinstance(value, Domain):
            box[key] = value
        elif callable(value):
            box[key] = SampleFrom(value)
        else:
            message = f"{value!r} given; a domain such as uniform(0, 1), or a list of values"
            found.append(Problem(where, message))
    return made
