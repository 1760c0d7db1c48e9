"""Asks a trainable what it thinks of a search space, before anything runs.

Invariant: each end of a range and each option is shown to `resolve`, in a configuration that is
otherwise a sample; only what is said about the parameter in question counts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tunerl.errors import InvalidConfig, InvalidSpace, Problem
from tunerl.space import Choice, Domain, Integer, Numeric, Real, Space
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config

OPTIONS = 64  # how many of a choice's options are tried


def probe(
    trainable: TrainableSpec, space: Space, seed: int = 0
) -> tuple[Config | None, list[Problem]]:
    """A configuration of the space, and what is wrong with it and with the ranges."""
    rng = np.random.default_rng(np.random.SeedSequence([seed % 2**64, 0]))
    try:
        config = space.sample(rng)
    except InvalidSpace as error:
        return None, error.problems
    problems = list(_ask(trainable, config))
    for path, domain in space.domains.items():
        problems += _ask_about(trainable, config, path, domain)
    return config, problems


def _ask(trainable: TrainableSpec, config: Config) -> list[Problem]:
    try:
        trainable.resolve(copy.deepcopy(config))
    except InvalidConfig as error:
        return error.problems
    return []


def _ask_about(
    trainable: TrainableSpec, config: Config, path: str, domain: Domain
) -> Iterator[Problem]:
    """What is wrong with the ends of one parameter's range."""
    if "[" in path:  # within an option of a choice: the sample may have taken another one
        return
    keys = path.split("/")
    dotted = ".".join(keys)
    for value in _ends(domain):
        tried = copy.deepcopy(config)
        box: Any = tried
        try:
            for key in keys[:-1]:
                box = box[int(key)] if isinstance(box, list) else box[key]
            box[int(keys[-1]) if isinstance(box, list) else keys[-1]] = value
        except (LookupError, TypeError, ValueError):
            return  # it is not in this sample
        for problem in _ask(trainable, tried):
            told = problem.path.replace("/", ".")
            if told == dotted or told.startswith(f"{dotted}.") or dotted.startswith(f"{told}."):
                yield Problem(dotted, problem.message)


def _ends(domain: Domain) -> list[Any]:
    """The extreme values that a domain can take, a hair inside where an end is never drawn."""
    if isinstance(domain, Choice):
        return [option for option in domain.options[:OPTIONS] if _plain(option)]
    if isinstance(domain, Real | Integer):
        inside = 1e-9
        return [domain.from_unit(inside), domain.from_unit(1 - inside)]
    if isinstance(domain, Numeric):  # a normal distribution has no ends
        return [domain.from_unit(0.5)]
    return []


def _plain(option: Any) -> bool:
    """Whether an option holds no domains of its own."""
    if isinstance(option, dict):
        return all(_plain(value) for value in option.values())
    if isinstance(option, list | tuple):
        return all(_plain(value) for value in option)
    return not isinstance(option, Domain)
