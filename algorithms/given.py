"""Values of a configuration as people give them: search spaces, model settings, log levels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from tunerl.errors import InvalidConfig, Problem, nearest
from tunerl.space.tree import has_domains, parse

LOG_LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")


def set_log_level(level: str) -> None:
    """How much TuneRL logs in this process. Raises `InvalidConfig`."""
    if level not in LOG_LEVELS:
        hint = nearest(str(level).upper(), LOG_LEVELS)
        raise InvalidConfig(Problem("log_level", f"{level!r} is not allowed; {hint}"))
    for house in ("tunerl", "algorithms"):
        logging.getLogger(house).setLevel(level)


def is_space(value: Any) -> bool:
    """Whether a search space hides anywhere in a value."""
    return has_domains(parse(value))


def is_domain(value: Any) -> bool:
    """Whether a value as a whole is drawn from a search space (it may look like a dict)."""
    return is_space(value) and not isinstance(parse(value), dict)


def copied(value: Any) -> Any:
    """Fresh dicts and lists around the same leaves."""
    if isinstance(value, dict):
        return {name: copied(entry) for name, entry in value.items()}
    return [copied(entry) for entry in value] if isinstance(value, list) else value


def model_settings(given: Any) -> dict[str, Any]:
    """A dict, or what was changed in a dataclass such as RLlib's DefaultModelConfig."""
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    if not dataclasses.is_dataclass(given) or isinstance(given, type):
        raise InvalidConfig(Problem("model_config", f"{given!r} is no dict of settings"))
    standard = type(given)()
    return {
        entry.name: getattr(given, entry.name)
        for entry in dataclasses.fields(given)
        if getattr(given, entry.name) != getattr(standard, entry.name)
    }
