"""The one home of metric names: flattens what training code reports, finds misspelt names.

Invariant: `flatten` returns only what JSON can carry, under flat ``/``-joined names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tunerl.errors import MetricError, nearest
from tunerl.trial import Metrics

_COUNTERS = ("training_iteration", "time_total_s", "timesteps_total", "episodes_total")


TEXT_CHARS = 10_000  # of one string in a result
LIST_VALUES = 100_000  # in one list


def clipped(text: str, most: int) -> str:
    """The text, of one that is longer than `most` only its beginning and its end."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} ... ({len(text):,} characters) ... {text[-(most // 2) :]}"


ELSEWHERE = {
    "episode_reward_mean": "env_runners/episode_return_mean",
    "episode_reward_max": "env_runners/episode_return_max",
    "episode_reward_min": "env_runners/episode_return_min",
    "ep_rew_mean": "env_runners/episode_return_mean",
    "mean_reward": "env_runners/episode_return_mean",
    "episodic_return": "env_runners/episode_return_mean",
    "episode_return": "env_runners/episode_return_mean",
    "episode_reward": "env_runners/episode_return_mean",
    "reward": "env_runners/episode_return_mean",
    "return": "env_runners/episode_return_mean",
    "ep_len_mean": "env_runners/episode_len_mean",
    "timesteps_total": "num_env_steps_sampled_lifetime",
    "total_timesteps": "num_env_steps_sampled_lifetime",
    "num_env_steps_sampled": "num_env_steps_sampled_lifetime",
    "num_agent_steps_sampled": "num_env_steps_sampled_lifetime",
    "agent_timesteps_total": "num_env_steps_sampled_lifetime",
    "global_step": "num_env_steps_sampled_lifetime",
    "steps": "num_env_steps_sampled_lifetime",
    "timesteps": "num_env_steps_sampled_lifetime",
    "env_steps": "num_env_steps_sampled_lifetime",
    "episodes_total": "env_runners/num_episodes_lifetime",
    "iteration": "training_iteration",
    "iterations": "training_iteration",
    "epoch": "training_iteration",
    "time": "time_total_s",
}
"""Last words of metrics' names in RLlib's older versions, SB3 and CleanRL -> RLlib's of today."""


def flatten(metrics: Mapping[Any, Any]) -> Metrics:
    """Nested metrics as flat ones: ``{"a": {"b": 1}}`` becomes ``{"a/b": 1}``.

    Numbers of numpy and of torch (anything of one element with ``item()``) become Python's own,
    arrays become lists; of strings beyond measure the middle is left out. Raises `MetricError` for
    what is not a dict, for values that are no numbers, strings, booleans, None or lists of them,
    for lists of more than 100,000 values, and for two values under one name.
    """
    if not isinstance(metrics, Mapping):
        raise MetricError(
            f"reported {metrics!r} of type {type(metrics).__name__}; "
            'report a dict of metrics such as {"loss": 0.5}'
        )
    flat: Metrics = {}
    _flatten(metrics, "", flat)
    return flat


def counters(metrics: Metrics) -> dict[str, float]:
    """What only grows in the life of a trial: iterations, seconds, and all that is "lifetime"."""
    return {
        name: value
        for name, value in metrics.items()
        if (name in _COUNTERS or name.endswith("_lifetime"))
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _flatten(metrics: Mapping[Any, Any], prefix: str, flat: Metrics) -> None:
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _flatten(value, name + "/", flat)
        elif name in flat:
            raise MetricError(f"two metrics go by the name {name!r}; rename one")
        else:
            flat[name] = _plain(value, name)


def _plain(value: Any, name: str) -> Any:
    if type(value) is str:
        return clipped(value, TEXT_CHARS)
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, np.ndarray) and value.ndim > 0:
        value = value.tolist()
    if isinstance(value, list | tuple):
        if len(value) > LIST_VALUES:
            raise MetricError(
                f"metric {name!r} is a list of {len(value):,} values; report a summary of them, or "
                f"at most {LIST_VALUES:,}"
            )
        return [_plain(entry, name) for entry in value]
    if callable(getattr(value, "item", None)) and getattr(value, "size", 1) != 0:
        try:
            value = value.item()
        except (TypeError, ValueError, RuntimeError) as error:
            raise MetricError(f"metric {name!r} is not one number: {error}") from error
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise MetricError(
        f"metric {name!r} is a {type(value).__name__}; "
        "report numbers, strings, booleans, None or lists of them"
    )


def nearest_metric(name: str, known: Iterable[str]) -> str:
    """A hint for a metric that is not among `known`: its name elsewhere first, then the same last
    word, then spelling."""
    known = sorted(known)
    last = name.rsplit("/", 1)[-1]
    meant = ELSEWHERE.get(last)
    if meant in known and meant != name:
        return f"it is called {meant!r} here"
    same = [other for other in known if other.rsplit("/", 1)[-1] == last and other != name]
    if same:
        return f"did you mean {same[0]!r}?"
    return nearest(name, known)
