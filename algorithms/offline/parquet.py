"""Offline data in Parquet: a row is a transition, a column one of `columns.NAMES`.

The spaces stand in the file's metadata under `SPACES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from algorithms.offline.columns import Columns, canonical
from algorithms.offline.part import Part, SpacesJson
from tunerl.errors import InvalidInput

SPACES = b"tunerl_spaces"


def read(path: str) -> Part:
    """The columns of one file that mean something here. Raises `InvalidInput`, naming the file."""
    try:
        with fsspec.open(path, "rb") as file:
            parquet = pq.ParquetFile(file)
            there = parquet.schema_arrow.names
            _refuse_episodes(there, path)
            names = canonical(there)
            table = parquet.read(columns=list(names.values()))
            metadata = parquet.schema_arrow.metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(f"{path} is no Parquet file that can be read: {error}") from error
    columns = {ours: _array(table[name], name, path) for ours, name in names.items()}
    return Part(path, columns, there, _spaces(metadata, path))


def _refuse_episodes(there: list[str], path: str) -> None:
    if there == ["item"]:
        raise InvalidInput(
            f"{path} holds RLlib's serialised episodes (one column 'item'), which only RLlib can "
            "read; write it with output_write_episodes=False, so that each row is a step"
        )


def _spaces(metadata: Mapping[bytes, bytes], path: str) -> SpacesJson | None:
    if SPACES not in metadata:
        return None
    try:
        found: SpacesJson = json.loads(metadata[SPACES])
    except ValueError as error:
        raise InvalidInput(f"{path}: its description of the spaces is no JSON: {error}") from error
    return found


def _array(column: Any, name: str, path: str) -> NDArray[Any]:
    """A column as an array ``[N, ...]``; lists must all have one length."""
    array = column.combine_chunks()
    shape: list[int] = [len(array)]
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy())) + 1
        raise InvalidInput(f"{path}, row {row}: column {name!r} holds no value")
    while pa.types.is_nested(array.type) or isinstance(array.type, pa.BaseExtensionType):
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
            continue
        if pa.types.is_struct(array.type):
            raise InvalidInput(f"{path}: column {name!r} holds {array.type}; flatten it to a list")
        lengths = np.asarray(array.value_lengths().fill_null(-1))
        if len(lengths) and (lengths != lengths[0]).any():
            row = int(np.argmax(lengths != lengths[0]) // np.prod(shape[1:], dtype=int)) + 1
            raise InvalidInput(
                f"{path}, row {row}: column {name!r} holds lists of different lengths "
                f"({', '.join(map(str, sorted(set(lengths.tolist()))[:4]))})"
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        array = array.flatten()
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        if name in ("eps_id", "episode_id"):
            return np.array(array.to_pylist(), dtype=str)
        packed = " (RLlib packs columns: output_compress_columns=[])" * pa.types.is_binary(kind)
        raise InvalidInput(f"{path}: column {name!r} holds {kind}, not numbers{packed}")
    if pa.types.is_float16(kind):
        array = array.cast(pa.float32())
    return np.array(array.to_numpy(zero_copy_only=False)).reshape(shape)


def write(path: str, columns: Columns, spaces: SpacesJson) -> None:
    """Write one file."""
    arrays = {name: _column(column) for name, column in columns.items()}
    table = pa.table(arrays).replace_schema_metadata({SPACES: json.dumps(spaces).encode()})
    with fsspec.open(path, "wb") as file:
        pq.write_table(table, file)


def _column(column: NDArray[Any]) -> Any:
    """Rows of several numbers become fixed-size lists, one inside the other."""
    array = pa.array(np.ascontiguousarray(column).reshape(-1))
    for size in reversed(column.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array
