"""The tuner alone, in a process of its own: ``python -m benchmarks.ours_tuner LOAD OUT``."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.trivial import Trivial
from benchmarks.window import open_window, stop
from tunerl import Callback, ResultGrid, RunConfig, Trainable, TuneConfig, Tuner, uniform
from tunerl.registry import AuthorSpec
from tunerl.runtime import create
from tunerl.runtime.base import Runtime
from tunerl.trainable import Failure, Pack, State
from tunerl.trial import Metrics, ReplicaId

EARLY = 1000  # trials after which memory has to stay as it is
MORE = 200  # trials that are left when the experiment is interrupted


class OneResult(Trivial, Trainable):
    """The trivial trial as TuneRL's."""


def memory_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Ended(Callback):
    """Counts ended trials and notes memory (MB) and time (s) at the `early`-th and the `last`,
    with which it interrupts the experiment."""

    def __init__(self, early: int, last: int) -> None:
        self.early, self.last, self.count = early, last, 0
        self.memory: dict[int, float] = {}
        self.at: dict[int, float] = {}

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self.count += 1
        if self.count in (self.early, self.last):
            self.memory[self.count] = memory_mb()
            self.at[self.count] = time.perf_counter()
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGINT)


class Started(Callback):
    """When the first trial started; the experiment ends then."""

    def __init__(self) -> None:
        self.at: float | None = None

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        if self.at is None:
            self.at = time.perf_counter()


class Ticker(Pack):
    """Members that report together, at a rate; who falls behind is not waited for."""

    def __init__(self, interval: float) -> None:
        self.interval, self.counts, self.due = interval, dict[ReplicaId, int](), 0.0

    def join(
        self, id: ReplicaId, config: dict[str, Any], seed: int, state: State | None = None
    ) -> None:
        self.counts[id] = 0

    def leave(self, id: ReplicaId) -> None:
        del self.counts[id]

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        now = time.perf_counter()
        time.sleep(max(0.0, self.due - now))
        self.due = max(self.due, now) + self.interval
        self.counts = {id: count + 1 for id, count in self.counts.items()}
        return {
            id: {"score": float(count), "training_iteration": count}
            for id, count in self.counts.items()
        }

    def read(self, id: ReplicaId) -> State:
        return State({}, {"count": self.counts[id]})

    def write(self, id: ReplicaId, state: State) -> None:
        self.counts[id] = state.values["count"]

    def configure(self, id: ReplicaId, config: dict[str, Any]) -> None:
        """There is nothing to set."""


class TickerSpec(AuthorSpec):
    """Tickers, so many to a pack."""

    def __init__(self, members: int, rate: float) -> None:
        super().__init__(OneResult, "ticker")
        self.members, self.rate = members, rate

    def capacity(self, config: dict[str, Any]) -> int:
        return self.members

    def open(self, config: dict[str, Any]) -> Pack:
        return Ticker(1.0 / self.rate)


@functools.cache
def cluster() -> Runtime:
    """Started once, as for Ray Tune; what it takes to start is no trial's overhead."""
    return create("ray", num_cpus=2)


def tuner(trainable: Any, samples: int, **run: Any) -> Tuner:
    return Tuner(
        trainable,
        param_space={"x": uniform(0, 1)},
        tune_config=TuneConfig(metric="score", mode="max", num_samples=samples, seed=1),
        run_config=RunConfig(name="load", verbose=0, runtime=cluster(), **run),
    )


def trivials(load: dict[str, Any]) -> dict[str, Any]:
    """All trials on a warm runtime, with the memory early on and at the end; then interrupted, and
    how long it takes to go on, and to have the results."""
    tuner(OneResult, 2).fit()
    trials = load["trials"]
    early = min(EARLY, trials // 2)
    watch = Ended(early, trials)
    begin = time.perf_counter()
    grid = tuner(OneResult, trials + MORE, callbacks=[watch]).fit()
    if not trials <= grid.num_terminated < trials + MORE:
        raise RuntimeError(f"{grid.num_terminated} trials ended, to be interrupted at {trials}")
    return {
        "span": watch.at[trials] - begin,
        "memory": {
            "early_at": early,
            "early": watch.memory[early],
            "end": watch.memory[trials],
        },
        **restored(grid),
    }


def restored(grid: ResultGrid) -> dict[str, float]:
    """Seconds until an interrupted experiment's next trial starts, and until its grid is there."""
    started = Started()
    begin = time.perf_counter()
    going_on = RunConfig(verbose=0, callbacks=[started], runtime=cluster())
    again = Tuner.restore(grid.experiment_id, OneResult, run_config=going_on)
    again.fit()
    if started.at is None:
        raise RuntimeError("no trial started")
    at = time.perf_counter()
    seen = Tuner.restore(grid.experiment_id, OneResult).get_results()
    best = seen.get_best_result()
    done = time.perf_counter()
    if "score" not in best.metrics:
        raise RuntimeError("the best result has no score")
    return {"restore": started.at - begin, "grid": done - at}


def ticking(load: dict[str, Any]) -> dict[str, Any]:
    """What is taken in once all trials have started."""
    tuner(OneResult, 2).fit()
    spec = TickerSpec(-(-load["trials"] // 2), load["rate"])
    window = open_window(load["trials"], load["rate"], load["seconds"])
    grid = tuner(spec, load["trials"], stop=stop).fit()
    if grid.num_terminated != load["trials"]:
        raise RuntimeError(f"{grid.num_terminated} of {load['trials']} trials ended")
    return window.outcome()


def main(load_path: str, out_path: str) -> None:
    load = json.loads(Path(load_path).read_text())
    kinds = {"trivial": trivials, "ticking": ticking}
    try:
        Path(out_path).write_text(json.dumps(kinds[load["what"]](load)))
    finally:
        cluster().shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
