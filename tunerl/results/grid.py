"""What came of an experiment: `ResultGrid`, with Ray Tune's names and meaning.

Invariant: everything is read from the store; nothing is kept twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from tunerl import statistics
from tunerl.errors import InvalidInput, NotFound, TrainableError, nearest
from tunerl.metrics import nearest_metric
from tunerl.results.pareto import front
from tunerl.results.result import MetricsView, Result, better, check_mode, number
from tunerl.searchers.constraints import parse_constraints
from tunerl.trial import ExperimentStatus, Status

if TYPE_CHECKING:
    import pandas as pd

    from tunerl.store import Store

__all__ = ["MetricsView", "NoBestResult", "Result", "ResultGrid"]

SCOPES = ("last", "all", "avg", "last-5-avg", "last-10-avg")


class NoBestResult(NotFound, RuntimeError):
    """No trial has a value to compare by."""


class ResultGrid:
    """The results of an experiment, one for each trial, in order of their numbers.

    A snapshot: `refresh` reads the store again.
    """

    def __init__(self, store: Store, experiment_id: str) -> None:
        self.store, self.experiment_id = store, experiment_id
        self.refresh()

    def refresh(self) -> None:
        """Read the trials anew."""
        self._experiment = self.store.get_experiment(self.experiment_id)
        self._results = [Result(self, r) for r in self.store.trials(self.experiment_id)]

    @property
    def spec(self) -> dict[str, Any]:
        """The experiment as JSON."""
        return self._experiment.spec

    @property
    def metric(self) -> str | None:
        found: str | None = self.spec.get("metric")
        return found

    @property
    def status(self) -> ExperimentStatus:
        return self._experiment.status

    @property
    def reason(self) -> str | None:
        """Why the experiment stands as it does."""
        return self._experiment.reason

    @property
    def experiment_path(self) -> str:
        """The directory or URL with the experiment's checkpoints."""
        return f"{self.spec['storage'].rstrip('/')}/{self.experiment_id}"

    @property
    def errors(self) -> list[TrainableError]:
        """The errors of the trials that ended in ERROR."""
        return [result.error for result in self if result.error is not None]

    @property
    def num_errors(self) -> int:
        return sum(result.status is Status.ERROR for result in self)

    @property
    def num_terminated(self) -> int:
        """How many ended as planned, or were stopped early."""
        return sum(result.status is Status.TERMINATED for result in self)

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...

    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        return self._results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __repr__(self) -> str:
        return f"ResultGrid({self._experiment.name!r}, {self.status}, {len(self)} trials)"

    def _repr_html_(self) -> str:
        """The trials as a table, for notebooks: the best first, at most `SHOWN` of them."""
        from tunerl.results.html import page

        return page(self)

    def get_best_result(
        self,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """The best trial by `metric` (default: the experiment's).

        `scope`: what of a trial counts. "last": its last result; "all": its best one; "avg",
        "last-5-avg", "last-10-avg": the mean of all, or of the last ones. As in Ray Tune the
        default is "last", and a single trial is the best one whatever it reported. Trials in
        ERROR compete with what they reported. NaN and infinities never win unless
        `filter_nan_and_inf` is False; then NaN is worse than any number.

        Raises `InvalidInput` without metric or mode and for an unknown scope, `NoBestResult`
        (also a `RuntimeError`) where no trial has a value.
        """
        if scope not in SCOPES:
            raise InvalidInput(f"there is no scope {scope!r}; {nearest(scope, SCOPES)}")
        if len(self) == 1:
            return self[0]
        metric, mode = metric or self.metric, mode or self.spec.get("mode")
        if metric is None:
            raise InvalidInput("no metric is known: give one, or name one in TuneConfig(metric=)")
        mode = check_mode(mode)
        best: tuple[float, Result] | None = None
        for result in self:
            value = self._score(result, metric, mode, scope)
            if value is None or (filter_nan_and_inf and not math.isfinite(value)):
                continue
            if best is None or better(value, best[0], mode):
                best = value, result
        if best is None:
            known = {name for result in self for name in result.metrics}
            raise NoBestResult(
                f"no trial has a value of {metric!r} to compare by; "
                + (nearest_metric(metric, known) if metric not in known else "all are NaN or inf")
            )
        return best[1]

    def _score(self, result: Result, metric: str, mode: str, scope: str) -> float | None:
        if scope == "last":
            return number(result.metrics.get(metric), nan=True)
        values = [
            value
            for record in result.results
            if (value := number(record.metrics.get(metric), nan=True)) is not None
        ]
        if not values:
            return None
        if scope == "all":
            numbers = [value for value in values if not math.isnan(value)]
            return (max if mode == "max" else min)(numbers) if numbers else math.nan
        count = {"avg": len(values), "last-5-avg": 5, "last-10-avg": 10}[scope]
        return statistics.mean(values[-count:])

    @property
    def objectives(self) -> dict[str, str]:
        """The experiment's objectives, name to mode, in order."""
        if self.metric is None:
            return {}
        return {self.metric: self.spec["mode"], **self.spec.get("more_objectives", {})}

    def get_pareto_front(
        self,
        metric: Sequence[str] | None = None,
        mode: Sequence[str] | None = None,
        constraints: Mapping[str, str] | None = None,
    ) -> list[Result]:
        """The trials whose last results no other trial beats in every objective at once.

        `metric`, `mode`: default the experiment's objectives. `constraints`: such as
        ``{"memory": "<= 5"}``, default the searcher's; who breaks one is left out, as are trials in
        ERROR, and those without a finite number for each. Raises `InvalidInput`.
        """
        if metric is not None and len(metric) != len(mode or ()):
            raise InvalidInput(f"{len(metric)} metrics and {len(mode or ())} modes; give one each")
        names = list(self.objectives if metric is None else metric)
        modes = list(self.objectives.values()) if metric is None else list(mode or ())
        if not names:
            raise InvalidInput("no objective is known: give metric and mode, each as a list")
        if constraints is None:
            constraints = self.spec["searcher"].get("constraints")
        bounds = parse_constraints(constraints)
        found = [
            result
            for result in self
            if result.status is not Status.ERROR
            and all(math.isfinite(_nan(result.metrics.get(name))) for name in names)
            and all(bound.violation(result.metrics) <= 0 for bound in bounds)
        ]
        rows = [[_nan(result.metrics.get(name)) for name in names] for result in found]
        return [found[index] for index in front(rows, modes)] if rows else []

    def importance(
        self,
        metric: str | None = None,
        evaluator: str = "ped-anova",
        *,
        resamples: int | None = None,
        seed: int = 0,
        param_space: Any = None,
    ) -> pd.DataFrame:
        """How much each hyperparameter mattered for `metric` (default: the experiment's).

        Columns: ``parameter``, ``importance`` (shares of 1), ``low`` and ``high``, the 95 %
        bootstrap interval over trials; greatest first. See `importance_of`.
        """
        import pandas as pd

        from tunerl.results.importance import importance_of

        found = importance_of(
            self.store,
            self.experiment_id,
            metric,
            evaluator,
            resamples=resamples,
            seed=seed,
            param_space=param_space,
        )
        rows = [(entry.parameter, entry.value, entry.low, entry.high) for entry in found]
        return pd.DataFrame(rows, columns=["parameter", "importance", "low", "high"])

    def get_dataframe(
        self, filter_metric: str | None = None, filter_mode: str | None = None
    ) -> pd.DataFrame:
        """One row a trial: its last result, or the one with the best `filter_metric`.

        Columns: the flat metrics, ``trial``, ``status``, ``reason``, ``config/...``, and with
        several seeds ``<metric>/mean``, ``/iqm`` and ``/std`` of the experiment's metric.
        """
        import pandas as pd

        from tunerl.results.frames import row

        if filter_metric is not None:
            check_mode(filter_mode)
        rows = [row(result, self.metric, filter_metric, filter_mode) for result in self]
        return pd.DataFrame([entry for entry in rows if entry is not None])


def _nan(value: Any) -> float:
    found = number(value, nan=True)
    return math.nan if found is None else found
