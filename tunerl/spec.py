"""An experiment as plain data: what Tuner, REST and the command line all hand to the controller.

Invariant: a spec that `check` accepts is runnable; what cannot be written in JSON (callables,
classes) is named in `python` and such an experiment is driven only by the process that made it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

AGGREGATES = ("mean", "median", "iqm", "min", "max", "lower_quartile")


@dataclass(frozen=True)
class CheckpointSpec:
    """See `tunerl.tuner.CheckpointConfig`. `at_end` None: the trainable decides (algorithms: yes)."""

    num_to_keep: int | None = None
    score_attribute: str | None = None
    score_order: str = "max"
    frequency: int = 0
    at_end: bool | None = None


@dataclass(frozen=True)
class FailureSpec:
    """`max_failures` -1: no limit. `fail_fast`: the first failed trial ends the experiment."""

    max_failures: int = 0
    fail_fast: bool = False


@dataclass(frozen=True)
class ExperimentSpec:
    """One sweep. `param_space`, `searcher`, `scheduler` are JSON (`space.to_json`, `to_json()`)."""

    trainable: str
    param_space: dict[str, Any]
    name: str = ""
    metric: str | None = None
    mode: str | None = None
    num_samples: int = 1
    num_seeds: int = 1
    aggregate: str = "mean"
    seed: int = 0
    searcher: dict[str, Any] = field(default_factory=lambda: {"type": "random"})
    scheduler: dict[str, Any] = field(default_factory=lambda: {"type": "fifo"})
    stop: dict[str, float] = field(default_factory=dict)
    max_concurrent_trials: int | None = None
    time_budget_s: float | None = None
    checkpoint: CheckpointSpec = CheckpointSpec()
    failure: FailureSpec = FailureSpec()
    storage: str = ""  # root of the checkpoints; empty: the default of the process that runs it
    python: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
