"""Environments with the connectors that a configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.core.envs.atari import game_of
from algorithms.core.specs import names
from tunerl.errors import InvalidConfig, Problem

CONNECTORS = ("env_to_module_connector", "module_to_env_connector")


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the connectors of a configuration."""
    for name in CONNECTORS:
        try:
            found = names.shared(name, config.get(name))
        except InvalidConfig as error:
            yield from error.problems
            continue
        if found is not None and not callable(found):
            yield Problem(name, f"{found!r} is no function; give one that makes connectors")
        game = config.get("is_atari") is not False and game_of(str(config["env"]))
        if found is not None and game:
            what = "the usual preprocessing of Atari games has none; set is_atari=False"
            yield Problem(name, what)


def environment(config: Mapping[str, Any]) -> Any:
    """What `make` takes as the environment: the configuration's own, connected."""
    makers = [names.shared(name, config.get(name)) for name in CONNECTORS]
    if makers == [None, None]:
        return config["env"]
    from algorithms.sampling.connectors import connected

    return connected(config["env"], *makers)
