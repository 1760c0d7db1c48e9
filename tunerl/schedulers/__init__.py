"""Schedulers by name: `create` makes one from JSON, `names` lists them.

A new scheduler is one file here and one line in `REGISTRY`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.schedulers.asha import ASHAScheduler, AsyncHyperBandScheduler
from tunerl.schedulers.base import Decision, Exploit, Pause, Resume, Scheduler, Stop
from tunerl.schedulers.fifo import FIFOScheduler

REGISTRY: dict[str, type[Scheduler]] = {
    cls.name: cls for cls in (FIFOScheduler, AsyncHyperBandScheduler)
}
ALIASES = {
    "async_hyperband": "asha",
    "asynchyperband": "asha",
    "ASHAScheduler": "asha",
    "AsyncHyperBandScheduler": "asha",
    "FIFOScheduler": "fifo",
}


def names() -> list[str]:
    """The words that `create` knows (aliases aside)."""
    return sorted(REGISTRY)


def create(json: Mapping[str, Any]) -> Scheduler:
    """The scheduler that ``{"type": name, ...options}`` describes. Raises `InvalidSpec`."""
    options = dict(json)
    kind = options.pop("type", None)
    cls = REGISTRY.get(ALIASES.get(str(kind), str(kind)))
    if cls is None:
        raise InvalidSpec(
            Problem(
                "scheduler.type", f"no scheduler goes by {kind!r}; " + nearest(str(kind), names())
            )
        )
    allowed = list(inspect.signature(cls).parameters)
    problems = [
        Problem(f"scheduler.{key}", f"{cls.name} has no such option; " + nearest(str(key), allowed))
        for key in options
        if key not in allowed
    ]
    if problems:
        raise InvalidSpec(problems)
    return cls(**options)


__all__ = [
    "ALIASES",
    "REGISTRY",
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "Decision",
    "Exploit",
    "FIFOScheduler",
    "Pause",
    "Resume",
    "Scheduler",
    "Stop",
    "create",
    "names",
]
