"""An experiment as plain data: what Tuner, REST and the command line all hand to the controller.

Invariant: a spec that `check` accepts is runnable; what cannot be written in JSON (callables,
classes) is named in `python` and such an experiment is driven only by the process that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tunerl.errors import InvalidInput, InvalidSpec

if TYPE_CHECKING:
    from tunerl.control.objects import Objects
    from tunerl.control.stopping import StopRules
    from tunerl.schedulers.base import Scheduler
    from tunerl.searchers.base import Searcher
    from tunerl.space import Space
    from tunerl.trainable import TrainableSpec


@dataclass(frozen=True)
class CheckpointSpec:
    """See `tunerl.tuner.CheckpointConfig`. `at_end` None: yes where the trainable is stateful."""

    num_to_keep: int | None = None
    score_attribute: str | None = None
    score_order: str = "max"
    frequency: int = 0
    at_end: bool | None = None


@dataclass(frozen=True)
class FailureSpec:
    """`max_failures` -1: no limit. `fail_fast`: the first failed trial ends the experiment.
    `hang_timeout_s`: how long one iteration may take; None: for ever. `memory_limit_bytes`: how
    much memory a pack's worker may hold; None: any amount."""

    max_failures: int = 0
    fail_fast: bool = False
    hang_timeout_s: float | None = None
    memory_limit_bytes: float | None = None


@dataclass(frozen=True)
class ExperimentSpec:
    """One sweep. `param_space`, `searcher`, `scheduler` are JSON (`space.to_json`, `to_json()`).

    `metric`, `mode`: the first objective; schedulers see it, tables are sorted by it.
    `more_objectives`: further ones, name to mode. `seeds`: dealt to trials in turn, `num_seeds`
    to each, from the first again after the last; empty: each trial has its own. `warm_start`:
    experiments (id or name) whose trials the searcher learns from. `origin`: the experiment this
    one was made from: {"kind", "experiment", ...}.
    """

    trainable: str
    param_space: dict[str, Any]
    name: str = ""
    metric: str | None = None
    mode: str | None = None
    more_objectives: dict[str, str] = field(default_factory=dict)
    num_samples: int = 1
    num_seeds: int = 1
    aggregate: str = "mean"
    seed: int = 0
    seeds: tuple[int, ...] = ()
    warm_start: tuple[str, ...] = ()
    searcher: dict[str, Any] = field(default_factory=lambda: {"type": "random"})
    scheduler: dict[str, Any] = field(default_factory=lambda: {"type": "fifo"})
    stop: dict[str, float] = field(default_factory=dict)
    stopper: dict[str, Any] | None = None  # see `tunerl.stoppers.create`
    max_concurrent_trials: int | None = None
    time_budget_s: float | None = None
    checkpoint: CheckpointSpec = CheckpointSpec()
    failure: FailureSpec = FailureSpec()
    storage: str = ""  # root of the checkpoints; empty: the default of the process that runs it
    python: tuple[str, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def objectives(self) -> dict[str, str]:
        """All objectives, name to mode, in order; empty where there is none."""
        if self.metric is None or self.mode is None:
            return {}
        return {self.metric: self.mode, **self.more_objectives}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Custom:
    """What of an experiment is Python and cannot be written in JSON; None: what the spec says."""

    space: Space | None = None
    searcher: Searcher | None = None
    scheduler: Scheduler | None = None
    stop: Callable[[str, dict[str, Any]], bool] | None = None


@dataclass(frozen=True)
class Parts:
    """The live pieces of one experiment, set up and fresh: for one controller."""

    space: Space
    searcher: Searcher
    scheduler: Scheduler
    rules: StopRules
    objects: Objects


def from_json(obj: Mapping[str, Any]) -> ExperimentSpec:
    """The spec that JSON describes; no more than names and types of the fields is checked.

    Raises `InvalidSpec` with all problems, each under its field.
    """
    from tunerl.reading import read

    return read(obj)


def check(
    spec: Mapping[str, Any] | ExperimentSpec,
    trainable: TrainableSpec | None = None,
    custom: Custom | None = None,
) -> ExperimentSpec:
    """The spec, runnable: names are known, ranges lie within those of the trainable.

    `trainable`: instead of looking its name up. A missing metric and mode are filled in from the
    trainable's objective. Raises `InvalidSpec` with everything that is wrong, each under the path
    of its field, such as ``param_space.lr``.
    """
    from tunerl.checking import checked
    from tunerl.reading import lenient

    if not isinstance(spec, Mapping):
        return checked(spec, trainable, custom)
    read, unknown = lenient(spec)
    try:
        found = checked(read, trainable, custom)
    except InvalidInput as error:
        raise InvalidSpec([*unknown, *error.problems]) from error
    if unknown:
        raise InvalidSpec(unknown)
    return found


def build(
    spec: ExperimentSpec, custom: Custom | None = None, trainable: TrainableSpec | None = None
) -> Parts:
    """Fresh pieces for a controller of `trainable`. Raises `InvalidSpec`, `InvalidSpace`."""
    from tunerl.checking import parts

    return parts(spec, custom or Custom(), trainable)
