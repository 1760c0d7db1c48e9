"""Finds the files of offline data: a path, a glob, a directory, a URL, or a list of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec

from tunerl.errors import InvalidInput

SUFFIXES = {
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
METHODS = ("auto", "read_parquet", "read_json")
MINARI = "minari://"


def places(input_: Any) -> list[str]:
    """The paths and URLs of an `input_`, local ones absolute. Raises `InvalidInput`."""
    given = input_ if isinstance(input_, list | tuple) else [input_]
    if not given or not all(isinstance(entry, str | os.PathLike) and str(entry) for entry in given):
        raise InvalidInput(
            f"{input_!r} is no place of data; give a path, a glob, a directory, a URL, or a list "
            "of them"
        )
    return [absolute(os.fspath(entry)) for entry in given]


def absolute(place: str) -> str:
    """A local path as an absolute one; a URL as it is."""
    place = place.removeprefix("file://")
    return place if "://" in place else str(Path(place).expanduser().absolute())


def find(places: Sequence[str], method: str) -> list[tuple[str, str]]:
    """``(path or URL, method)`` of every file, sorted within each place.

    Raises `InvalidInput` for a place without files, or one whose kind cannot be told.
    """
    found: list[tuple[str, str]] = []
    for place in places:
        found += [(place, "minari")] if place.startswith(MINARI) else _of_place(place, method)
    return found


def _of_place(place: str, method: str) -> list[tuple[str, str]]:
    try:
        system, path = fsspec.core.url_to_fs(place)
        names = _names(system, path)
    except (OSError, ImportError, ValueError) as error:
        raise InvalidInput(f"{place} cannot be read: {error}") from error
    kinds = {name: _method(name, method) for name in names}
    url = system.unstrip_protocol if "://" in place else str
    files = [(url(name), kind) for name, kind in sorted(kinds.items()) if kind]
    if files:
        return files
    suffixes = ", ".join(SUFFIXES)
    if names:
        raise InvalidInput(
            f"{place} holds no file ending in one of {suffixes} (there is "
            f"{os.path.basename(sorted(names)[0])}); say what it is: input_read_method="
            "'read_parquet' or 'read_json'"
        )
    raise InvalidInput(f"{place}: there is no such file{_near(place)}")


def _names(system: Any, path: str) -> list[str]:
    """The files that a path stands for: itself, those below it, or those it matches."""
    if any(sign in path for sign in "*?["):
        return [name for name in system.glob(path) if not _hidden(name) and not system.isdir(name)]
    if system.isdir(path):
        below = [name for name in system.find(path) if not _hidden(name)]
        return [name for name in below if os.path.splitext(name)[1] in SUFFIXES] or below
    return [path] if system.exists(path) else []


def _hidden(name: str) -> bool:
    """Such as a file that is being written."""
    return os.path.basename(name).startswith(".")


def _method(name: str, method: str) -> str | None:
    if method != "auto":
        return method
    return SUFFIXES.get(os.path.splitext(name)[1])


def _near(place: str) -> str:
    """What is in the directory where a file was looked for."""
    if "://" in place:
        return ""
    folder = Path(place).parent
    if not folder.is_dir():
        return f", nor a directory {folder}"
    names = sorted(entry.name for entry in folder.iterdir())[:5]
    return f"; {folder} holds {', '.join(names) or 'nothing'}"


def signature(place: str) -> tuple[Any, ...]:
    """Changes when the file does, as far as that can be told."""
    try:
        system, path = fsspec.core.url_to_fs(place)
        info = system.info(path)
    except (OSError, ImportError, ValueError):
        return (place,)
    return (place, info.get("size"), str(info.get("mtime", info.get("created"))))
