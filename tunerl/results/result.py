"""One trial of an experiment as its user meets it.

Invariant: everything is read from the store, when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunerl import statistics
from tunerl.errors import InvalidInput, TrainableError
from tunerl.metrics import nearest_metric
from tunerl.results.stored import StoredCheckpoint
from tunerl.trial import Config, Status

if TYPE_CHECKING:
    import pandas as pd

    from tunerl.results.grid import ResultGrid
    from tunerl.store.records import CheckpointRecord, ResultRecord, TrialRecord


class MetricsView(dict[str, Any]):
    """Flat metrics that can also be read nested: ``m["a/b"]`` and ``m["a"]["b"]`` are the same."""

    def __missing__(self, key: str) -> MetricsView:
        prefix = f"{key}/"
        inner = {k.removeprefix(prefix): v for k, v in self.items() if k.startswith(prefix)}
        if not inner:
            raise KeyError(f"there is no metric {key!r}; {nearest_metric(str(key), self)}")
        return MetricsView(inner)

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default


class Result:
    """One trial: the metrics of its last result, its configuration, checkpoints, replicas."""

    def __init__(self, grid: ResultGrid, record: TrialRecord) -> None:
        self._grid, self._record = grid, record

    @property
    def trial(self) -> int:
        """The trial's number within the experiment."""
        return self._record.number

    @property
    def metrics(self) -> MetricsView:
        """The last result; numbers are means over the replicas, the objective their aggregate."""
        return MetricsView(self._record.last)

    @property
    def config(self) -> Config:
        """The configuration as it was suggested, without defaults."""
        return self._record.config

    @property
    def status(self) -> Status:
        return self._record.status

    @property
    def reason(self) -> str | None:
        """Why it ended, such as ``stop_rule``, ``scheduler``, ``failure``."""
        return None if self._record.reason is None else str(self._record.reason)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replica. They were used for tuning: evaluate the winner on others."""
        return self._record.seeds

    @property
    def error(self) -> TrainableError | None:
        """What ended a trial in ERROR, with the traceback in its text."""
        if self.status is not Status.ERROR:
            return None
        return TrainableError(self._record.error or "unknown")

    @property
    def path(self) -> str:
        """Where the trial's checkpoints are."""
        return f"{self._grid.experiment_path}/{self.trial:05d}"

    @cached_property
    def results(self) -> list[ResultRecord]:
        """All results, by iteration."""
        found = self._grid.store.results(self._grid.experiment_id, trial=self.trial)
        return sorted(found, key=lambda result: result.iteration)

    @cached_property
    def _checkpoints(self) -> list[CheckpointRecord]:
        return self._grid.store.checkpoints(self._grid.experiment_id, self.trial)

    @property
    def replicas(self) -> list[MetricsView]:
        """Each replica's last metrics, in order of `seeds`; empty before the first result."""
        if not self.results:
            return []
        last = self.results[-1]
        return [MetricsView(metrics) for metrics in last.replicas or [last.metrics]]

    def summarize(self, metric: str) -> dict[str, Any]:
        """Mean, IQM, median, std, min, max, interval and values of a metric over the replicas.

        Raises `InvalidInput` for a metric that is not in the last result.
        """
        replicas = self.replicas
        if not any(metric in metrics for metrics in replicas):
            raise InvalidInput(
                f"trial {self.trial} did not report {metric!r}; "
                + nearest_metric(metric, self.metrics)
            )
        return statistics.summarize([metrics.get(metric) for metrics in replicas])

    @property
    def statistics(self) -> dict[str, Any]:
        """`summarize` of the experiment's metric; empty where there is nothing to summarize."""
        metric = self._grid.metric
        if metric is None or not any(metric in metrics for metrics in self.replicas):
            return {}
        return self.summarize(metric)

    @property
    def checkpoint(self) -> StoredCheckpoint | None:
        """The latest checkpoint."""
        return StoredCheckpoint(self._checkpoints[-1].uri) if self._checkpoints else None

    @property
    def best_checkpoints(self) -> list[tuple[StoredCheckpoint, MetricsView]]:
        """All that were kept, with the metrics of their iteration; the best by score first, where
        the experiment scores them, else the latest first."""
        sign = -1.0 if self._grid.spec["checkpoint"]["score_order"] == "max" else 1.0

        def rank(record: CheckpointRecord) -> tuple[int, float, int]:
            if record.score is None or math.isnan(record.score):
                return (1, 0.0, -record.iteration)
            return (0, sign * record.score, -record.iteration)

        return [
            (StoredCheckpoint(record.uri), self._metrics_at(record.iteration))
            for record in sorted(self._checkpoints, key=rank)
        ]

    def _metrics_at(self, iteration: int) -> MetricsView:
        found = (r.metrics for r in self.results if r.iteration == iteration)
        return MetricsView(next(found, {}))

    def get_best_checkpoint(self, metric: str, mode: str) -> StoredCheckpoint | None:
        """The checkpoint whose iteration has the best value of `metric`; NaN never wins.

        Raises `InvalidInput` for a mode other than "min", "max", or a metric no checkpoint has.
        """
        check_mode(mode)
        scored = [
            (value, checkpoint)
            for checkpoint, metrics in self.best_checkpoints
            if (value := number(metrics.get(metric))) is not None
        ]
        if not scored:
            if not self._checkpoints:
                return None
            known = {name for _, metrics in self.best_checkpoints for name in metrics}
            raise InvalidInput(
                f"no checkpoint of trial {self.trial} has a number {metric!r}; "
                + nearest_metric(metric, known)
            )
        best = (max if mode == "max" else min)(value for value, _ in scored)
        return next(checkpoint for value, checkpoint in scored if value == best)

    @cached_property
    def metrics_dataframe(self) -> pd.DataFrame:
        """One row an iteration, flat columns."""
        import pandas as pd

        return pd.DataFrame([result.metrics for result in self.results])

    @property
    def objectives(self) -> dict[str, str]:
        """The experiment's objectives, name to mode."""
        return self._grid.objectives

    def _repr_html_(self) -> str:
        """What it reached, and with which settings, for notebooks."""
        from tunerl.results.html import card

        return card(self)

    def __repr__(self) -> str:
        metric = self._grid.metric
        value = f", {metric}={self.metrics.get(metric)}" if metric else ""
        return f"Result(trial={self.trial}, status={self.status}{value}, config={self.config})"


def check_mode(mode: str | None) -> str:
    """The mode, if it is one. Raises `InvalidInput`."""
    if mode not in ("min", "max"):
        given = "no mode is known" if mode is None else f"mode is {mode!r}"
        raise InvalidInput(f"{given}; give mode='min' or mode='max'")
    return mode


def number(value: Any, nan: bool = False) -> float | None:
    """A number as a float; None for anything else, and for NaN unless `nan`."""
    if isinstance(value, Mapping) or not isinstance(value, int | float):
        return None
    return None if math.isnan(value) and not nan else float(value)


def better(value: float, than: float, mode: str) -> bool:
    """Whether `value` beats `than`; NaN beats nothing."""
    if math.isnan(value) or math.isnan(than):
        return math.isnan(than) and not math.isnan(value)
    return value > than if mode == "max" else value < than
