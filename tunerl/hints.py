"""What people may have meant: names from elsewhere, domains that are almost written right. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from tunerl.errors import nearest
from tunerl.space.codec import WORDS

FIELDS = {
    "algo": "trainable",
    "algorithm": "trainable",
    "run": "trainable",
    "config": "param_space",
    "hyperparameters": "param_space",
    "parameters": "param_space",
    "search_space": "param_space",
    "space": "param_space",
    "objective": "metric",
    "direction": "mode",
    "directions": "mode",
    "n_trials": "num_samples",
    "num_trials": "num_samples",
    "max_trials": "num_samples",
    "n_seeds": "num_seeds",
    "search_alg": "searcher",
    "sampler": "searcher",
    "pruner": "scheduler",
    "timeout": "time_budget_s",
    "stopping_criteria": "stop",
    "n_jobs": "max_concurrent_trials",
    "max_concurrent": "max_concurrent_trials",
}
"""Fields of an experiment by their names in Ray Tune's configurations and in Optuna."""

_SPELT = ("type", "name", "distribution", "domain")
_BOUNDS = ("low", "high", "lower", "upper", "min", "max", "values", "choices", "categories")


def field_hint(name: str, known: Collection[str]) -> str:
    """What an unknown field of an experiment may have meant."""
    meant = FIELDS.get(name)
    return f"it is called {meant!r} here" if meant in known else nearest(name, known)


def domain_hint(value: Any) -> str | None:
    """How a constant that looks like a domain would be written as one; None for others."""
    if not isinstance(value, Mapping):
        return None
    spelt = next((value[key] for key in _SPELT if isinstance(value.get(key), str)), None)
    if spelt is not None and any(key in value for key in _BOUNDS):
        word = (difflib.get_close_matches(spelt.lower(), sorted(WORDS), 1) or ["uniform"])[0]
        return f"a domain is written {{{word!r}: [...]}}, its name the only key"
    if len(value) == 1:
        (key, args), close = next(iter(value.items())), None
        if key not in WORDS and isinstance(args, list | tuple):
            close = difflib.get_close_matches(str(key).lower(), sorted(WORDS), 1, 0.75)
        if close:
            return f"there is no domain {str(key)!r}; did you mean {close[0]!r}?"
    return None
