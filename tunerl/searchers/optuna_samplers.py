"""Optuna's samplers by name, with options out of JSON."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from tunerl.errors import InvalidSpace, InvalidSpec, Problem, nearest
from tunerl.searchers.optuna_space import labels
from tunerl.space import Choice, Integer, Numeric, Real, SampleFrom, Space

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "grid": "GridSampler",
    "bruteforce": "BruteForceSampler",
}
EXHAUSTIVE = ("GridSampler", "BruteForceSampler")
# These look at nothing but the trials; the others also write notes to the study as they go.
NOTELESS = ("TPESampler", "RandomSampler", "GPSampler", "BruteForceSampler")
LARGEST_GRID = 100_000


def parse_sampler(sampler: Any) -> BaseSampler | dict[str, Any]:
    """``"tpe"`` or ``{"name": "tpe", ...options}`` as the latter; an object as it is.

    Raises `InvalidSpec` for an unknown name or option.
    """
    if isinstance(sampler, BaseSampler):
        return sampler
    if isinstance(sampler, Mapping):
        options = dict(sampler)
    elif sampler is None or isinstance(sampler, str):
        options = {"name": sampler or "tpe"}
    else:
        raise InvalidSpec(
            Problem("searcher.sampler", f"{sampler!r} is neither a name nor an Optuna sampler")
        )
    if "python" in options:
        raise InvalidSpec(
            Problem(
                "searcher.sampler",
                f"{options['python']} is a Python object and cannot come from JSON; name one of "
                + ", ".join(SAMPLERS),
            )
        )
    name = options.get("name")
    if name not in SAMPLERS:
        raise InvalidSpec(
            Problem(
                "searcher.sampler.name",
                f"no sampler goes by {name!r}; " + nearest(str(name), SAMPLERS),
            )
        )
    allowed = set(inspect.signature(_cls(str(name))).parameters) - {"seed"}
    problems = [
        Problem(f"searcher.sampler.{key}", f"{name} has no such option; " + nearest(key, allowed))
        for key in options
        if key != "name" and key not in allowed
    ]
    if problems:
        raise InvalidSpec(problems)
    return options


def _cls(name: str) -> type[BaseSampler]:
    found: type[BaseSampler] = getattr(optuna.samplers, SAMPLERS[name])
    return found


def build(options: Mapping[str, Any], space: Space | None, seed: int) -> BaseSampler:
    """The sampler that `options` name. `space`: None for a define-by-run function."""
    arguments = {key: value for key, value in options.items() if key != "name"}
    name = str(options["name"])
    if name == "grid":
        arguments.setdefault("search_space", finite(space, name))
    elif name == "bruteforce" and space is not None:
        finite(space, name)
    if "warn_independent_sampling" in inspect.signature(_cls(name)).parameters and name != "tpe":
        arguments.setdefault("warn_independent_sampling", False)
    if name == "cmaes" and find_spec("cmaes") is None:
        raise InvalidSpec(
            Problem(
                "searcher.sampler", "cmaes needs a package that is not there: pip install cmaes"
            )
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _cls(name)(**arguments, seed=seed)
    except ImportError as error:
        raise InvalidSpec(
            Problem("searcher.sampler", f"{name} needs a package that is not installed: {error}")
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidSpec(Problem("searcher.sampler", f"{name}: {error}")) from error


def finite(space: Space | None, name: str) -> dict[str, list[Any]]:
    """Every parameter's values, for samplers that go through all of them. Raises `InvalidSpace`."""
    if space is None:
        raise InvalidSpec(
            Problem("searcher.sampler.search_space", f"{name} needs the values of each parameter")
        )
    values: dict[str, list[Any]] = {}
    found = []
    for path, domain in space.domains.items():
        if isinstance(domain, Choice):
            values[path] = labels(domain)
        elif isinstance(domain, Integer) and domain.end - domain.first <= LARGEST_GRID:
            values[path] = list(range(domain.first, domain.end))
        elif isinstance(domain, Real) and domain.q is not None and not domain.log:
            steps = range(round(domain.lower / domain.q), round(domain.upper / domain.q) + 1)
            values[path] = [domain.snap(step * domain.q) for step in steps]
        elif isinstance(domain, Numeric | SampleFrom):
            found.append(
                Problem(path, f"{name} goes through all values, but {domain} has no list of them")
            )
    if found:
        raise InvalidSpace(found)
    return values
