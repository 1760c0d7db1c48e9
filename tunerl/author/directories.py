"""What an author saves, as a `State`: files of a directory, or a dict of values and arrays.

Invariant: unpacking gives back what was packed, types included; what cannot be carried without
pickle is refused with a `CheckpointError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunerl.errors import CheckpointError

Arrays = dict[str, NDArray[Any]]

FILES = "files/"
VALUES = "values/"


def pack_files(directory: str | Path) -> Arrays:
    """Each file below `directory` as a uint8 array under ``files/<relative path>``.

    Raises `CheckpointError` when there is no such directory.
    """
    root = Path(directory)
    if not root.is_dir():
        raise CheckpointError(f"{str(root)!r} is no directory; a checkpoint is a directory")
    return {
        FILES + path.relative_to(root).as_posix(): np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def unpack_files(arrays: Mapping[str, NDArray[Any]], directory: str | Path) -> None:
    """Write the files of `pack_files` below `directory`, which need not exist.

    Raises `CheckpointError` for a path that leads out of it.
    """
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    for name, content in arrays.items():
        if not name.startswith(FILES):
            continue
        relative = PurePosixPath(name.removeprefix(FILES))
        if relative.is_absolute() or ".." in relative.parts:
            raise CheckpointError(f"the checkpoint holds a file outside of it: {str(relative)!r}")
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.tobytes())


def pack_values(values: Mapping[str, Any]) -> tuple[Any, Arrays]:
    """A dict as (JSON, arrays). Raises `CheckpointError` naming the first entry that is neither.

    JSON has no tuples, bytes, numpy scalars and no NaN; these become objects of one tagged key.
    """
    arrays: Arrays = {}
    return _encode(values, "", arrays), arrays


def unpack_values(encoded: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The inverse of `pack_values`."""
    if isinstance(encoded, list):
        return [unpack_values(entry, arrays) for entry in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if len(encoded) == 1:
        ((tag, content),) = encoded.items()
        if tag in _DECODERS:
            return _DECODERS[tag](content, arrays)
    return {key: unpack_values(entry, arrays) for key, entry in encoded.items()}


_DECODERS: dict[str, Any] = {
    "__array__": lambda name, arrays: arrays[name].copy(),
    "__scalar__": lambda name, arrays: arrays[name][()],
    "__bytes__": lambda name, arrays: arrays[name].tobytes(),
    "__tuple__": lambda entries, arrays: tuple(unpack_values(e, arrays) for e in entries),
    "__float__": lambda text, arrays: float(text),
}


def _encode(value: Any, path: str, arrays: Arrays) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"__float__": repr(value)}
    if isinstance(value, np.generic | np.ndarray | bytes):
        return _encode_array(value, path, arrays)
    if type(value) in (list, tuple):
        entries = [_encode(entry, f"{path}/{i}", arrays) for i, entry in enumerate(value)]
        return entries if isinstance(value, list) else {"__tuple__": entries}
    if isinstance(value, Mapping):
        return dict(_encode_items(value, path, arrays))
    raise _refusal(path, f"is a {type(value).__name__}")


def _encode_array(value: Any, path: str, arrays: Arrays) -> dict[str, str]:
    name = VALUES + path.lstrip("/")
    if isinstance(value, bytes):
        tag, array = "__bytes__", np.frombuffer(value, dtype=np.uint8)
    else:
        tag = "__array__" if isinstance(value, np.ndarray) else "__scalar__"
        array = np.array(value)  # a copy: training goes on while this one is written
        if array.dtype.kind not in "biuf":
            raise _refusal(path, f"is an array of {array.dtype}")
    if name in arrays:  # the keys "a/b" and "a" -> "b" meet
        raise _refusal(path, "has the same path as another entry; rename one of them")
    arrays[name] = array
    return {tag: name}


def _encode_items(items: Mapping[Any, Any], path: str, arrays: Arrays) -> Iterator[tuple[str, Any]]:
    for key, entry in items.items():
        if not isinstance(key, str):
            raise _refusal(f"{path}/{key}", f"has the key {key!r}; keys are strings")
        if key in _DECODERS:
            raise _refusal(f"{path}/{key}", f"has the key {key!r}, which is reserved")
        yield key, _encode(entry, f"{path}/{key}", arrays)


def _refusal(path: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"save_checkpoint returned a dict whose entry {path.lstrip('/')!r} {what}; a dict may hold "
        "JSON values and numpy arrays of numbers: write anything else to a file in checkpoint_dir"
    )
