"""Keywords that a class does not take: an error with the nearest name, not Python's TypeError.

Invariant: a signature stays as it was written, for people, for `inspect` and for type checkers.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from tunerl.errors import InvalidSpec, Problem

T = TypeVar("T")

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def checked(cls: type[T]) -> type[T]:
    """Let `cls` raise `InvalidSpec` for keywords that its own ``__init__`` does not take."""
    init: Any = vars(cls)["__init__"]
    _, *parameters = inspect.signature(init).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return cls
    known = [each.name for each in parameters if each.kind in _NAMED]

    @functools.wraps(init)
    def check(self: Any, *args: Any, **options: Any) -> None:
        unknown = [name for name in options if name not in known]
        if unknown:
            from tunerl.hints import field_hint

            name = type(self).__name__
            raise InvalidSpec(
                [
                    Problem(f"{name}.{each}", f"there is no such option; {field_hint(each, known)}")
                    for each in unknown
                ]
            )
        init(self, *args, **options)

    cls.__init__ = check  # type: ignore[method-assign]
    return cls


@checked
class Checked:
    """A base of classes that are all `checked`."""

    def __init__(self) -> None:
        """Takes nothing."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            checked(cls)
