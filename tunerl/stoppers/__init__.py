"""Stoppers by name: `create` makes one from JSON, `names` lists them.

A new stopper is one class here and one line in `REGISTRY`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.stoppers.base import (
    CombinedStopper,
    FunctionStopper,
    MaximumIterationStopper,
    NoopStopper,
    Stopper,
    TimeoutStopper,
)
from tunerl.stoppers.plateau import ExperimentPlateauStopper, TrialPlateauStopper

REGISTRY: dict[str, type[Stopper]] = {
    cls.name: cls
    for cls in (
        CombinedStopper,
        ExperimentPlateauStopper,
        MaximumIterationStopper,
        NoopStopper,
        TimeoutStopper,
        TrialPlateauStopper,
    )
}


def names() -> list[str]:
    """The words that `create` knows."""
    return sorted(REGISTRY)


def create(json: Mapping[str, Any]) -> Stopper:
    """The stopper that ``{"type": name, ...options}`` describes; ``combined`` has `stoppers`.

    Raises `InvalidSpec`.
    """
    options = dict(json)
    kind = options.pop("type", None)
    cls = REGISTRY.get(str(kind))
    if cls is None:
        known = nearest(str(kind), names())
        raise InvalidSpec(Problem("stopper.type", f"no stopper goes by {kind!r}; {known}"))
    if cls is CombinedStopper:
        return CombinedStopper(*_inner(options))
    parameters = inspect.signature(cls).parameters
    problems = [
        Problem(f"stopper.{key}", f"{kind} has no such option; {nearest(str(key), parameters)}")
        for key in options
        if key not in parameters
    ]
    problems += [
        Problem(f"stopper.{name}", f"is missing; {kind} needs it")
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in options
    ]
    if problems:
        raise InvalidSpec(problems)
    return cls(**options)


def _inner(options: dict[str, Any]) -> list[Stopper]:
    given = options.get("stoppers")
    if set(options) != {"stoppers"} or not isinstance(given, list | tuple):
        raise InvalidSpec(
            Problem("stopper.stoppers", f"{options!r} given; it must be a list of stoppers alone")
        )
    if not all(isinstance(entry, Mapping) for entry in given):
        raise InvalidSpec(Problem("stopper.stoppers", f"{given!r} given; each is an object"))
    return [create(entry) for entry in given]


__all__ = [
    "REGISTRY",
    "CombinedStopper",
    "ExperimentPlateauStopper",
    "FunctionStopper",
    "MaximumIterationStopper",
    "NoopStopper",
    "Stopper",
    "TimeoutStopper",
    "TrialPlateauStopper",
    "create",
    "names",
]
