"""JSON for what is kept on disk: valid JSON that gives NaN, the infinities and big integers back.

A float that JSON lacks is written as an object with the one key ``$float``, such as
``{"$float": "nan"}``; a user's own key that looks like it gets one more ``$`` in front.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

from tunerl.errors import InvalidInput

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_DECODER = json.JSONDecoder()  # its raw form takes half the time on short texts
_MARK = '$float"'
_KEY = re.compile(r"\$+float")


def dumps(value: Any) -> str:
    """`value` as JSON text. Raises `InvalidInput` for a type that JSON cannot carry."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError as error:
        if "Circular" in str(error):
            raise InvalidInput("a value that contains itself cannot be written as JSON") from None
    else:
        if _MARK not in text:
            return text
    return json.dumps(_escape(value), allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """The value that `dumps` wrote. Raises `ValueError` for text that is not JSON."""
    if isinstance(text, bytes | bytearray | memoryview):
        text = bytes(text).decode()
    if _MARK in text:
        return json.loads(text, object_hook=_unescape)
    try:
        value, end = _DECODER.raw_decode(text)
    except ValueError:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    raise InvalidInput(
        f"{value!r} of type {type(value).__name__} cannot be written as JSON; "
        "use numbers, strings, booleans, None, lists and dictionaries"
    )


def _escape(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, dict):
        return {
            f"${key}" if isinstance(key, str) and _KEY.fullmatch(key) else key: _escape(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [_escape(entry) for entry in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return _escape(_plain(value))


def _unescape(entry: dict[str, Any]) -> Any:
    if len(entry) == 1 and entry.get("$float") in _SPECIAL:
        return _SPECIAL[entry["$float"]]
    return {key[1:] if _KEY.fullmatch(key) else key: value for key, value in entry.items()}
