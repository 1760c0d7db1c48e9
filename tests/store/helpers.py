"""Short words for what store tests do all the time."""

from __future__ import annotations

from typing import Any

from tunerl.store import Store
from tunerl.store.records import Change, Experiment, Lease, ResultRecord, Tick
from tunerl.trial import ExperimentStatus, Status

SPEC = {"trainable": "PPO", "metric": "m", "mode": "max", "param_space": {"lr": 1.0}}


def create(store: Store, name: str = "sweep", **kw: Any) -> Experiment:
    """An experiment that a worker may claim, maximising "m"."""
    spec = {**SPEC, "mode": kw.pop("mode", "max")}
    return store.create_experiment(spec, name, **{"claimable": True, **kw})


def running(store: Store, trials: int = 1, **kw: Any) -> tuple[str, Lease]:
    """An experiment of ours under way, with trials 0, 1, ... running at attempt 1."""
    id = create(store, **kw).id
    lease = store.acquire(id, "me", 60)
    store.set_status(lease, ExperimentStatus.RUNNING)
    store.commit(
        lease,
        Tick(
            new_trials=[(n, {"lr": n / 10}, (n, n + 1)) for n in range(trials)],
            changes=[Change(n, Status.RUNNING, attempt=1) for n in range(trials)],
        ),
    )
    return id, lease


def result(trial: int, iteration: int, objective: float | None, **metrics: Any) -> ResultRecord:
    """What attempt 1 of a trial reports."""
    found = {"m": objective, "num_env_steps_sampled_lifetime": 100 * iteration, **metrics}
    return ResultRecord(trial, iteration, 1, found, objective)
