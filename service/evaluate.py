"""Plays with the agent of a checkpoint, and records how, through the trainable that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from service.schemas import clean
from tunerl import checkpoints, registry
from tunerl.errors import InvalidInput, NotFound
from tunerl.metrics import flatten


@runtime_checkable
class Evaluates(Protocol):
    """A `TrainableSpec` that can play with what it trained."""

    def evaluate(self, path: str, episodes: int, seed: int) -> dict[str, Any]: ...


@runtime_checkable
class Records(Protocol):
    """A `TrainableSpec` that can write down how an agent that it trained plays."""

    def record(self, path: str, output: str, **settings: Any) -> dict[str, Any]: ...


def record_checkpoint(path: Path, output: str, **settings: Any) -> dict[str, Any]:
    """What was written to `output`; `path` is a checkpoint's directory.

    Where it holds several replicas, the first one plays. Raises `NotFound`, `CorruptCheckpoint`,
    and `InvalidInput` where the trainable cannot record or refuses the settings.
    """
    directory = replica_directory(path)
    _, meta = checkpoints.load(str(directory))
    spec = registry.trainable(str(meta.get("trainable")))
    if not isinstance(spec, Records):
        raise InvalidInput(f"trainable {spec.name!r} cannot record what its agents do")
    summary: dict[str, Any] = clean(spec.record(str(directory), output, **settings))
    return summary


def evaluate_checkpoint(path: Path, episodes: int, seed: int) -> dict[str, Any]:
    """Flat metrics of `episodes` episodes under `seed`; `path` is a checkpoint's directory.

    Where it holds several replicas, the first one plays. Raises `NotFound`, `CorruptCheckpoint`,
    and `InvalidInput` where the trainable has no evaluation.
    """
    directory = replica_directory(path)
    _, meta = checkpoints.load(str(directory))
    spec = registry.trainable(str(meta.get("trainable")))
    if not isinstance(spec, Evaluates):
        raise InvalidInput(f"trainable {spec.name!r} cannot evaluate a checkpoint")
    metrics: dict[str, Any] = clean(flatten(spec.evaluate(str(directory), episodes, seed)))
    return metrics


@runtime_checkable
class Plays(Protocol):
    """A `TrainableSpec` whose agents can be watched."""

    def rollout(self, path: str, **how: Any) -> dict[str, Any]: ...


def roll_out_checkpoint(path: Path, **how: Any) -> dict[str, Any]:
    """What the agent of a checkpoint reached, and the videos of it; `how`: the trainable's words.

    Raises `NotFound`, `CorruptCheckpoint`, and `InvalidInput` where the trainable cannot play.
    """
    directory = replica_directory(path)
    _, meta = checkpoints.load(str(directory))
    spec = registry.trainable(str(meta.get("trainable")))
    if not isinstance(spec, Plays):
        raise InvalidInput(f"trainable {spec.name!r} has no agents that could play")
    found: dict[str, Any] = clean(spec.rollout(str(directory), **how))
    return found


def replica_directory(path: Path) -> Path:
    """`path` itself where it holds a state, else the first replica's directory in it."""
    numbered = sorted((d for d in path.glob("*/") if d.name.isdecimal()), key=lambda d: int(d.name))
    for directory in (path, *numbered):
        if (directory / "state.json").is_file():
            return directory
    raise NotFound(f"{path} is no checkpoint: it has no state.json, nor has a replica in it")
