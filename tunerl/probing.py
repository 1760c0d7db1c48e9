"""Asks a trainable what it thinks of a search space, before anything runs.

Invariant: each end of a range and each option is shown to `resolve`, in configurations that are
otherwise samples; only what is said about the parameter in question, in each of them, counts.
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

SAMPLES = 8  # values that only fit together with some others are not held against a range
OPTIONS = 64  # how many of a choice's options are tried


def probe(
    trainable: TrainableSpec, space: Space, seed: int = 0
) -> tuple[Config | None, list[Problem]]:
    """A configuration of the space, and what is wrong with all of them, or with a range's end."""
    samples = []
    try:
        for number in range(SAMPLES):
            sequence = np.random.SeedSequence([seed % 2**64, number])
            samples.append(space.sample(np.random.default_rng(sequence)))
    except InvalidSpace as error:
        return None, error.problems
    found = [_ask(trainable, sample) for sample in samples]
    good = [sample for sample, problems in zip(samples, found, strict=True) if not problems]
    problems = [] if good else _shared(found) or found[0]
    for path, domain in space.domains.items():
        problems += _ask_about(trainable, good or samples, path, domain)
    return (good or samples)[0], problems


def structural(trainable: TrainableSpec, space: Space, seed: int = 0) -> set[str]:
    """The paths of a space in which a trial cannot change while it trains: what the trainable
    declares as `fixed`, and where other values need another pack."""
    config, _ = probe(trainable, space, seed)
    declared = trainable.schema().get("properties", {})
    found = {
        path
        for path in space.searched
        if declared.get(path.split("/")[0], {}).get("x-vector") is False
    }
    for path, domain in space.domains.items():
        if config is None or path in found or "[" in path:
            continue
        made = [_with(config, path.split("/"), value) for value in _ends(domain)]
        if len({_key(trainable, one) for one in made if one is not None} - {None}) > 1:
            found.add(path)
    return found


def _key(trainable: TrainableSpec, config: Config) -> str | None:
    try:
        return trainable.pack_key(trainable.resolve(copy.deepcopy(config)))
    except InvalidConfig:
        return None


def _shared(found: list[list[Problem]]) -> list[Problem]:
    """The problems whose paths come up every time."""
    paths = [{problem.path for problem in problems} for problems in found]
    return [problem for problem in found[0] if all(problem.path in seen for seen in paths)]


def _ask(trainable: TrainableSpec, config: Config) -> list[Problem]:
    try:
        return trainable.objections(trainable.resolve(copy.deepcopy(config)))
    except InvalidConfig as error:
        return error.problems


def _ask_about(
    trainable: TrainableSpec, samples: list[Config], path: str, domain: Domain
) -> Iterator[Problem]:
    """What is wrong with the ends of one parameter's range, whatever the others are."""
    if "[" in path:  # within an option of a choice: the sample may have taken another one
        return
    keys = path.split("/")
    dotted = ".".join(keys)
    for value in _ends(domain):
        tried = [made for sample in samples if (made := _with(sample, keys, value)) is not None]
        found = [
            [problem for problem in _ask(trainable, config) if _about(problem.path, dotted)]
            for config in tried
        ]
        if found and all(found):
            yield Problem(dotted, found[0][0].message)


def _with(sample: Config, keys: list[str], value: Any) -> Config | None:
    """The sample with another value at one place; None where it has no such place."""
    tried = copy.deepcopy(sample)
    box: Any = tried
    try:
        for key in keys[:-1]:
            box = box[int(key)] if isinstance(box, list) else box[key]
        last: Any = int(keys[-1]) if isinstance(box, list) else keys[-1]
        box[last]  # raises where it is not there
        box[last] = value
    except (LookupError, TypeError, ValueError):
        return None
    return tried


def _about(told: str, dotted: str) -> bool:
    told = told.replace("/", ".")
    return told == dotted or told.startswith(f"{dotted}.") or dotted.startswith(f"{told}.")


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
