"""Classes and functions in configurations: what they are called where only JSON can be written.

Invariant: a name leads back only to what this program has used itself; nothing is imported for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tunerl import registry
from tunerl.errors import InvalidConfig, Problem
from tunerl.trial import Config

_used: dict[str, Any] = {}
_INNER = (
    ("model", "custom_model"),
    ("model", "custom_action_dist"),
    ("model", "custom_preprocessor"),
    ("evaluation_config", "env"),
)


_FUNCTIONS = (
    "custom_evaluation_function",
    "env_to_module_connector",
    "module_to_env_connector",
)


def word(value: Any) -> str:
    """A class or function as a word that is the same in every process.

    Functions without a name of their own (lambdas, inner ones) are told apart by what they do.
    """
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    name = f"{getattr(value, '__module__', '')}.{name}"
    code = getattr(value, "__code__", None)
    if code is None or "<" not in name:
        return name
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    parts = (code.co_code.hex(), code.co_consts, code.co_names, cells, value.__defaults__)
    return f"{name}:{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def share(kind: str, thing: Any) -> Any:
    """The name by which workers of this process find a class or function again, as `shared`;
    what is none as it is."""
    if isinstance(thing, str) or not callable(thing):
        return thing
    known, name = registry.shared(kind), word(thing)
    same = next((word for word, other in known.items() if other is thing), None)
    if same is not None:
        return same
    taken = sum(word == name or word.startswith(f"{name}#") for word in known)
    name = f"{name}#{taken}" if taken else name
    registry.share(kind, name, thing)
    return name


def shared(kind: str, thing: Any) -> Any:
    """What was given to `share`, by its name; what is no name as it is.

    Raises `InvalidConfig`, at the path `kind`, for a name that is not known here.
    """
    if not isinstance(thing, str):
        return thing
    known = registry.shared(kind)
    if thing not in known:
        told = f"{thing!r} is not known here; it is Python: give it in a program, as an object"
        raise InvalidConfig(Problem(kind, told))
    return known[thing]


def plain(value: Any) -> Any:
    """Settings as JSON: a class or function becomes its name."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return word(value) if callable(value) else value


def remember(config: Mapping[str, Any]) -> None:
    """Note the classes and functions of a configuration that is used here."""
    inner = [(config.get(name) or {}).get(key) for name, key in _INNER]
    own = (config.get(name) for name in ("env", *_FUNCTIONS))
    for value in (*own, *inner, *_leaves(config.get("callbacks"))):
        if callable(value):
            _used[word(value)] = value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for entry in value.values() for leaf in _leaves(entry)]
    if isinstance(value, list | tuple):
        return [leaf for entry in value for leaf in _leaves(entry)]
    return [value]


def recalled(config: Mapping[str, Any]) -> Config:
    """The settings of a checkpoint, with the classes that they name, as far as they were used."""
    found = dict(config) | {"env": _recalled(config.get("env"))}
    for name in ("callbacks", *_FUNCTIONS):
        if config.get(name) is not None:
            found[name] = _each_recalled(config[name])
    for name, key in _INNER:
        inner = found.get(name)
        if isinstance(inner, Mapping) and key in inner:
            found[name] = {**inner, key: _recalled(inner[key])}
    return found


def _each_recalled(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) != {"python"}:
        return {name: _each_recalled(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_each_recalled(entry) for entry in value]
    return _recalled(value)


def _recalled(name: Any) -> Any:
    if isinstance(name, Mapping) and set(name) == {"python"}:  # as an experiment writes it
        name = name["python"]
    return _used.get(name, name) if isinstance(name, str) else name
