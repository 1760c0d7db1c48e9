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
from tunerl.searchers.optuna_space import labels, to_param
from tunerl.space import Choice, Integer, Numeric, Real, SampleFrom, Space
from tunerl.space.tree import pick

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "partialfixed": "PartialFixedSampler",
    "grid": "GridSampler",
    "bruteforce": "BruteForceSampler",
}
EXHAUSTIVE = ("GridSampler", "BruteForceSampler")
# These look at nothing but the trials; the others also write notes to the study as they go.
NOTELESS = ("TPESampler", "RandomSampler", "GPSampler", "BruteForceSampler")
LARGEST_GRID = 100_000
NEEDS = {"cmaes": ("cmaes",), "gp": ("scipy", "torch"), "qmc": ("scipy",)}
# Options that take a sampler: a name or a dict, as `sampler` itself.
IMPLIED = ("base_sampler", "search_space")  # needed, but known without being given
INNER = ("base_sampler", "independent_sampler")
CROSSOVERS = {
    "uniform": "UniformCrossover",
    "blxalpha": "BLXAlphaCrossover",
    "sbx": "SBXCrossover",
    "spx": "SPXCrossover",
    "undx": "UNDXCrossover",
    "vsbx": "VSBXCrossover",
}
MUTATIONS = {"polynomial": "PolynomialMutation"}
# Options that take a function, an array of trials, or what the searcher gives itself.
PYTHON_ONLY = {
    "seed",
    "gamma",
    "weights",
    "constraints_func",
    "source_trials",
    "elite_population_selection_strategy",
    "child_generation_strategy",
    "after_trial_strategy",
}


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
    if name is None:
        form = f"{dict(options)!r} given; name one, such as {{'name': 'tpe'}}, of "
        raise InvalidSpec(Problem("searcher.sampler.name", form + ", ".join(sorted(SAMPLERS))))
    if name not in SAMPLERS:
        raise InvalidSpec(
            Problem(
                "searcher.sampler.name",
                f"no sampler goes by {name!r}; " + nearest(str(name), SAMPLERS),
            )
        )
    _check_options(str(name), options)
    for key in INNER:
        if key in options or (key == "base_sampler" and name == "partialfixed"):
            options[key] = parse_sampler(options.get(key))
    return options


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    signature = inspect.signature(_cls(name)).parameters
    allowed = set(signature) - PYTHON_ONLY
    problems = [
        Problem(
            f"searcher.sampler.{key}",
            "takes Python; "
            + ("use OptunaSearch(constraints=)" if "constr" in key else "give an Optuna sampler"),
        )
        for key in options.keys() & (PYTHON_ONLY & set(signature) - {"seed"})
    ]
    problems += [
        Problem(f"searcher.sampler.{key}", f"{name} has no such option; " + nearest(key, allowed))
        for key in options
        if key != "name" and key not in allowed and key not in signature.keys() & PYTHON_ONLY
    ]
    problems += [
        Problem(f"searcher.sampler.{key}", f"{name} needs this option")
        for key, parameter in signature.items()
        if parameter.default is parameter.empty and key not in (*options, *IMPLIED)
    ]
    for key, known in (("crossover", CROSSOVERS), ("mutation", MUTATIONS)):
        if options.get(key) is not None and options[key] not in known:
            hint = nearest(str(options[key]), known)
            problems.append(Problem(f"searcher.sampler.{key}", f"{options[key]!r} given; {hint}"))
    if problems:
        raise InvalidSpec(problems)


def _cls(name: str) -> type[BaseSampler]:
    found: type[BaseSampler] = getattr(optuna.samplers, SAMPLERS[name])
    return found


def build(options: Mapping[str, Any], space: Space | None, seed: int) -> BaseSampler:
    """The sampler that `options` name. `space`: None for a define-by-run function."""
    arguments = {key: value for key, value in options.items() if key != "name"}
    name = str(options["name"])
    missing = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
    if missing:
        line = f"{name} needs packages that are not there: pip install {' '.join(missing)}"
        raise InvalidSpec(Problem("searcher.sampler", line))
    if name == "grid":
        arguments.setdefault("search_space", finite(space, name))
    elif name == "bruteforce" and space is not None:
        finite(space, name)
    elif name == "partialfixed":
        arguments["fixed_params"] = _fixed(arguments["fixed_params"], space)
    for key in INNER:
        if isinstance(arguments.get(key), Mapping):
            arguments[key] = build(arguments[key], space, seed)
    for key, known in (("crossover", CROSSOVERS), ("mutation", MUTATIONS)):
        if arguments.get(key) is not None:
            arguments[key] = getattr(optuna.samplers.nsgaii, known[arguments[key]])()
    accepted = inspect.signature(_cls(name)).parameters
    if "warn_independent_sampling" in accepted and name != "tpe":
        arguments.setdefault("warn_independent_sampling", False)
    if "seed" in accepted:
        arguments["seed"] = seed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _cls(name)(**arguments)
    except ImportError as error:
        raise InvalidSpec(
            Problem("searcher.sampler", f"{name} needs a package that is not installed: {error}")
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidSpec(Problem("searcher.sampler", f"{name}: {error}")) from error


def _fixed(given: Any, space: Space | None) -> dict[str, Any]:
    """Values by path as Optuna's parameters. Raises `InvalidSpec`, `InvalidSpace`."""
    path = "searcher.sampler.fixed_params"
    if not isinstance(given, Mapping):
        raise InvalidSpec(Problem(path, f"{given!r} given; it must be a dict of path to value"))
    if space is None:
        return dict(given)
    found: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        domain = space.domains.get(name)
        if isinstance(domain, Choice):
            index = pick(domain, value)
            if index is not None:
                found[name] = labels(domain)[index]
                continue
        elif isinstance(domain, Numeric) and domain.contains(value):
            found[name] = to_param(domain, value)
            continue
        hint = f"{value!r} is not in {domain}" if domain else nearest(str(name), space.domains)
        problems.append(Problem(f"{path}.{name}", hint))
    if problems:
        raise InvalidSpec(problems)
    return found


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
