"""How far an experiment is: pure arithmetic over its spec and its trials.

Invariant: progress is between 0 and 1, and 1 only once the experiment has completed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tunerl import searchers, space
from tunerl.errors import TuneRLError
from tunerl.store import Store
from tunerl.store.records import Experiment, TrialRecord
from tunerl.trial import ExperimentStatus, Status

ITERATION, STEPS, TIME = "training_iteration", "num_env_steps_sampled_lifetime", "time_total_s"


@dataclass(frozen=True)
class Totals:
    """What the trials of an experiment add up to.

    `steps`: env steps over all trials and replicas; `done`: the sum of the shares that trials have
    done; `best`: number and best objective of the best trial. `starting`: how many trials run that
    have not reported yet, as their workers start, set up or compile.
    """

    steps: int = 0
    done: float = 0.0
    best: tuple[int, float | None] | None = None
    starting: int = 0


def totals(store: Store, experiment: Experiment) -> Totals:
    """The totals of a stored experiment; of its trials only those that run are read."""
    best = store.best(experiment.id)
    ended = (Status.TERMINATED, Status.ERROR)  # what was canceled is not done
    done = float(sum(n for status, n in experiment.counts.items() if Status(status) in ended))
    starting = 0
    if experiment.counts.get(Status.RUNNING) and not experiment.status.finished:
        running = store.trials(experiment.id, status=Status.RUNNING)
        done += sum(share(trial, experiment.spec.get("stop") or {}) for trial in running)
        starting = sum(trial.iteration == 0 for trial in running)
    known = (best.number, best.best_objective) if best else None
    return Totals(store.steps(experiment.id), done, known, starting)


def share(trial: TrialRecord, stop: Mapping[str, Any]) -> float:
    """How much of an unfinished trial is done, by the stop rule that is nearest."""
    reached = {ITERATION: trial.iteration, STEPS: trial.steps, TIME: trial.time_total_s}
    shares = [
        value / stop[name]
        for name, value in reached.items()
        if isinstance(stop.get(name), int | float) and stop[name] > 0
    ]
    return min(1.0, max(shares, default=0.0))


def progress(experiment: Experiment, found: Totals, now: datetime | None = None) -> float:
    """By trials and their stop rules, or by the time budget where that is nearer to its end."""
    if experiment.status is ExperimentStatus.COMPLETED:
        return 1.0
    planned = planned_trials(json.dumps(experiment.spec, sort_keys=True))
    shares = [found.done / max(planned, sum(experiment.counts.values()))] if planned else []
    budget = experiment.spec.get("time_budget_s")
    if budget and experiment.started_at:
        end = experiment.ended_at or now or datetime.now(UTC)
        shares.append((_aware(end) - _aware(experiment.started_at)).total_seconds() / budget)
    return min(0.999, max(shares, default=0.0))


@lru_cache(maxsize=1024)
def planned_trials(spec: str) -> int | None:
    """How many trials the searcher of a spec (as JSON text) will suggest; None: no end."""
    read = json.loads(spec)
    try:
        searcher = searchers.create(read["searcher"])
        searcher.setup(
            space.Space(space.from_json(read["param_space"])),
            read.get("metric"),
            read.get("mode"),
            read.get("num_samples", 1),
            read.get("seed", 0),
        )
    except TuneRLError:  # written by a process with Python objects that this one lacks
        return None
    return searcher.total


def environment_name(spec: Mapping[str, Any]) -> str | None:
    """The environment that an experiment is about; None where it has none or several."""
    name = spec.get("param_space", {}).get("env")
    return name if isinstance(name, str) else None


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
