"""Schedulers by name: `create` makes one from JSON, `names` lists them.

A new scheduler is one file here and one line in `REGISTRY`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunerl.errors import InvalidInput, InvalidSpec, Problem, nearest
from tunerl.schedulers.asha import ASHAScheduler, AsyncHyperBandScheduler
from tunerl.schedulers.base import (
    Allocate,
    Decision,
    Exploit,
    Pause,
    Resume,
    Scheduler,
    Stop,
    Widen,
)
from tunerl.schedulers.fifo import FIFOScheduler

if TYPE_CHECKING:
    from tunerl.schedulers.dehb import DEHBScheduler
    from tunerl.schedulers.hyperband import HyperBandForBOHB, HyperBandScheduler
    from tunerl.schedulers.median import MedianStoppingRule
    from tunerl.schedulers.optuna_pruner import OptunaPruner
    from tunerl.schedulers.pb2 import PB2
    from tunerl.schedulers.pbt import PopulationBasedTraining
    from tunerl.schedulers.pbt_replay import PopulationBasedTrainingReplay
    from tunerl.schedulers.resources import (
        DistributeResources,
        DistributeResourcesToTopJob,
        ResourceChangingScheduler,
    )
    from tunerl.schedulers.seeds import SeedHalvingScheduler

REGISTRY = {
    "asha": "tunerl.schedulers.asha:AsyncHyperBandScheduler",
    "dehb": "tunerl.schedulers.dehb:DEHBScheduler",
    "fifo": "tunerl.schedulers.fifo:FIFOScheduler",
    "hyperband": "tunerl.schedulers.hyperband:HyperBandScheduler",
    "median": "tunerl.schedulers.median:MedianStoppingRule",
    "optuna_pruner": "tunerl.schedulers.optuna_pruner:OptunaPruner",
    "pb2": "tunerl.schedulers.pb2:PB2",
    "pbt": "tunerl.schedulers.pbt:PopulationBasedTraining",
    "pbt_replay": "tunerl.schedulers.pbt_replay:PopulationBasedTrainingReplay",
    "resource_changing": "tunerl.schedulers.resources:ResourceChangingScheduler",
    "seed_halving": "tunerl.schedulers.seeds:SeedHalvingScheduler",
}
ALIASES = {
    "async_hyperband": "asha",
    "asynchyperband": "asha",
    "ASHAScheduler": "asha",
    "AsyncHyperBandScheduler": "asha",
    "DEHBScheduler": "dehb",
    "FIFOScheduler": "fifo",
    "HyperBandForBOHB": "hyperband",
    "HyperBandScheduler": "hyperband",
    "MedianStoppingRule": "median",
    "OptunaPruner": "optuna_pruner",
    "PB2": "pb2",
    "PopulationBasedTraining": "pbt",
    "PopulationBasedTrainingReplay": "pbt_replay",
    "ResourceChangingScheduler": "resource_changing",
    "SeedHalvingScheduler": "seed_halving",
    "hb_bohb": "hyperband",
    "median_stopping_rule": "median",
    "medianstopping": "median",
}


def names() -> list[str]:
    """The words that `create` knows (aliases aside)."""
    return sorted(REGISTRY)


def get(name: str) -> type[Scheduler]:
    """The class that goes by `name`. Raises `InvalidSpec`."""
    place = REGISTRY.get(ALIASES.get(name, name))
    if place is None:
        raise InvalidSpec(
            Problem("scheduler.type", f"no scheduler goes by {name!r}; " + nearest(name, names()))
        )
    module, _, attribute = place.partition(":")
    found: type[Scheduler] = getattr(importlib.import_module(module), attribute)
    return found


def create(json: Mapping[str, Any]) -> Scheduler:
    """The scheduler that ``{"type": name, ...options}`` describes. Raises `InvalidSpec`."""
    options = dict(json)
    if "type" not in options:
        given = f"{dict(json)!r} given" if json else "nothing given"
        message = f"is missing ({given}); name one of " + ", ".join(names())
        raise InvalidSpec(Problem("scheduler.type", message))
    cls = get(str(options.pop("type")))
    allowed = list(inspect.signature(cls).parameters)
    problems = [
        Problem(f"scheduler.{key}", f"{cls.name} has no such option; " + nearest(str(key), allowed))
        for key in options
        if key not in allowed
    ]
    if not isinstance(options.get("metric"), str | None):
        message = f"{options['metric']!r} given; it must be the name of a metric, or null"
        problems.append(Problem("scheduler.metric", message))
    if problems:
        raise InvalidSpec(problems)
    try:
        return cls.from_json(options)
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        message = f"{cls.name} cannot be made of {options!r}: {error}"
        raise InvalidSpec(Problem("scheduler", message)) from error


def __getattr__(name: str) -> Any:
    if name in ALIASES:
        return get(name)
    if name in ("DistributeResources", "DistributeResourcesToTopJob"):
        return getattr(importlib.import_module("tunerl.schedulers.resources"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ALIASES",
    "PB2",
    "REGISTRY",
    "ASHAScheduler",
    "Allocate",
    "AsyncHyperBandScheduler",
    "DEHBScheduler",
    "Decision",
    "DistributeResources",
    "DistributeResourcesToTopJob",
    "Exploit",
    "FIFOScheduler",
    "HyperBandForBOHB",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "OptunaPruner",
    "Pause",
    "PopulationBasedTraining",
    "PopulationBasedTrainingReplay",
    "ResourceChangingScheduler",
    "Resume",
    "Scheduler",
    "SeedHalvingScheduler",
    "Stop",
    "Widen",
    "create",
    "get",
    "names",
]
