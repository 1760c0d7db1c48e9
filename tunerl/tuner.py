"""`Tuner` and its four configurations, with Ray Tune's names, signatures and meaning: wiring only.

Invariant: what a spec can say is said by the spec; an option given here is honoured or refused.
"""

from __future__ import annotations

import atexit
import datetime
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunerl import registry, resuming
from tunerl import spec as specs
from tunerl.assembly import assemble, custom_parts
from tunerl.control.controller import Controller
from tunerl.control.heartbeat import LEASE_S
from tunerl.control.interrupts import interruptible
from tunerl.errors import InvalidInput, InvalidSpec, NotFound, Problem
from tunerl.progress import progress_for
from tunerl.results.grid import ResultGrid
from tunerl.runtime import create as create_runtime
from tunerl.runtime.base import Runtime
from tunerl.schedulers.base import Scheduler
from tunerl.searchers.base import Searcher
from tunerl.spec import Custom, ExperimentSpec
from tunerl.trainable import TrainableSpec
from tunerl.trial import ExperimentStatus
from tunerl.warming import warm

if TYPE_CHECKING:
    from tunerl.store import Store

StopRule = Mapping[str, Any] | Callable[[str, dict[str, Any]], bool]


@dataclass
class TuneConfig:
    """How to search.

    `metric`, `mode`: what to make "max" or "min"; without them the trainable's own objective, if it
    has one. `search_alg`, `scheduler`: an object, its name, or its JSON. `num_samples`: how many
    configurations, times the grid; -1: no end. `num_seeds`: replicas of each trial, each under a
    seed of its own; `aggregate`: how their objectives become one ("mean", "median", "iqm", "min",
    "max", "lower_quartile"). `seed`: of search, schedule and replicas. `time_budget_s`: seconds
    (or a timedelta) over all restarts. `reuse_actors`: workers are always kept warm, so both
    values mean the same.
    """

    metric: str | None = None
    mode: str | None = None
    search_alg: Searcher | str | Mapping[str, Any] | None = None
    scheduler: Scheduler | str | Mapping[str, Any] | None = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: float | datetime.timedelta | None = None
    reuse_actors: bool = True
    num_seeds: int = 1
    aggregate: str = "mean"
    seed: int = 0


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


@dataclass
class FailureConfig:
    """`max_failures`: how often a trial is retried from its last checkpoint; -1: without end.
    `fail_fast`: the first failed trial ends the experiment; "raise": and its error is raised."""

    max_failures: int = 0
    fail_fast: bool | str = False


@dataclass
class RunConfig:
    """Where and how to run.

    `storage_path`: directory or fsspec URL for checkpoints; default ``$TUNERL_HOME/checkpoints``.
    `stop`: ``{metric: value}``, a function ``(trial_id, result) -> bool``, or a Stopper.
    `verbose`: 0 silent, 1 a calm view, 2 a line for each result as well. `store`: URL of the
    store, or a `Store`. `runtime`: "ray", "local", or a `Runtime`, which then stays open.
    """

    name: str | None = None
    storage_path: str | os.PathLike[str] | None = None
    stop: StopRule | None = None
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)
    failure_config: FailureConfig = field(default_factory=FailureConfig)
    verbose: int = 1
    store: str | Store | None = None
    runtime: str | Runtime = "ray"


class Tuner:
    """Runs one experiment in this process.

    `trainable`: a registered name such as "PPO", a class, a function, or a `TrainableSpec`.
    `param_space`: a dict of constants and domains (TuneRL's or Ray Tune's), or an object with
    ``to_dict()`` such as an `AlgorithmConfig`. The experiment is in the store, so the dashboard
    shows it. Raises `InvalidSpec` with all problems.
    """

    def __init__(
        self,
        trainable: Any,
        *,
        param_space: Any = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        self._trainable: TrainableSpec = registry.trainable(trainable)
        self._run_config = run_config or RunConfig()
        tune_config = tune_config or TuneConfig()
        self._spec, self._custom = assemble(
            self._trainable, param_space, tune_config, self._run_config
        )
        self._id: str | None = None
        self._resume: resuming.Resume | None = None

    def fit(self) -> ResultGrid:
        """Run the experiment to its end; what came of it.

        Ctrl-C (or SIGTERM) ends it in an orderly way, with the status PAUSED: `Tuner.restore` goes
        on from there. So it does after a full disk. Raises `MetricError` for a metric that never
        appears, `InvalidSpec` for resources nobody has.
        """
        store = open_store(self._run_config.store)
        parts = specs.build(self._spec, self._custom)
        if self._id is None:
            made = store.create_experiment(self._spec.to_json(), self._spec.name, claimable=False)
            self._id = made.id
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        lease = store.acquire(self._id, owner, LEASE_S)
        given = self._run_config.runtime
        if given == "ray":
            warm(self._trainable, self._spec, parts)
        runtime = create_runtime(given) if isinstance(given, str) else given
        try:
            if self._resume is not None:
                self._resume.prepare(store, lease)
            controller = Controller(
                store=store,
                lease=lease,
                spec=self._spec,
                trainable=self._trainable,
                runtime=runtime,
                root=f"{self._spec.storage.rstrip('/')}/{self._id}",
                parts=parts,
                progress=progress_for(self._run_config.verbose),
            )
            with interruptible(controller):
                status = controller.run()
        finally:
            store.release(lease)
            if isinstance(given, str):
                runtime.shutdown()
        self._resume = resuming.Resume()
        return self._finish(status)

    def _finish(self, status: ExperimentStatus) -> ResultGrid:
        grid = self.get_results()
        fail_fast = self._run_config.failure_config.fail_fast
        if status is ExperimentStatus.ERROR and fail_fast == "raise" and grid.errors:
            raise grid.errors[0]
        return grid

    def get_results(self) -> ResultGrid:
        """What came of the experiment so far. Raises `NotFound` before `fit`."""
        if self._id is None:
            raise NotFound("there are no results yet; call fit() first, or use Tuner.restore")
        return ResultGrid(open_store(self._run_config.store), self._id)

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        trainable: Any,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        param_space: Any = None,
        *,
        search_alg: Searcher | None = None,
        scheduler: Scheduler | None = None,
        run_config: RunConfig | None = None,
    ) -> Tuner:
        """An experiment that was interrupted; `fit` goes on with it.

        `path`: its id, its name (the newest of that name), or `ResultGrid.experiment_path`.
        `resume_errored`: failed trials go on from their last checkpoint; `restart_errored`: from
        their beginning. Without `resume_unfinished` only those are run. What of the experiment was
        Python (`param_space` with functions or classes, a searcher, scheduler or
        `RunConfig.stop` of one's own) has to be given again. Of `run_config` count `store`,
        `runtime`, `verbose`, and `stop` where it is a function. Raises `NotFound`, `InvalidSpec`.
        """
        if resume_errored and restart_errored:
            raise InvalidInput("resume_errored and restart_errored exclude each other; choose one")
        self = cls.__new__(cls)
        self._run_config = run_config or RunConfig()
        found = open_store(self._run_config.store).get_experiment(_id_of(path))
        self._trainable = registry.trainable(trainable)
        self._spec = specs.from_json(found.spec)
        self._id = found.id
        if self._trainable.name != self._spec.trainable:
            raise InvalidSpec(
                Problem(
                    "trainable",
                    f"{self._trainable.name!r} given, but the experiment is of "
                    f"{self._spec.trainable!r}",
                )
            )
        self._custom = custom_parts(
            self._spec, param_space, search_alg, scheduler, self._run_config.stop
        )
        self._resume = resuming.Resume(resume_unfinished, resume_errored, restart_errored)
        return self

    @classmethod
    def can_restore(cls, path: str | os.PathLike[str], store: str | Store | None = None) -> bool:
        """Whether the store has an experiment of that id, name or path."""
        try:
            open_store(store).get_experiment(_id_of(path))
        except NotFound:
            return False
        return True


_stores: dict[str | None, Store] = {}


def open_store(given: str | Store | None) -> Store:
    """The store as given, or the one at a URL (None: the default); opened once a process."""
    from tunerl.store import Store
    from tunerl.store.database import default_url

    if isinstance(given, Store):
        return given
    url = given or default_url()
    if url not in _stores:
        _stores[url] = Store(url)
        atexit.register(_stores[url].close)
    return _stores[url]


def _id_of(path: str | os.PathLike[str]) -> str:
    return Path(path).name


__all__ = [
    "CheckpointConfig",
    "Custom",
    "ExperimentSpec",
    "FailureConfig",
    "RunConfig",
    "TuneConfig",
    "Tuner",
]
