"""A store of ten thousand trials stays quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.store.helpers import result, running
from tunerl.store import Store
from tunerl.store.records import Change, Tick
from tunerl.trial import Reason, Status

pytestmark = pytest.mark.slow
TRIALS, ITERATIONS = 10_000, 20


def milliseconds(ask: Callable[[], Any]) -> float:
    """The best of five, as the machine has other things to do as well."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - start))
    return min(taken)


def test_ten_thousand_trials_are_listed_within_100_ms_and_a_tick_takes_3(tmp_path: Path) -> None:
    noise = {f"learners/metric_{n}": n * 1.1 for n in range(15)}
    with Store(f"sqlite:///{tmp_path}/tunerl.db") as store:
        id, lease = running(store, trials=TRIALS)
        for iteration in range(1, ITERATIONS + 1):
            values = [float(n * iteration % 997) for n in range(TRIALS)]
            records = [result(n, iteration, value, **noise) for n, value in enumerate(values)]
            store.commit(lease, Tick(results=records))
        asked: dict[str, Callable[[], Any]] = {
            "experiments": store.list_experiments,
            "first page": lambda: store.trials(id, limit=100),
            "deep page": lambda: store.trials(id, limit=100, after=9000),
            "best first": lambda: store.trials(id, sort="objective", descending=True, limit=100),
            "next": lambda: store.trials(id, sort="best_objective", limit=100, after=500),
            "running": lambda: store.trials(id, sort="steps", status="RUNNING", limit=100),
            "results": lambda: store.results(id, after=100_000, limit=1000),
            "results of one": lambda: store.results(id, trial=7777),
            "curve": lambda: store.curve(id, 7777, "m"),
            "best": lambda: store.best(id),
            "counts": lambda: store.counts(id),
            "steps": lambda: store.steps(id),
        }
        assert {
            name: took for name, ask in asked.items() if (took := milliseconds(ask)) > 100
        } == {}

        new = iter(range(TRIALS, TRIALS + 100))

        def tick() -> None:
            n = next(new)
            ended = Change(n, Status.TERMINATED, Reason.DONE)
            store.commit(
                lease,
                Tick(
                    new_trials=[(n, {"lr": 1.0}, (1,))],
                    results=[result(n, 1, 1.0, **noise)],
                    changes=[Change(n, Status.RUNNING, attempt=1), ended],
                ),
            )

        assert milliseconds(tick) < 3
