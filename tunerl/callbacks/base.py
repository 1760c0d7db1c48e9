"""`Callback`: what a program may do while its experiment runs, with Ray Tune's hooks.

Invariant: a hook is called after what it tells of was stored. After a crash the last moments are
told once more, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunerl.trial import Config, Reason, Status


class TrialView:
    """A trial as callbacks see it: to read, not to change. `info`: the live trial behind it."""

    def __init__(self, info: Any, names: TrialNames) -> None:
        self._info, self._names = info, names

    @property
    def number(self) -> int:
        """Its number within the experiment, from 0."""
        return int(self._info.number)

    @property
    def trial_id(self) -> str:
        """Its number in five digits."""
        return f"{self.number:05d}"

    @property
    def experiment_id(self) -> str:
        return self._names.experiment_id

    @property
    def trainable_name(self) -> str:
        return self._names.trainable

    @property
    def config(self) -> Config:
        """The configuration as it was suggested, without defaults; a copy."""
        return dict(self._info.config)

    @property
    def evaluated_params(self) -> Config:
        """Of the configuration what was searched, flat."""
        return self._names.drawn(self._info.config)

    @property
    def status(self) -> Status:
        found: Status = self._info.status
        return found

    @property
    def reason(self) -> Reason | None:
        """Why it ended."""
        found: Reason | None = self._info.reason
        return found

    @property
    def last_result(self) -> dict[str, Any]:
        """The metrics of the last result, flat; a copy."""
        return dict(self._info.last)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self._info.seeds)

    @property
    def checkpoint(self) -> str | None:
        """Path or URL of the latest checkpoint."""
        found: str | None = self._info.checkpoint
        return found

    @property
    def error(self) -> str | None:
        """What it failed with last, with the traceback."""
        found: str | None = self._info.error
        return found

    @property
    def num_failures(self) -> int:
        return int(self._info.failures)

    @property
    def local_path(self) -> str:
        """A directory of this machine for what is logged of the trial; made when first asked for.
        Its name is the one that `TuneConfig.trial_dirname_creator` gave."""
        path = Path(self._names.directory) / self._names.dirname(self)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    path = logdir = local_path

    def __str__(self) -> str:
        """Its name: ``<trainable>_<trial_id>``, or what `TuneConfig.trial_name_creator` gave."""
        return self._names.name(self)

    def __repr__(self) -> str:
        return f"<trial {self} {self.status}>"


class TrialNames:
    """What trials and their directories are called. `directory`: of all log files."""

    def __init__(self, experiment_id: str, trainable: str, directory: str) -> None:
        self.experiment_id, self.trainable = experiment_id, trainable
        self.directory = directory

    def drawn(self, config: Config) -> Config:
        return dict(config)

    def name(self, trial: TrialView) -> str:
        return f"{self.trainable}_{trial.trial_id}"

    def dirname(self, trial: TrialView) -> str:
        return trial.trial_id


class Trials(Sequence[TrialView]):
    """All trials so far, by number; a view, made on demand."""

    def __init__(self, runs: Mapping[int, Any], names: TrialNames) -> None:
        self._runs, self._names = runs, names

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"trial {index} of {len(self)}")
        return TrialView(self._runs[index % len(self)], self._names)

    def __iter__(self) -> Iterator[TrialView]:
        for number in range(len(self)):
            yield self[number]


class Callback:
    """Override what you need. `iteration`: the turn of the controller, from 0; `trials`: all so
    far. What a hook raises becomes an event of the experiment, and the experiment goes on.
    """

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        """Called once before anything else. `info`: `experiment_id`, `experiment_name`, `metric`,
        `mode`, and `directory`, where the log files go."""

    def on_step_begin(self, iteration: int, trials: Sequence[TrialView], **info: Any) -> None:
        """A turn of the controller begins."""

    def on_step_end(self, iteration: int, trials: Sequence[TrialView], **info: Any) -> None:
        """A turn is over."""

    def on_trial_start(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A trial has got its places, for the first time or again."""

    def on_trial_restore(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A trial goes on from its checkpoint; comes before its `on_trial_start`."""

    def on_trial_save(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A checkpoint of all of a trial's replicas is on disk."""

    def on_trial_result(
        self,
        iteration: int,
        trials: Sequence[TrialView],
        trial: TrialView,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial has a new result (flat, with its `trial_id`). Once for each recorded one."""

    def on_trial_complete(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A trial has ended without an error."""

    def on_trial_recover(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A trial has failed and will be tried again."""

    def on_trial_error(
        self, iteration: int, trials: Sequence[TrialView], trial: TrialView, **info: Any
    ) -> None:
        """A trial has failed for good."""

    def on_checkpoint(
        self,
        iteration: int,
        trials: Sequence[TrialView],
        trial: TrialView,
        checkpoint: Any,
        **info: Any,
    ) -> None:
        """As `on_trial_save`, with the checkpoint (`tunerl.results.stored.StoredCheckpoint`)."""

    def on_experiment_end(self, trials: Sequence[TrialView], **info: Any) -> None:
        """The controller leaves the experiment: it has ended, or was put aside."""

    def get_state(self) -> dict[str, Any] | None:
        """What `set_state` is to get after an interruption, as JSON."""
        return None

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave some time before the interruption."""
