"""Offline data as JSON lines: plain numbers and lists under RLlib's names.

A line is a run of transitions (RLlib's ``{"type": "SampleBatch", "obs": [[...], ...], ...}``) or a
single one (``{"obs": [...], "actions": 0, ...}``). The first line also holds the spaces, under
`SPACES`. Invariant: nothing packed or pickled is ever opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from algorithms.offline.columns import Columns, canonical
from algorithms.offline.part import Part, SpacesJson
from tunerl.errors import InvalidInput

SPACES = "tunerl_spaces"
SCALARS = ("actions", "rewards", "terminateds", "truncateds", "eps_id", "t", "action_logp")


def read(path: str) -> Part:
    """The columns of one file. Raises `InvalidInput`, naming file and line."""
    pieces: dict[str, list[NDArray[Any]]] = {}
    lines: list[int] = []
    there: dict[str, None] = {}
    spaces: SpacesJson | None = None
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                batch = _parsed(line, where)
                spaces = spaces or batch.get(SPACES)
                there |= dict.fromkeys(name for name in batch if name not in ("type", SPACES))
                columns, count = _columns(batch, where)
                if pieces and set(columns) != set(pieces):
                    odd = ", ".join(sorted(set(columns) ^ set(pieces)))
                    raise InvalidInput(f"{where}: not every line has the columns {odd}")
                for name, column in columns.items():
                    pieces.setdefault(name, []).append(column)
                lines += [number] * count
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    joined = {name: _joined(parts, name, path, lines) for name, parts in pieces.items()}
    return Part(path, joined, list(there), spaces, lines)


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{where} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{where} holds {type(found).__name__}, not an object with columns")
    if found.get("type") == "MultiAgentBatch":
        policies = found.get("policy_batches", {})
        if len(policies) != 1:
            raise InvalidInput(f"{where} holds {len(policies)} agents; only one can be learned")
        return dict(next(iter(policies.values())))
    return found


def _columns(batch: Mapping[str, Any], where: str) -> tuple[Columns, int]:
    """The columns of one line, and how many rows it holds."""
    names = canonical(batch)
    single = any(
        ours in SCALARS and not isinstance(batch[name], list) for ours, name in names.items()
    )
    found = {ours: _array(batch[name], name, where, single) for ours, name in names.items()}
    counts = {names[name]: len(column) for name, column in found.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise InvalidInput(f"{where}: its columns have different lengths ({told})")
    return found, next(iter(counts.values()), 0)


def _array(value: Any, name: str, where: str, single: bool) -> NDArray[Any]:
    if isinstance(value, str) and name not in ("eps_id", "episode_id"):
        raise InvalidInput(
            f"{where}: column {name!r} is packed, not plain numbers; write it with "
            "output_compress_columns=[]"
        )
    try:
        array = np.array([value] if single else value)
    except ValueError as error:
        raise InvalidInput(f"{where}: the rows of {name!r} differ in length") from error
    if array.dtype.kind not in "biuf" and not (array.dtype.kind == "U" and "id" in name):
        raise InvalidInput(f"{where}: column {name!r} holds something else than numbers")
    return array


def _joined(parts: list[NDArray[Any]], name: str, path: str, lines: list[int]) -> NDArray[Any]:
    """The runs of a column one after the other."""
    row = 0
    for part in parts:
        if part.shape[1:] != parts[0].shape[1:]:
            raise InvalidInput(
                f"{path}, line {lines[row]}: {name!r} has rows of shape {part.shape[1:]}, those "
                f"before {parts[0].shape[1:]}"
            )
        row += len(part)
    return np.concatenate(parts)


def write(path: str, columns: Columns, spaces: SpacesJson) -> None:
    """Write one file, a line for each run of one episode."""
    ids = columns["eps_id"]
    cuts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    runs = np.split(np.arange(len(ids)), cuts)
    with fsspec.open(path, "wt", encoding="utf-8") as file:
        for number, run in enumerate(runs):
            batch: dict[str, Any] = {"type": "SampleBatch"}
            if number == 0:
                batch[SPACES] = spaces
            batch |= {name: column[run].tolist() for name, column in columns.items()}
            file.write(json.dumps(batch, allow_nan=False) + "\n")
