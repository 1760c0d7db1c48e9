"""Finds the state in whatever a user calls a checkpoint, and names the place of a new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tunerl import checkpoints
from tunerl.checkpoints.files import ARRAYS, VALUES
from tunerl.checkpoints.places import MANIFEST, Place, place
from tunerl.errors import CheckpointError
from tunerl.trainable import State

Loaded = tuple[State, dict[str, Any]]


class SavedPath(str):
    """Where a checkpoint lies: a string, with the attributes of RLlib's answers to `save`."""

    __slots__ = ()

    @property
    def path(self) -> str:
        return str(self)

    @property
    def checkpoint(self) -> SavedPath:
        return self


def load(source: Any, replica: int | None = None) -> Loaded:
    """State and meta of one agent.

    `source`: the directory or URL of a replica's checkpoint, of a trial's checkpoint with several
    replicas (`replica` says which; None: that with the best mean return), or of a trial (its newest
    checkpoint); a zip file of one; or a Result or Checkpoint, which has a path.
    Raises `CheckpointError`, `CorruptCheckpoint`.
    """
    with _opened(uri_of(source)) as uri:
        return _load(place(uri), replica)


def save(state: State, uri: str, meta: Mapping[str, Any]) -> SavedPath:
    """Write a checkpoint; one that lies there is replaced, anything else is left alone.

    Raises `CheckpointError`, `StorageFull`.
    """
    where = place(uri)
    others = set(where.names()) - {MANIFEST, ARRAYS, VALUES}
    if others or ("://" not in uri and Path(uri).is_file()):
        what = ", ".join(sorted(others)[:3]) or "it is a file"
        raise CheckpointError(
            f"{uri} holds something else ({what}); give a directory that is new or empty"
        )
    checkpoints.save(state, uri, meta)
    return SavedPath(uri)


def new_run(name: str) -> str:
    """A directory of its own for the checkpoints of one agent, below ``$TUNERL_HOME``."""
    home = Path(os.environ.get("TUNERL_HOME") or "~/.tunerl").expanduser()
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    return str(home / "algorithms" / f"{name}_{stamp}_{secrets.token_hex(3)}")


def uri_of(source: Any) -> str:
    """Path or URL of a string, a path, or an object with a `checkpoint` or a `path`."""
    if not isinstance(source, str | os.PathLike):
        inner = getattr(source, "checkpoint", source)
        if inner is None:
            raise CheckpointError("this result has no checkpoint; see CheckpointConfig")
        source = getattr(inner, "path", None) if inner is source else uri_of(inner)
    if source is None:
        raise CheckpointError(
            "a checkpoint is a path, a URL, or an object that has one, such as Result.checkpoint"
        )
    uri = os.fspath(source).removeprefix("file://")
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[str]:
    """A zip file is unpacked as long as it is read."""
    if "://" in uri or not os.path.isfile(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="tunerl-") as folder:
        checkpoints.extract_zip(uri, folder)
        yield folder


def _load(where: Place, replica: int | None) -> Loaded:
    if where.has(MANIFEST):
        state, meta = checkpoints.load(where.uri)
        if replica not in (None, meta.get("replica", 0)):
            own = meta.get("replica", 0)
            raise CheckpointError(f"{where.uri} is of replica {own}; replica={replica} was asked")
        return state, meta
    names = where.names()
    replicas = sorted((name for name in names if name.isdecimal()), key=int)
    if replicas and where.sub(replicas[0]).has(MANIFEST):
        return _best(where, replicas, replica)
    iterations = checkpoints.list_iterations(where.uri)
    if iterations:
        return _load(where.sub(f"checkpoint_{iterations[-1]:06d}"), replica)
    holds = f"it holds {', '.join(names[:5])}" if names else "there is nothing"
    raise CheckpointError(f"{where.uri} is no checkpoint: it has no {MANIFEST}; {holds}")


def _best(where: Place, replicas: list[str], replica: int | None) -> Loaded:
    if replica is not None:
        if str(replica) not in replicas:
            known = ", ".join(replicas)
            raise CheckpointError(f"{where.uri} has no replica {replica}; it has {known}")
        return checkpoints.load(where.sub(str(replica)).uri)
    loaded = [checkpoints.load(where.sub(name).uri) for name in replicas]
    return max(loaded, key=lambda found: _mean_return(found[0]))


def _mean_return(state: State) -> float:
    """Of an agent's last episodes; without any it is the worst."""
    episodes = state.values.get("member", {}).get("episodes", {})
    mean = float(np.mean(episodes.get("returns") or [-np.inf]))
    return mean if np.isfinite(mean) else -np.inf
