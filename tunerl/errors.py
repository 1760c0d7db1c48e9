"""Every error TuneRL raises on purpose, in one tree.

::

    TuneRLError
    |- InvalidInput(ValueError)      what the user gave cannot be used; carries `problems`
    |  |- InvalidSpace               a search space
    |  |- InvalidConfig              a configuration of a trainable
    |  `- InvalidSpec                an experiment as a whole
    |- NotFound(LookupError)         no such experiment, trial, checkpoint, trainable
    |- Conflict                      the request contradicts the present state
    |  |- IllegalTransition          a status change that the table does not have
    |  `- IdempotencyConflict        one key, two different requests
    |- Fenced                        a write from a process whose lease has passed to another
    |- StoreError                    the store cannot be used (newer schema, unreachable)
    |  `- StoreFull                  it has no room left for what is to be written
    |- CheckpointError               a checkpoint cannot be written or read
    |  |- CorruptCheckpoint          bytes do not match their checksum, or are missing
    |  `- StorageFull                no space left while writing
    |- MetricError                   a metric that was promised never appeared
    `- TrainableError                user code raised; the original traceback is in the text

A message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class TuneRLError(Exception):
    """Root of the tree."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: `path` such as ``param_space.lr``, and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidInput(TuneRLError, ValueError):
    """What the user gave cannot be used. `problems` lists all that is wrong, not only the first."""

    def __init__(self, problems: str | Problem | Sequence[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem("", problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems: list[Problem] = list(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type, tuple[list[Problem]]]:
        return type(self), (self.problems,)


class InvalidSpace(InvalidInput):
    """A search space that cannot be sampled."""


class InvalidConfig(InvalidInput):
    """A configuration that the trainable refuses."""


class InvalidSpec(InvalidInput):
    """An experiment that cannot be run as described."""


class NotFound(TuneRLError, LookupError):
    """Nothing goes by that name."""


class Conflict(TuneRLError):
    """The request contradicts the present state."""


class IllegalTransition(Conflict):
    """A status change that the transition table does not have."""


class IdempotencyConflict(Conflict):
    """The same idempotency key came with a different request."""


class Fenced(TuneRLError):
    """A write from a process whose lease has passed to another; the process must stop."""


class StoreError(TuneRLError):
    """The store cannot be used."""


class StoreFull(StoreError):
    """The store has no room left for what is to be written; nothing of it was written."""


class CheckpointError(TuneRLError):
    """A checkpoint cannot be written or read."""


class CorruptCheckpoint(CheckpointError):
    """The bytes of a checkpoint do not match their checksum, or some are missing."""


class StorageFull(CheckpointError):
    """No space was left while a checkpoint was written; nothing half-written remains."""


class MetricError(TuneRLError):
    """A metric that the experiment needs is not among those the trainable reports."""


class TrainableError(TuneRLError):
    """User code raised inside a trainable; the text carries the original traceback."""


PART = 4  # letters, from which on a part of a name says which one is meant


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt `name`: the one of `known` that is nearly it, has it as a part, or is
    like it, whatever their cases; else the full list."""
    known = sorted(known)
    folded = {other.lower(): other for other in reversed(known)}
    asked = name.lower()
    close = difflib.get_close_matches(asked, folded, n=1, cutoff=0.8)
    if not close and len(asked) >= PART:
        close = sorted((other for other in folded if asked in other), key=len)[:1]
    close = close or difflib.get_close_matches(asked, folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return "known: " + ", ".join(known) if known else "none is known"
