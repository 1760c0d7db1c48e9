"""The settings of a network (`model={...}`): defaults and checks. RLlib's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from algorithms.core.nets.encoders import has_pixels, parts_of
from algorithms.core.nets.layers import ACTIVATIONS
from tunerl import registry
from tunerl.errors import InvalidConfig, Problem, nearest

MODEL_DEFAULTS: dict[str, Any] = {
    "fcnet_hiddens": [64, 64],
    "fcnet_activation": "tanh",
    "head_fcnet_hiddens": [],
    "head_fcnet_activation": "relu",
    "conv_filters": None,
    "conv_activation": "relu",
    "vf_share_layers": False,
    "free_log_std": True,
    "use_lstm": False,
    "use_gru": False,
    "lstm_cell_size": 64,
    "max_seq_len": 20,
    "lstm_use_prev_action": False,
    "lstm_use_prev_reward": False,
    "custom_model": None,
    "custom_model_config": {},
    "custom_action_dist": None,
    "custom_preprocessor": None,
}
PIXEL_DEFAULTS: dict[str, Any] = {"fcnet_activation": "relu", "vf_share_layers": True}
"""For pictures; with them `fcnet_hiddens` is [512] from 36 pixels on, else [128]."""
RECURRENT_DEFAULTS: dict[str, Any] = {"vf_share_layers": True}

RECURRENT = "A2C, A3C, APPO, IMPALA, PPO or VPG"

ALIASES = {
    "post_fcnet_hiddens": "head_fcnet_hiddens",
    "post_fcnet_activation": "head_fcnet_activation",
}

Check = Callable[[Any], str | None]
"""What is wrong with a value, if anything."""


def defaults_for(
    model: Mapping[str, Any], space: gymnasium.Space[Any] | None = None
) -> dict[str, Any]:
    """What holds where nothing is said, for these settings and observations."""
    found = dict(MODEL_DEFAULTS)
    if space is not None and has_pixels(space) and not model.get("custom_model"):
        least = min(min(leaf.shape[:2]) for leaf in parts_of(space) if len(leaf.shape or ()) == 3)
        found |= PIXEL_DEFAULTS | {"fcnet_hiddens": [512] if least >= 36 else [128]}
    if model.get("use_lstm") or model.get("use_gru"):
        found |= RECURRENT_DEFAULTS
    return found


def check_no_memory(model: Mapping[str, Any], algorithm: str) -> None:
    """Raise `InvalidConfig` for a recurrent network, which this algorithm cannot have."""
    for name in ("use_lstm", "use_gru"):
        if model[name]:
            told = f"{algorithm} has no recurrent networks; stack frames, or use {RECURRENT}"
            raise InvalidConfig(Problem(f"model.{name}", told))


def resolve_model(
    model: Mapping[str, Any] | None, space: gymnasium.Space[Any] | None = None
) -> dict[str, Any]:
    """The model settings with defaults filled in, those for observations of `space` if it is given.

    Raises `InvalidConfig` naming every problem.
    """
    settings: Any = model
    if settings is not None and not isinstance(settings, Mapping):
        message = f"{settings!r} given; it must be an object, such as {{'fcnet_hiddens': [64, 64]}}"
        raise InvalidConfig(Problem("model", message))
    given = {ALIASES.get(name, name): value for name, value in (model or {}).items()}
    problems = [
        Problem(f"model.{name}", f"unknown setting; {nearest(name, MODEL_DEFAULTS)}")
        for name in given
        if name not in MODEL_DEFAULTS
    ]
    full = {**defaults_for(given, space), **given}
    for name, check in CHECKS.items():
        wrong = check(full[name])
        if wrong is not None:
            problems.append(Problem(f"model.{name}", wrong))
    if full["use_lstm"] is True and full["use_gru"] is True:
        problems.append(Problem("model.use_gru", "set one of use_lstm and use_gru, not both"))
    if problems:
        raise InvalidConfig(problems)
    for name in ("fcnet_hiddens", "head_fcnet_hiddens"):
        full[name] = list(full[name])
    if full["conv_filters"] is not None:
        full["conv_filters"] = [
            [list(part) if isinstance(part, tuple) else part for part in entry]
            for entry in full["conv_filters"]
        ]
    return full


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _sizes(value: Any) -> str | None:
    fine = isinstance(value, list | tuple) and all(map(_count, value))
    return None if fine else f"got {value!r}; give a list of positive integers"


def _activation(value: Any) -> str | None:
    return None if value in ACTIVATIONS else f"got {value!r}; {nearest(str(value), ACTIVATIONS)}"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"got {value!r}; give true or false"


def _positive(value: Any) -> str | None:
    return None if _count(value) else f"got {value!r}; give an integer from 1"


def _filters(value: Any) -> str | None:
    if value is None or (isinstance(value, list | tuple) and all(map(_filter, value))):
        return None
    return (
        f"got {value!r}; give a list of [filters, kernel, stride], kernel and stride a number or "
        f'two, and if need be "same" or "valid" as a fourth'
    )


def _filter(entry: Any) -> bool:
    if not isinstance(entry, list | tuple) or len(entry) not in (3, 4):
        return False
    pairs = all(
        _count(part) or (isinstance(part, list | tuple) and len(part) == 2 and _sizes(part) is None)
        for part in entry[1:3]
    )
    return (
        _count(entry[0])
        and pairs
        and entry[3:] in ([], ["same"], ["valid"], (), ("same",), ("valid",))
    )


def _registered(kind: str, verb: str) -> Check:
    def check(value: Any) -> str | None:
        known = registry.shared(kind)
        if not isinstance(value, str) or value in known:
            return None
        return f"{value!r} is not registered ({verb}); {nearest(value, known)}"

    return check


def _object(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "give an object"


CHECKS: dict[str, Check] = {
    "fcnet_hiddens": _sizes,
    "head_fcnet_hiddens": _sizes,
    "fcnet_activation": _activation,
    "head_fcnet_activation": _activation,
    "conv_activation": _activation,
    "conv_filters": _filters,
    "lstm_cell_size": _positive,
    "max_seq_len": _positive,
    "vf_share_layers": _flag,
    "free_log_std": _flag,
    "use_lstm": _flag,
    "use_gru": _flag,
    "lstm_use_prev_action": _flag,
    "lstm_use_prev_reward": _flag,
    "custom_model": _registered("model", "register_model"),
    "custom_model_config": _object,
    "custom_preprocessor": _registered("preprocessor", "register_preprocessor"),
}
