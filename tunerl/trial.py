"""Statuses and the one transition table; what a trial and its results are made of.

Invariant: a status changes only by an edge of `TRANSITIONS` (trials) or `EXPERIMENT_TRANSITIONS`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunerl.errors import IllegalTransition

Config = dict[str, Any]
Metrics = dict[str, Any]

TRIAL_INDEX = "__trial_index__"  # in a configuration: which repetition of a suggestion it is


class Status(enum.StrEnum):
    """Where a trial stands."""

    PENDING = "PENDING"  # waits for a place in a pack
    RUNNING = "RUNNING"  # its replicas sit in packs
    PAUSED = "PAUSED"  # put aside with a checkpoint; may be resumed
    TERMINATED = "TERMINATED"  # ended as planned (stop rule, end of the trainable) or stopped early
    ERROR = "ERROR"  # a replica failed more often than allowed
    CANCELED = "CANCELED"  # the user ended it

    @property
    def finished(self) -> bool:
        return self in (Status.TERMINATED, Status.ERROR, Status.CANCELED)


class ExperimentStatus(enum.StrEnum):
    """Where an experiment stands."""

    PENDING = "PENDING"  # waits for a worker
    RUNNING = "RUNNING"  # a worker holds its lease
    PAUSED = "PAUSED"  # nothing runs; the reason says why
    CANCELING = "CANCELING"  # asked to end; its worker is winding it down
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"

    @property
    def finished(self) -> bool:
        return self in (self.COMPLETED, self.CANCELED, self.ERROR)


class Reason(enum.StrEnum):
    """Why a trial ended (or was put aside)."""

    STOP_RULE = "stop_rule"
    DONE = "done"  # the trainable itself said it was done
    SCHEDULER = "scheduler"  # stopped early: pruned, in Optuna's word
    BUDGET = "budget"  # the experiment's time was up
    USER = "user"
    FAILURE = "failure"


S, E = Status, ExperimentStatus

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    S.PENDING: frozenset({S.RUNNING, S.ERROR, S.CANCELED, S.TERMINATED}),
    S.RUNNING: frozenset({S.PENDING, S.PAUSED, S.TERMINATED, S.ERROR, S.CANCELED}),
    S.PAUSED: frozenset({S.PENDING, S.TERMINATED, S.ERROR, S.CANCELED}),
    S.TERMINATED: frozenset({S.PENDING}),  # extend
    S.ERROR: frozenset({S.PENDING}),  # restore(resume_errored=True)
    S.CANCELED: frozenset({S.PENDING}),
}

EXPERIMENT_TRANSITIONS: Mapping[ExperimentStatus, frozenset[ExperimentStatus]] = {
    E.PENDING: frozenset({E.RUNNING, E.CANCELED, E.ERROR}),
    E.RUNNING: frozenset({E.PENDING, E.PAUSED, E.CANCELING, E.COMPLETED, E.CANCELED, E.ERROR}),
    E.PAUSED: frozenset({E.PENDING, E.RUNNING, E.CANCELED}),
    E.CANCELING: frozenset({E.CANCELED, E.COMPLETED, E.ERROR}),
    E.COMPLETED: frozenset({E.PENDING, E.RUNNING}),
    E.CANCELED: frozenset({E.PENDING, E.RUNNING}),
    E.ERROR: frozenset({E.PENDING, E.RUNNING}),
}


def check_transition(old: Status, new: Status) -> None:
    """Raise `IllegalTransition` unless a trial may go from `old` to `new`."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing"
        raise IllegalTransition(f"a trial cannot go from {old} to {new}; allowed: {allowed}")


def check_experiment_transition(old: ExperimentStatus, new: ExperimentStatus) -> None:
    """Raise `IllegalTransition` unless an experiment may go from `old` to `new`."""
    if new not in EXPERIMENT_TRANSITIONS[old]:
        allowed = ", ".join(sorted(EXPERIMENT_TRANSITIONS[old]))
        raise IllegalTransition(f"an experiment cannot go from {old} to {new}; allowed: {allowed}")


@dataclass(frozen=True, order=True)
class ReplicaId:
    """A trial (by its number within the experiment) under one of its seeds (by index)."""

    trial: int
    index: int

    def __str__(self) -> str:
        return f"{self.trial:05d}.{self.index}"


@dataclass(slots=True)
class Trial:
    """One configuration of an experiment, judged on ``len(seeds)`` replicas."""

    number: int
    config: Config
    seeds: tuple[int, ...]
    status: Status = Status.PENDING
    reason: Reason | None = None
    attempt: int = 0  # how often it was started; the fencing number of its writes
    failures: int = 0
    iteration: int = 0  # of the last recorded result
    checkpoint: str | None = (
        None  # URI of the latest checkpoint, iteration in `checkpoint_iteration`
    )
    checkpoint_iteration: int = 0
    error: str | None = None
    last: Metrics = field(default_factory=dict)

    @property
    def replicas(self) -> list[ReplicaId]:
        return [ReplicaId(self.number, index) for index in range(len(self.seeds))]

    def move(self, new: Status, reason: Reason | None = None) -> None:
        """Change status by the table; raises `IllegalTransition`."""
        check_transition(self.status, new)
        self.status, self.reason = new, reason
