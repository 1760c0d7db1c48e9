"""Searchers by name: `create` makes one from JSON, `names` lists them.

A new searcher is one file here and one line in `REGISTRY`; Optuna is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunerl.errors import InvalidInput, InvalidSpec, Problem, nearest
from tunerl.searchers.base import WAIT, History, Observation, Searcher, Wait
from tunerl.searchers.limiter import ConcurrencyLimiter
from tunerl.searchers.quasirandom import QuasiRandomSearch
from tunerl.searchers.random import BasicVariantGenerator
from tunerl.searchers.repeater import Repeater

if TYPE_CHECKING:
    from tunerl.searchers.bohb import TuneBOHB
    from tunerl.searchers.dehb import DEHB
    from tunerl.searchers.optuna import OptunaSearch

REGISTRY = {
    "random": "tunerl.searchers.random:BasicVariantGenerator",
    "bohb": "tunerl.searchers.bohb:TuneBOHB",
    "dehb": "tunerl.searchers.dehb:DEHB",
    "optuna": "tunerl.searchers.optuna:OptunaSearch",
    "limiter": "tunerl.searchers.limiter:ConcurrencyLimiter",
    "quasirandom": "tunerl.searchers.quasirandom:QuasiRandomSearch",
    "repeater": "tunerl.searchers.repeater:Repeater",
    "points": "tunerl.searchers.points:GivenPoints",
}
ALIASES = {
    "variant_generator": "random",
    "BasicVariantGenerator": "random",
    "DEHB": "dehb",
    "OptunaSearch": "optuna",
    "TuneBOHB": "bohb",
    "ConcurrencyLimiter": "limiter",
    "QuasiRandomSearch": "quasirandom",
    "Repeater": "repeater",
}


OPTUNAS = ("tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "qmc", "bruteforce", "partialfixed")


def names() -> list[str]:
    """The words that `create` knows (aliases aside)."""
    return sorted(REGISTRY)


def get(name: str) -> type[Searcher]:
    """The class that goes by `name`. Raises `InvalidSpec`."""
    place = REGISTRY.get(ALIASES.get(name, name))
    if place is None:
        hint = nearest(name, names())
        if name.lower() in OPTUNAS:
            sampler = {"type": "optuna", "sampler": name.lower()}
            hint = f"it is one of Optuna's samplers: give {sampler}"
        raise InvalidSpec(Problem("searcher.type", f"no searcher goes by {name!r}; {hint}"))
    module, _, attribute = place.partition(":")
    found: type[Searcher] = getattr(importlib.import_module(module), attribute)
    return found


def create(json: Mapping[str, Any]) -> Searcher:
    """The searcher that ``{"type": name, ...options}`` describes. Raises `InvalidSpec`."""
    options = dict(json)
    if "type" not in options:
        given = f"{dict(json)!r} given" if json else "nothing given"
        message = f"is missing ({given}); name one of " + ", ".join(names())
        raise InvalidSpec(Problem("searcher.type", message))
    cls = get(str(options.pop("type")))
    allowed = inspect.signature(cls).parameters
    problems = [
        Problem(f"searcher.{key}", f"{cls.name} has no such option; " + nearest(str(key), allowed))
        for key in options
        if key not in allowed
    ]
    problems += [
        Problem(f"searcher.{key}", f"{cls.name} needs this option")
        for key, parameter in allowed.items()
        if parameter.default is parameter.empty and key not in options
    ]
    if problems:
        raise InvalidSpec(problems)
    if isinstance(options.get("searcher"), Mapping):
        options["searcher"] = create(options["searcher"])
    return _made(cls, options)


def _made(cls: type[Searcher], options: Mapping[str, Any]) -> Searcher:
    try:
        return cls(**options)
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        message = f"{cls.name} cannot be made of {dict(options)!r}: {error}"
        raise InvalidSpec(Problem("searcher", message)) from error


def __getattr__(name: str) -> Any:
    if name in ALIASES:
        return get(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ALIASES",
    "DEHB",
    "REGISTRY",
    "WAIT",
    "BasicVariantGenerator",
    "ConcurrencyLimiter",
    "History",
    "Observation",
    "OptunaSearch",
    "QuasiRandomSearch",
    "Repeater",
    "Searcher",
    "TuneBOHB",
    "Wait",
    "create",
    "get",
    "names",
]
