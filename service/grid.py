"""The ResultGrid of a stored experiment: trials, their last results, the spread over seeds."""

from __future__ import annotations

from collections.abc import Iterator

from service.schemas import Result, Statistics, clean
from tunerl import statistics
from tunerl.errors import NotFound
from tunerl.store import Store
from tunerl.store.records import Experiment, TrialRecord

PAGE = 200


def grid(store: Store, experiment: Experiment) -> Iterator[Result]:
    """Results in order of the trials' numbers, read page by page."""
    after = 0
    while page := store.trials(experiment.id, limit=PAGE, after=after):
        for trial in page:
            yield Result(
                trial=trial.number,
                status=trial.status,
                config=clean(trial.config),
                metrics=clean(trial.last),
                statistics=last_statistics(store, experiment, trial),
                error=trial.error,
            )
        after = page[-1].number + 1


def best_trial(store: Store, experiment: Experiment) -> TrialRecord:
    """The best trial by its best result. Raises `NotFound` while there is none."""
    best = store.best(experiment.id)
    if best is None:
        metric = experiment.spec.get("metric")
        raise NotFound(
            f"{experiment.name} has no best trial: "
            + (f"none reported a number as {metric!r} yet" if metric else "it has no objective")
        )
    return best


def last_statistics(store: Store, experiment: Experiment, trial: TrialRecord) -> Statistics | None:
    """Summary of the last objective under each seed; None before the first result."""
    metric = experiment.spec.get("metric")
    if not metric or not trial.iteration:
        return None
    if len(trial.seeds) == 1:
        return _summary([trial.objective])
    points = store.curve(experiment.id, trial.number, metric, max_points=1)
    return _summary(points[-1]["replicas"]) if points else None


def best_statistics(store: Store, experiment: Experiment, trial: TrialRecord) -> Statistics | None:
    """The same of the trial's best result."""
    metric = str(experiment.spec.get("metric"))
    for result in store.results(experiment.id, trial=trial.number):
        if result.iteration == trial.best_iteration:
            replicas = result.replicas or [result.metrics]
            return _summary([replica.get(metric) for replica in replicas])
    return None


def _summary(values: list[float | None]) -> Statistics:
    return Statistics(**clean(statistics.summarize(values)))
