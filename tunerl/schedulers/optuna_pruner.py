"""Optuna's pruners as schedulers, on a study made of what the scheduler has been shown.

Invariant: the pruner sees nothing but that study, so the same events lead to the same decisions.
"""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tunerl.control.aggregate import objective
from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.schedulers.base import Decision, Stop, Verdict
from tunerl.schedulers.rungs import number
from tunerl.schedulers.timed import TimedScheduler
from tunerl.searchers.optuna_study import HistoryStorage, frozen

PRUNERS = {
    "hyperband": "HyperbandPruner",
    "median": "MedianPruner",
    "patient": "PatientPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "threshold": "ThresholdPruner",
    "wilcoxon": "WilcoxonPruner",
}
PATH = "scheduler.pruner"


class OptunaPruner(TimedScheduler):
    """Stops a trial where one of Optuna's pruners would prune it.

    `pruner`: a name ("median", "percentile", "successive_halving", "hyperband", "patient",
    "threshold", "wilcoxon"), a dict ``{"name": "percentile", "percentile": 25.0}`` with the
    pruner's own options, or a pruner; of "patient", ``wrapped_pruner`` is described likewise.
    Optuna's steps are whole values of `time_attr`.

    "wilcoxon" looks at replicas: a trial's values are compared, replica by replica, with those that
    the best finished trial had at the same time. With Optuna's threshold of 0.1 it takes four
    replicas at least to tell. Raises `InvalidSpec` for an unknown pruner or option.
    """

    name, title = "optuna_pruner", "a pruner"

    def __init__(
        self,
        pruner: str | Mapping[str, Any] | BasePruner = "median",
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.pruner = pruner if isinstance(pruner, BasePruner) else described(pruner)
        self._check()
        self._made = build(self.pruner, PATH)
        self._paired = isinstance(self._made, optuna.pruners.WilcoxonPruner)
        self._replicas: dict[int, list[float]] = {}  # of the result that is shown next
        self._paths: dict[int, list[tuple[int, list[float]]]] = {}  # by trial, replicas over time

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        minimize = self.mode == "min"
        direction = StudyDirection.MINIMIZE if minimize else StudyDirection.MAXIMIZE
        self._storage = _Seen(direction, f"seed {seed}")
        self._study = optuna.Study(
            self._storage.name, self._storage, sampler=RandomSampler(seed=0), pruner=self._made
        )

    def on_replicas(self, trial: int, replicas: Sequence[Mapping[str, Any]]) -> None:
        values = [objective(metrics, self.metric) for metrics in replicas]
        self._replicas[trial] = [math.nan if value is None else value for value in values]

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        known = self._note(trial, result)
        if known is None:
            return []
        judged = known
        previous: dict[int, dict[int, float]] = {}
        if self._paired:
            judged, previous = self._pair(known)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            for kind in (UserWarning, RuntimeWarning):  # of values that are no numbers
                warnings.simplefilter("ignore", kind)
            pruned = self._made.prune(self._study, judged)
        for place, values in previous.items():
            self._storage.trials[place].intermediate_values = values
        if not pruned:
            return []
        self._storage.trials[trial].state = TrialState.PRUNED
        return [Stop(trial, verdict=self._verdict(known))]

    def _verdict(self, pruned: FrozenTrial) -> Verdict:
        step, value = pruned.last_step or 0, _last(pruned)
        seen = [trial for trial in self._storage.trials if trial.intermediate_values]
        others = [trial for trial in seen if trial.number != pruned.number]
        by = f"Optuna's {type(self._made).__name__}"
        return Verdict(step, math.nan if value is None else value, math.nan, len(others), by=by)

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        known = self._storage.of(trial)
        if result is not None and self.metric in result and self.time_attr in result:
            self._note(trial, result)
        if known.state == TrialState.RUNNING:
            value = _last(known)
            finished = value is not None and not math.isnan(value)
            known.state = TrialState.COMPLETE if finished else TrialState.FAIL
            known.value = value if finished else None
        return []

    def on_error(self, trial: int) -> list[Decision]:
        known = self._storage.of(trial)
        if known.state == TrialState.RUNNING:
            known.state = TrialState.FAIL
        return []

    def _note(self, trial: int, result: Mapping[str, Any]) -> FrozenTrial | None:
        """Take note of a result; None for one that came twice or late, or after the end."""
        time, _ = self.measure(result)
        value = number(result, self.metric or "", "metric")
        known, step = self._storage.of(trial), int(time)
        replicas = self._replicas.pop(trial, [value])
        late = known.last_step is not None and step <= known.last_step
        if late or known.state != TrialState.RUNNING:
            return None
        known.intermediate_values[step] = value
        if self._paired:
            self._paths.setdefault(trial, []).append((step, replicas))
        return known

    def _pair(self, known: FrozenTrial) -> tuple[FrozenTrial, dict[int, dict[int, float]]]:
        """A trial whose steps are its replicas, the best trial's made likewise; and what the latter
        were before."""
        step, replicas = self._paths[known.number][-1]
        judged = frozen(
            known.number, TrialState.RUNNING, {}, {}, intermediate=dict(enumerate(replicas))
        )
        done = [t for t in self._storage.trials if t.state == TrialState.COMPLETE]
        if not done:
            return judged, {}
        best = self._storage.get_best_trial(0).number
        then = [values for at, values in self._paths[best] if at <= step]
        before = self._storage.trials[best].intermediate_values
        self._storage.trials[best].intermediate_values = dict(enumerate(then[-1] if then else []))
        return judged, {best: before}

    def to_json(self) -> dict[str, Any]:
        named = isinstance(self.pruner, dict)
        pruner = self.pruner if named else {"python": type(self.pruner).__name__}
        return {**super().to_json(), "pruner": pruner}


class _Seen(HistoryStorage):
    """The study of the trials that the scheduler has been shown."""

    def __init__(self, direction: StudyDirection, name: str) -> None:
        super().__init__([direction])
        self.name = name

    def of(self, number: int) -> FrozenTrial:
        """A trial, made where it has not been heard of."""
        while len(self.trials) <= number:
            self.trials.append(frozen(len(self.trials), TrialState.RUNNING, {}, {}))
        self.show(len(self.trials))
        return self.trials[number]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """On a copy: a pruner does not see its own note in trials that it has asked for before."""
        trial = copy.copy(self.trials[trial_id])
        trial.system_attrs = {**trial.system_attrs, key: value}
        self.trials[trial_id] = trial

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.name


def described(pruner: Any, path: str = PATH) -> dict[str, Any]:
    """``"median"`` or ``{"name": "median", ...options}`` as the latter. Raises `InvalidSpec`."""
    if not isinstance(pruner, str | Mapping):
        raise InvalidSpec(Problem(path, f"{pruner!r} is neither a name nor an Optuna pruner"))
    options = {"name": pruner} if isinstance(pruner, str) else dict(pruner)
    if "python" in options:
        text = f"{options['python']} is a Python object and cannot come from JSON; name one of "
        raise InvalidSpec(Problem(path, text + ", ".join(PRUNERS)))
    name = str(options.get("name"))
    if name not in PRUNERS:
        raise InvalidSpec(
            Problem(path, f"no pruner goes by {options.get('name')!r}; " + nearest(name, PRUNERS))
        )
    allowed = inspect.signature(getattr(optuna.pruners, PRUNERS[name])).parameters
    problems = [
        Problem(f"{path}.{key}", f"{name} has no such option; " + nearest(str(key), allowed))
        for key in options
        if key != "name" and key not in allowed
    ]
    problems += [
        Problem(f"{path}.{key}", f"{name} needs this option")
        for key, parameter in allowed.items()
        if parameter.default is parameter.empty and key not in options
    ]
    if problems:
        raise InvalidSpec(problems)
    if options.get("wrapped_pruner") is not None:
        options["wrapped_pruner"] = described(options["wrapped_pruner"], f"{path}.wrapped_pruner")
    return options


def build(pruner: dict[str, Any] | BasePruner, path: str) -> BasePruner:
    """The pruner that a description describes. Raises `InvalidSpec` for impossible options."""
    if isinstance(pruner, BasePruner):
        return pruner
    options = {key: value for key, value in pruner.items() if key != "name"}
    if isinstance(options.get("wrapped_pruner"), dict):
        options["wrapped_pruner"] = build(options["wrapped_pruner"], f"{path}.wrapped_pruner")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return getattr(optuna.pruners, PRUNERS[pruner["name"]])(**options)
    except (TypeError, ValueError) as error:
        raise InvalidSpec(Problem(path, str(error))) from error


def _last(trial: FrozenTrial) -> float | None:
    step = trial.last_step
    return None if step is None else trial.intermediate_values[step]
