"""One member's checkpoint: `state.safetensors`, `state.json`, and `manifest.json` over both.

Invariant: what `load` returns equals what `save` was given, bit for bit; any other bytes on disk
are a `CorruptCheckpoint`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunerl import codec
from tunerl.checkpoints.places import MANIFEST, Place, place
from tunerl.errors import CheckpointError, CorruptCheckpoint, InvalidInput, StorageFull
from tunerl.trainable import State

ARRAYS, VALUES = "state.safetensors", "state.json"
FORMAT = 1
_RESERVED = "__metadata__"  # safetensors keeps it for itself
_NATIVE = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
}


@dataclass(frozen=True)
class Saved:
    """What a checkpoint takes: bytes of all its files, and the SHA-256 of its manifest."""

    size: int
    sha256: str


def save(state: State, uri: str, meta: Mapping[str, Any]) -> Saved:
    """Write `state` and `meta` (JSON) to the directory or fsspec URL `uri`; what is there goes.

    Tuples in values come back as lists. Raises `StorageFull`, and `CheckpointError` for a state
    that cannot be written (an array of objects, a value that is not JSON) or storage that refuses.
    """
    files = _encode(state, meta)
    files[MANIFEST] = _manifest(files)
    place(uri).write(files)
    return _saved(files)


def load(uri: str) -> tuple[State, dict[str, Any]]:
    """The state and meta that `save` wrote. Raises `CorruptCheckpoint` naming the file at fault."""
    where = place(uri)
    return _decode(where, _checked(where))


def verify(uri: str) -> Saved:
    """Read every byte and check it. Raises `CorruptCheckpoint` naming the file at fault."""
    return _saved(_checked(place(uri)))


def prepare(uri: str) -> None:
    """Make the directory in which checkpoints will be written. Raises `CheckpointError`."""
    try:
        place(uri).prepare()
    except StorageFull:
        return  # there may be room when the first one is written
    except CheckpointError as error:
        why = error.__cause__ or error
        raise CheckpointError(
            f"checkpoints cannot be written to {uri}: {why}; give another storage_path"
        ) from error


def delete(uri: str) -> None:
    """Remove a checkpoint of a replica, of an iteration, or all of a trial; none there is fine."""
    place(uri).delete()


def _encode(state: State, meta: Mapping[str, Any]) -> dict[str, bytes]:
    from safetensors import SafetensorError
    from safetensors.numpy import save as pack

    arrays: dict[str, NDArray[Any]] = {}
    foreign: dict[str, list[Any]] = {}
    for name, given in sorted(state.arrays.items()):
        array = np.asarray(given)
        if name == _RESERVED:
            raise CheckpointError(f"an array cannot be called {name!r}; choose another name")
        if array.dtype.hasobject:
            raise CheckpointError(f"array {name!r} holds Python objects; convert it to numbers")
        array = array if array.flags.c_contiguous else array.copy(order="C")
        if array.dtype.name not in _NATIVE or not array.dtype.isnative:
            descr = np.lib.format.dtype_to_descr(array.dtype)
            if np.lib.format.descr_to_dtype(descr) != array.dtype:
                raise CheckpointError(f"array {name!r} has type {array.dtype}; convert it first")
            foreign[name] = [repr(descr), list(array.shape)]
            array = np.frombuffer(array.tobytes(), dtype=np.uint8)
        arrays[name] = array
    names = list(state.arrays)  # safetensors forgets their order
    document = {"arrays": names, "foreign": foreign, "meta": dict(meta), "values": state.values}
    try:
        return {ARRAYS: pack(arrays), VALUES: codec.dumps(document).encode()}
    except (SafetensorError, InvalidInput, TypeError) as error:
        raise CheckpointError(f"the state cannot be written: {error}") from error


def _decode(where: Place, files: Mapping[str, bytes]) -> tuple[State, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    try:
        document = codec.loads(files[VALUES])
        loaded = unpack(files[ARRAYS])
        arrays = {name: np.array(loaded[name]) for name in document["arrays"]}
        for name, (descr, shape) in document["foreign"].items():
            dtype = np.lib.format.descr_to_dtype(ast.literal_eval(descr))
            raw = arrays[name].tobytes()
            arrays[name] = np.ndarray(shape, dtype, buffer=bytearray(raw))
        return State(arrays, document["values"]), document["meta"]
    except (SafetensorError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise CorruptCheckpoint(
            f"{where.uri} has the right checksums but cannot be read: {error}"
        ) from error


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest(files: Mapping[str, bytes]) -> bytes:
    sums = {name: {"sha256": _digest(data), "size": len(data)} for name, data in files.items()}
    document = {"files": sums, "format": FORMAT}
    return _canonical({**document, "checksum": _digest(_canonical(document))})


def _saved(files: Mapping[str, bytes]) -> Saved:
    return Saved(sum(len(data) for data in files.values()), _digest(files[MANIFEST]))


def _checked(where: Place) -> dict[str, bytes]:
    """All files of a checkpoint, the manifest last. Raises `CorruptCheckpoint`."""
    try:
        manifest = where.read(MANIFEST)
    except FileNotFoundError:
        raise CorruptCheckpoint(
            f"{where.uri} has no {MANIFEST}: it was never finished, or was removed"
        ) from None
    files = {}
    for name, expected in _read_manifest(where, manifest).items():
        try:
            data = files[name] = where.read(name)
        except FileNotFoundError:
            raise CorruptCheckpoint(
                f"{where.uri}/{name} is missing; expected {expected['size']} bytes"
            ) from None
        if len(data) != expected["size"]:
            raise CorruptCheckpoint(
                f"{where.uri}/{name} has {len(data)} bytes; expected {expected['size']}"
            )
        if _digest(data) != expected["sha256"]:
            raise CorruptCheckpoint(
                f"{where.uri}/{name} has SHA-256 {_digest(data)}; expected {expected['sha256']}"
            )
    return {**files, MANIFEST: manifest}


def _read_manifest(where: Place, manifest: bytes) -> dict[str, Any]:
    try:
        document = json.loads(manifest)
        checksum = document.pop("checksum")
        actual = _digest(_canonical(document))
        whole = manifest == _canonical({**document, "checksum": checksum})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptCheckpoint(f"{where.uri}/{MANIFEST} is no manifest of a checkpoint") from None
    if checksum != actual or not whole:
        raise CorruptCheckpoint(
            f"{where.uri}/{MANIFEST} was changed: its SHA-256 is {actual}; expected {checksum}"
        )
    if document["format"] != FORMAT:
        raise CheckpointError(
            f"{where.uri} has format {document['format']}, this TuneRL reads {FORMAT}; upgrade it"
        )
    files: dict[str, Any] = document["files"]
    return files
