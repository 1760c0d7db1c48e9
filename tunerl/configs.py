"""The four configurations of a `Tuner`, with Ray Tune's names and meaning.

Invariant: an option given here is honoured or refused.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunerl.keywords import checked
from tunerl.runtime.base import Runtime
from tunerl.schedulers.base import Scheduler
from tunerl.searchers.base import Searcher

if TYPE_CHECKING:
    from tunerl.callbacks import TrialView
    from tunerl.progress import CLIReporter
    from tunerl.store import Store

StopRule = Mapping[str, Any] | Callable[[str, dict[str, Any]], bool]


@checked
@dataclass
class TuneConfig:
    """How to search.

    `metric`, `mode`: what to make "max" or "min", or a list of each for several objectives at once
    (schedulers see the first); without them the searcher's own, or the trainable's objective.
    `search_alg`, `scheduler`: an object, its name, or its JSON. `num_samples`: how many
    configurations, times the grid; -1: no end. `num_seeds`: replicas of each trial, each under a
    seed of its own; `aggregate`: how their objectives become one ("mean", "median", "iqm", "min",
    "max", "lower_quartile", "quantile:0.1"). `seed`: of search, schedule and replicas.
    `time_budget_s`: seconds (or a timedelta) over all restarts. `reuse_actors`: workers are always
    kept warm, so both values mean the same. `warm_start`: earlier experiments (name or id) of the
    same objective, whose trials the searcher knows from the beginning. `trial_name_creator`,
    `trial_dirname_creator`: what a trial is called by callbacks, loggers and on the terminal, and
    the directory of its log files; functions of a `TrialView`.
    """

    metric: str | Sequence[str] | None = None
    mode: str | Sequence[str] | None = None
    search_alg: Searcher | str | Mapping[str, Any] | None = None
    scheduler: Scheduler | str | Mapping[str, Any] | None = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: float | datetime.timedelta | None = None
    reuse_actors: bool = True
    trial_name_creator: Callable[[TrialView], str] | None = None
    trial_dirname_creator: Callable[[TrialView], str] | None = None
    num_seeds: int = 1
    aggregate: str = "mean"
    seed: int = 0
    warm_start: str | Sequence[str] | None = None


@checked
@dataclass
class CheckpointConfig:
    """When trials are saved, and what is kept.

    `num_to_keep`: the best by `checkpoint_score_attribute` (nested names with ``/``), else the
    newest; the newest of a trial stays in any case. `checkpoint_frequency`: every so many
    iterations; 0: never. `checkpoint_at_end`: None means yes, where the trainable can be saved.
    """

    num_to_keep: int | None = None
    checkpoint_score_attribute: str | None = None
    checkpoint_score_order: str = "max"
    checkpoint_frequency: int = 0
    checkpoint_at_end: bool | None = None


@checked
@dataclass
class FailureConfig:
    """`max_failures`: how often a trial is retried from its last checkpoint; -1: without end.
    `fail_fast`: the first failed trial ends the experiment; "raise": and its error is raised.
    `hang_timeout_s`: how many seconds one training iteration of a pack may take (the first with all
    that comes before it: setup, compiling) until its worker is ended, which counts as a failure of
    the trial that hangs; None: no limit. `memory_limit_bytes`: how much memory the worker of a pack
    may hold, with all processes it has started, until it is ended; its trials then go on from their
    last checkpoints, apart from each other, and it is a failure of the one that grows. None: no
    limit (the resource "memory" is a reservation, as in Ray)."""

    max_failures: int = 0
    fail_fast: bool | str = False
    hang_timeout_s: float | None = None
    memory_limit_bytes: float | None = None


@checked
@dataclass
class RunConfig:
    """Where and how to run.

    `storage_path`: directory or fsspec URL for checkpoints; default ``$TUNERL_HOME/checkpoints``.
    `stop`: ``{metric: value}``, a function ``(trial_id, result) -> bool``, or a Stopper.
    `callbacks`: objects of classes derived from `tunerl.Callback`, loggers among them.
    `progress_reporter`: what the calm view shows, and how often; a `CLIReporter`.
    `verbose`: 0 silent, 1 a calm view, 2 a line for each result as well. `store`: URL of the
    store, or a `Store`. `runtime`: "ray", "local", or a `Runtime`, which then stays open.
    """

    name: str | None = None
    storage_path: str | os.PathLike[str] | None = None
    stop: StopRule | None = None
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)
    failure_config: FailureConfig = field(default_factory=FailureConfig)
    callbacks: Sequence[Any] | None = None
    progress_reporter: CLIReporter | None = None
    verbose: int = 1
    store: str | Store | None = None
    runtime: str | Runtime = "ray"
