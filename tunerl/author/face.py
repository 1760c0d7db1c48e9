"""What the author of training code uses: `Trainable`, `report`, `Checkpoint`, `with_*`.

Ray Tune's verbs and meanings. Randomness comes from ``self.seed`` or ``get_context().get_seed()``.
A worker process of its own also seeds `random` and `numpy.random` before setup; the local runtime,
which shares its process with the caller, does not.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunerl.author.directories import pack_files, pack_values, unpack_files, unpack_values
from tunerl.author.session import (
    Checkpoint,
    Context,
    Session,
    get_checkpoint,
    get_context,
    present,
    report,
)
from tunerl.errors import CheckpointError, InvalidInput
from tunerl.metrics import flatten
from tunerl.trainable import State
from tunerl.trial import Config, Metrics

__all__ = [
    "Bound",
    "Checkpoint",
    "Context",
    "Trainable",
    "get_checkpoint",
    "get_context",
    "report",
    "with_parameters",
    "with_resources",
]


class Trainable:
    """Training code as a class. Override `setup`, `step`, `save_checkpoint`, `load_checkpoint`.

    `config` is the configuration, `seed` the replica's seed. Saved files and values travel as
    safetensors and JSON, so `save_checkpoint` either writes files into its directory or returns a
    dict of JSON values and numpy arrays; `load_checkpoint` gets the directory, or the dict.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config: Config = config or {}
        self._session = present() or Session(Context())
        self._iteration = 0
        self._time_total = 0.0
        self.setup(copy.deepcopy(self.config))

    # What an author writes.

    def setup(self, config: Config) -> None:
        """Build everything; called once, before the first step."""

    def step(self) -> Mapping[str, Any]:
        """One training iteration; returns its metrics. ``done=True`` among them ends the trial."""
        raise NotImplementedError(f"{type(self).__name__} has no step(); write one")

    def save_checkpoint(self, checkpoint_dir: str) -> Mapping[str, Any] | str | None:
        """Write files into `checkpoint_dir`, or return a dict."""
        raise NotImplementedError

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from what `save_checkpoint` made: the directory's path, or the dict.

        Where `save_checkpoint` did both, the files are at ``tunerl.get_checkpoint().path``.
        """
        raise NotImplementedError

    def reset_config(self, new_config: Config) -> bool:
        """Become what a new object with `new_config` would be; False: cannot, build a new one."""
        return False

    def cleanup(self) -> None:
        """Release what `setup` took."""

    # What an author may ask.

    @classmethod
    def default_resource_request(cls, config: Config) -> Any:
        """What one worker needs, such as ``{"CPU": 2}``; None for one CPU."""
        return None

    @property
    def seed(self) -> int:
        """This replica's seed."""
        return self._session.context.seed

    @property
    def trial_id(self) -> str:
        return self._session.context.get_trial_id()

    @property
    def trial_name(self) -> str:
        return self._session.context.get_trial_name()

    @property
    def logdir(self) -> str:
        """A scratch directory, removed when the replica leaves its worker."""
        return self._session.context.get_trial_dir()

    @property
    def iteration(self) -> int:
        """How many iterations were trained, those before a restore included."""
        return self._iteration

    @property
    def training_iteration(self) -> int:
        return self._iteration

    def get_config(self) -> Config:
        return self.config

    # What drives it.

    def train(self) -> Metrics:
        """One `step`. Returns its metrics, flat, with `training_iteration`, `time_this_iter_s`,
        `time_total_s` and `done` filled in. Raises `MetricError` for unusable metrics."""
        start = time.perf_counter()
        with self._session.active():
            metrics = self.step()
        return self._fill(metrics, start)

    def _fill(self, metrics: Mapping[str, Any], start: float) -> Metrics:
        flat = flatten(metrics)
        flat.setdefault("time_this_iter_s", time.perf_counter() - start)
        self._iteration += 1
        self._time_total += flat["time_this_iter_s"]
        flat.setdefault("done", False)
        return flat | {"training_iteration": self._iteration, "time_total_s": self._time_total}

    def save(self, checkpoint_dir: str) -> str:
        """Write a whole checkpoint to the directory or URL `checkpoint_dir`, atomically."""
        from tunerl import checkpoints

        checkpoints.save(self.get_state(), checkpoint_dir, {})
        return checkpoint_dir

    def restore(self, checkpoint_dir: str) -> None:
        """Go on from a checkpoint that `save` or an experiment wrote."""
        from tunerl import checkpoints

        self.set_state(checkpoints.load(checkpoint_dir)[0])

    def reset(self, new_config: Config, context: Context | None = None) -> bool:
        """Start over with another configuration in the same object, where the author allows it."""
        if context is not None:
            self._session.context.discard()
            self._session = Session(context)
        self.config = new_config
        with self._session.active():
            if not self.reset_config(copy.deepcopy(new_config)):
                return False
        self._iteration, self._time_total = 0, 0.0
        return True

    def stop(self) -> None:
        """`cleanup`, and remove the scratch directory."""
        try:
            with self._session.active():
                self.cleanup()
        finally:
            self._session.context.discard()

    def get_state(self) -> State:
        """All that `save_checkpoint` gives, with the counters. Raises `CheckpointError`."""
        values: dict[str, Any] = {"iteration": self._iteration, "time_total_s": self._time_total}
        with self._session.active(), tempfile.TemporaryDirectory(prefix="tunerl-save-") as path:
            try:
                saved = self.save_checkpoint(path)
            except NotImplementedError as error:
                raise _cannot(self, "save_checkpoint") from error
            if isinstance(saved, Mapping):
                values["dict"], arrays = pack_values(saved)
                return State(pack_files(path) | arrays, values)
            return State(pack_files(saved or path), values)

    def set_state(self, state: State) -> None:
        """Go on from a state. Raises `CheckpointError` where the author wrote no way to."""
        with self._session.active(), tempfile.TemporaryDirectory(prefix="tunerl-load-") as path:
            self._session.files = state.arrays
            try:
                if "dict" in state.values:
                    self.load_checkpoint(unpack_values(state.values["dict"], state.arrays))
                else:
                    unpack_files(state.arrays, path)
                    self.load_checkpoint(path)
            except NotImplementedError as error:
                raise _cannot(self, "load_checkpoint") from error
        self._iteration = int(state.values["iteration"])
        self._time_total = float(state.values["time_total_s"])


def _cannot(trainable: Trainable, verb: str) -> CheckpointError:
    name = type(trainable).__name__
    return CheckpointError(
        f"{name} has no {verb}(); checkpoints, pausing and retrying need save_checkpoint and "
        "load_checkpoint"
    )


@dataclass(frozen=True)
class Bound:
    """A class or function with parameters and resources attached; as callable as its target."""

    target: Callable[..., Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resources: Any = None  # dict, function of the configuration, or None: as the target says

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self.target(*args, **{**self.parameters, **more})

    @property
    def __name__(self) -> str:
        return getattr(self.target, "__name__", type(self.target).__name__)


VERBS = ("setup", "step", "train", "stop", "save_checkpoint", "load_checkpoint", "reset_config")


def is_foreign(target: Any) -> bool:
    """Whether `target` is a class with Ray Tune's verbs that is not derived from ours."""
    if not inspect.isclass(target) or issubclass(target, Trainable):
        return False
    return all(callable(getattr(target, verb, None)) for verb in VERBS)


def bound(target: Any) -> Bound:
    """`target` as a `Bound`. Raises `InvalidInput` for what is no trainable."""
    if isinstance(target, Bound):
        return target
    if inspect.isclass(target) and not issubclass(target, Trainable) and not is_foreign(target):
        raise InvalidInput(
            f"{target.__name__} is no trainable: derive it from tunerl.Trainable, "
            "or give a function of one argument, the configuration"
        )
    if not callable(target):
        raise InvalidInput(
            f"{target!r} is no trainable; give a name, a class derived from tunerl.Trainable, "
            "a function of one argument, or a TrainableSpec"
        )
    return Bound(target)


def with_parameters(trainable: Any, **parameters: Any) -> Bound:
    """Give a function further keywords, or a class's `setup` further keywords: data, models."""
    given = bound(trainable)
    return replace(given, parameters={**given.parameters, **parameters})


def with_resources(trainable: Any, resources: Any) -> Bound:
    """Say what one worker needs: ``{"CPU": 2, "GPU": 0.5}`` or a function of the configuration."""
    return replace(bound(trainable), resources=resources)
