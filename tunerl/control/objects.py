"""Python objects in configurations (classes, functions): JSON in the store, themselves in training.

Invariant: `thaw` of `freeze` gives an equal configuration back, in any process that has the same
search space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunerl import codec
from tunerl.errors import InvalidSpace, Problem
from tunerl.space import Choice, Domain, Space
from tunerl.space.domains import When
from tunerl.trial import Config

MARK = "python"


class Objects:
    """The Python objects that a search space holds, by name."""

    def __init__(self, space: Space | None = None) -> None:
        self._names: dict[int, str] = {}
        self._objects: dict[str, Any] = {}
        for found in _leaves(space.tree) if space is not None else ():
            name = _name(found)
            if id(found) in self._names:
                continue
            if name in self._objects:
                name = f"{name}#{len(self._objects)}"
            self._names[id(found)], self._objects[name] = name, found

    def freeze(self, config: Config) -> Config:
        """The configuration as JSON. Raises `InvalidSpace` for a value that is neither JSON nor in
        the space (what a `sample_from` made up)."""
        frozen: Config = codec.loads(codec.dumps(self._freeze(config, "")))
        return frozen

    def _freeze(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: self._freeze(entry, f"{path}.{key}") for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self._freeze(entry, path) for entry in value]
        if id(value) in self._names:
            return {MARK: self._names[id(value)]}
        if _plain(value):
            return value
        raise InvalidSpace(
            Problem(
                f"param_space{path}",
                f"{value!r} is neither JSON nor an option of the space; return numbers, strings, "
                "lists or dicts, or choose among objects with choice([...])",
            )
        )

    def thaw(self, config: Config) -> Config:
        """The configuration with its objects. Raises `InvalidSpace` for one that is not here."""
        thawed: Config = self._thaw(config)
        return thawed

    def _thaw(self, value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {MARK} and isinstance(value[MARK], str):
                if value[MARK] not in self._objects:
                    raise InvalidSpace(
                        Problem(
                            "param_space",
                            f"a trial uses the Python object {value[MARK]}, which this search "
                            "space does not hold; give param_space again as it was",
                        )
                    )
                return self._objects[value[MARK]]
            return {key: self._thaw(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._thaw(entry) for entry in value]
        return value


def _leaves(node: Any) -> Iterator[Any]:
    """What of a space's tree is no JSON, in order of declaration."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _leaves(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _leaves(value)
    elif isinstance(node, Choice):
        yield from _leaves(node.options)
    elif isinstance(node, When):
        yield from _leaves(node.then)
    elif not isinstance(node, Domain) and not _plain(node):
        yield node


def _plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float | str)
        or hasattr(value, "dtype")  # numpy's numbers and arrays, which JSON holds as its own
    )


def _name(found: Any) -> str:
    module, name = getattr(found, "__module__", ""), getattr(found, "__qualname__", "")
    return f"{module}.{name}" if module and name else type(found).__qualname__
