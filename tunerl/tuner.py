"""`Tuner`, with Ray Tune's names, signatures and meaning: wiring only.

Invariant: what a spec can say is said by the spec; an option given here is honoured or refused.
"""

from __future__ import annotations

import copy
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunerl import judging, registry, resuming
from tunerl import spec as specs
from tunerl.assembly import assemble, changes_of, custom_parts
from tunerl.configs import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from tunerl.control.announcer import check_callbacks
from tunerl.control.controller import Controller
from tunerl.control.heartbeat import LEASE_S
from tunerl.control.interrupts import interruptible
from tunerl.control.names import Naming
from tunerl.errors import InvalidInput, InvalidSpec, NotFound, Problem
from tunerl.extending import Extension, amended
from tunerl.opening import open_store
from tunerl.progress import check_reporter, progress_for
from tunerl.results.confirmation import Confirmation
from tunerl.results.grid import ResultGrid
from tunerl.runtime import create as create_runtime
from tunerl.schedulers.base import Scheduler
from tunerl.searchers.base import Searcher
from tunerl.spec import Custom, ExperimentSpec
from tunerl.trainable import TrainableSpec
from tunerl.trial import ExperimentStatus
from tunerl.warming import warm

if TYPE_CHECKING:
    from tunerl.space import Space
    from tunerl.store import Store


class Tuner:
    """Runs one experiment in this process.

    `trainable`: a registered name such as "PPO", a class, a function, a `TrainableSpec`, a class
    or function written for Ray Tune, or ``rllib/<name>`` for an algorithm of RLlib's.
    `param_space`: a dict of constants and domains (TuneRL's or Ray Tune's), or an object with
    ``to_dict()`` such as an `AlgorithmConfig`. The experiment is in the store, so the dashboard
    shows it. Raises `InvalidSpec` with all problems.
    """

    _source: str | None = None  # the experiment that this one is forked from
    _extension: Extension | None = None
    _callbacks: Sequence[Any] = ()
    _naming = Naming()

    def __init__(
        self,
        trainable: Any,
        *,
        param_space: Any = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        self._trainable: TrainableSpec = _trainable(trainable)
        self._run_config = run_config or RunConfig()
        tune_config = tune_config or TuneConfig()
        self._callbacks = check_callbacks(self._run_config.callbacks)
        check_reporter(self._run_config.progress_reporter)
        self._naming = Naming(tune_config.trial_name_creator, tune_config.trial_dirname_creator)
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
        parts = specs.build(self._spec, self._custom, self._trainable)
        self._id = self._id or self._create(store)
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        lease = store.acquire(self._id, owner, LEASE_S)
        given = self._run_config.runtime
        if given == "ray":
            warm(self._trainable, self._spec, parts)
        runtime = create_runtime(given) if isinstance(given, str) else given
        try:
            if self._extension is not None:
                self._extension.apply(store, lease)
                self._extension = None
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
                progress=progress_for(self._run_config.verbose, self._run_config.progress_reporter),
                callbacks=self._callbacks,
                naming=self._naming,
            )
            with interruptible(controller):
                status = controller.run()
        finally:
            store.release(lease)
            if isinstance(given, str):
                runtime.shutdown()
        self._resume = resuming.Resume()
        return self._finish(status)

    def _create(self, store: Store) -> str:
        name = self._spec.name
        if self._source is not None:
            return store.fork_experiment(self._source, name, claimable=False).id
        return store.create_experiment(self._spec.to_json(), name, claimable=False).id

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

    def confirm(
        self, top_k: int = 3, seeds: int | Sequence[int] = 10, scope: str = "last"
    ) -> Confirmation:
        """Run the leaders again on seeds that were never tuned on, and rank them by those alone.

        An experiment of its own, linked to this one. See `tunerl.judging.confirmation` for the
        arguments. Raises `NotFound` before `fit`, `InvalidSpec` for seeds that were tuned on.
        """
        found = self.get_results()
        experiment = found.store.get_experiment(found.experiment_id)
        spec = judging.confirmation(found.store, experiment, top_k, seeds, scope)
        return Confirmation(found.store, self._made(spec, self._custom.space).experiment_id)

    def baseline(self) -> ResultGrid:
        """Random search over the same space on the budget that this experiment has spent.

        An experiment of its own, linked to this one. See `tunerl.judging.baseline`. Raises
        `NotFound` before `fit`.
        """
        found = self.get_results()
        experiment = found.store.get_experiment(found.experiment_id)
        space = self._custom.space
        spec = judging.baseline(found.store, experiment)
        return self._made(spec, None if space is None else judging.space_without_grids(space))

    def _made(self, spec: ExperimentSpec, space: Space | None) -> ResultGrid:
        """Run an experiment that was made from this one; without its callbacks."""
        made = copy.copy(self)
        made._callbacks = check_callbacks(None)
        made._custom = Custom(space=space, stop=judging.stop_of_trials(self._custom.stop))
        made._spec = specs.check(spec, self._trainable, made._custom)
        made._id = made._resume = made._source = made._extension = None
        return made.fit()

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
        `runtime`, `verbose`, `callbacks`, and `stop` where it is a function. Raises `NotFound`,
        `InvalidSpec`.
        """
        if resume_errored and restart_errored:
            raise InvalidInput("resume_errored and restart_errored exclude each other; choose one")
        self = cls.__new__(cls)
        self._run_config = run_config or RunConfig()
        self._callbacks, self._naming = check_callbacks(self._run_config.callbacks), Naming()
        found = open_store(self._run_config.store).get_experiment(_id_of(path))
        self._trainable = _trainable(trainable)
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
    def extend(
        cls,
        path: str | os.PathLike[str],
        trainable: Any,
        *,
        search_alg: Searcher | None = None,
        scheduler: Scheduler | None = None,
        run_config: RunConfig | None = None,
        **changes: Any,
    ) -> Tuner:
        """An experiment, finished or not, that `fit` goes on with under other settings.

        `changes`: `num_samples`, `time_budget_s` (both over all that was run before), `stop`,
        `param_space`, `max_concurrent_trials`, as they are given to a new experiment. Trials that
        the old stop rule or budget had ended go on where the new ones let them; new trials come
        from the new space. The event ``experiment.extended`` keeps what was before. Else as
        `restore`. Raises `InvalidSpec` for what cannot be changed.
        """
        run_config = run_config or RunConfig()
        if "stop" in changes:
            run_config = replace(run_config, stop=changes["stop"])
        space = changes.get("param_space")
        self = cls.restore(
            path,
            trainable,
            param_space=space,
            search_alg=search_alg,
            scheduler=scheduler,
            run_config=run_config,
        )
        fields, custom = changes_of(self._spec, self._custom, changes)
        after = amended(self._spec, fields, self._trainable, custom)
        self._extension = Extension(self._spec, after, custom, "stop" in changes)
        self._spec, self._custom = after, custom
        return self

    @classmethod
    def fork(
        cls,
        path: str | os.PathLike[str],
        trainable: Any,
        *,
        name: str | None = None,
        **more: Any,
    ) -> Tuner:
        """A new experiment that begins with the trials, results and checkpoints of another.

        `more`: as for `extend`. The other one stays as it is; its checkpoints are pinned, and have
        to stay as long as the fork is needed.
        """
        self = cls.extend(path, trainable, **more)
        name = name or f"{self._spec.name}-fork"
        assert self._extension is not None
        before = replace(self._extension.before, name=name)
        self._spec = replace(self._spec, name=name)
        self._extension = replace(self._extension, before=before, after=self._spec)
        self._source, self._id = self._id, None
        return self

    @classmethod
    def can_restore(cls, path: str | os.PathLike[str], store: str | Store | None = None) -> bool:
        """Whether the store has an experiment of that id, name or path."""
        try:
            open_store(store).get_experiment(_id_of(path))
        except NotFound:
            return False
        return True


def _trainable(given: Any) -> TrainableSpec:
    """The spec of what a program names: ``rllib/<name>`` too, which REST does not know."""
    if isinstance(given, str) and given.startswith("rllib/"):
        from tunerl.runtime.ray_tune import rllib_class

        return registry.AuthorSpec(rllib_class(given), given)
    return registry.trainable(given)


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
