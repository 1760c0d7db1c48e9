"""What goes into the store and comes out of it: plain data, no SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tunerl.trial import Config, ExperimentStatus, Metrics, Reason, Status


@dataclass(frozen=True)
class Experiment:
    """One sweep. `spec` is `tunerl.spec.ExperimentSpec` as JSON; `request` what a user asked of it
    ("cancel", "pause", "resume") and its worker has not done yet."""

    id: str
    name: str
    spec: dict[str, Any]
    status: ExperimentStatus
    reason: str | None
    request: str | None
    claimable: bool  # False: driven by the process that made it (Tuner.fit), never by a worker
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: dict[str, int]  # trials by status


@dataclass(frozen=True)
class TrialRecord:
    """A trial with its summary."""

    experiment_id: str
    number: int
    config: Config
    seeds: tuple[int, ...]
    status: Status
    reason: Reason | None
    attempt: int
    failures: int
    error: str | None  # with traceback
    iteration: int
    steps: int  # env steps of the last result
    time_total_s: float
    objective: float | None  # of the last result; None: none yet, NaN: not a number
    best_objective: float | None
    best_iteration: int | None
    last: Metrics
    best: Metrics
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class ResultRecord:
    """One training iteration of one trial. `id` grows in order of arrival within the experiment.

    `replicas`: each replica's own metrics, by index, where there are several.
    """

    trial: int
    iteration: int
    attempt: int
    metrics: Metrics
    objective: float | None
    replicas: list[Metrics] = field(default_factory=list)
    id: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint of a trial (all its replicas at one iteration). `pins` > 0: never deleted."""

    trial: int
    iteration: int
    uri: str
    size: int
    sha256: str
    score: float | None = None
    pins: int = 0
    id: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True)
class Event:
    """Append-only log: what happened to whom; `kind` such as "trial.error", "experiment.paused"."""

    kind: str
    message: str
    trial: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True)
class Lease:
    """The right to write to an experiment. `token` grows by one with each holder (fencing)."""

    experiment_id: str
    owner: str
    token: int


@dataclass(frozen=True)
class Change:
    """A trial's new standing; None leaves a column as it is."""

    trial: int
    status: Status
    reason: Reason | None = None
    attempt: int | None = None
    failures: int | None = None
    error: str | None = None
    config: Config | None = None  # PBT
    seeds: tuple[int, ...] | None = None  # more replicas


@dataclass
class Tick:
    """All that one turn of the controller's loop found out and decided: one transaction.

    Applied in the order of the fields. A result whose (trial, iteration) is already there is
    ignored (the trial replays after a crash), so delivering twice does no harm.
    """

    new_trials: list[tuple[int, Config, tuple[int, ...]]] = field(default_factory=list)
    results: list[ResultRecord] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    checkpoints: list[CheckpointRecord] = field(default_factory=list)
    pins: list[tuple[str, int]] = field(default_factory=list)  # URI of a checkpoint; 1 or -1
    forgotten: list[str] = field(default_factory=list)  # URIs of checkpoints that were deleted
    events: list[Event] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(
            (
                self.new_trials,
                self.results,
                self.changes,
                self.checkpoints,
                self.pins,
                self.forgotten,
                self.events,
            )
        )
