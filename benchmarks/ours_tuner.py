"""The tuner alone, in a process of its own: ``python -m benchmarks.ours_tuner LOAD OUT``."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tunerl import Callback, RunConfig, TuneConfig, Tuner, uniform
from tunerl.registry import AuthorSpec
from tunerl.trainable import Failure, Pack, State
from tunerl.trial import Metrics, ReplicaId

EARLY = 1000  # trials after which memory has to stay as it is


def trivial(config: dict[str, Any]) -> dict[str, float]:
    return {"score": config["x"]}


def memory_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Ended(Callback):
    """Counts ended trials; notes the memory, and interrupts the experiment at `stop_at`."""

    def __init__(self, early: int, stop_at: int | None = None) -> None:
        self.early, self.stop_at, self.count = early, stop_at, 0
        self.memory: dict[str, float] = {}

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self.count += 1
        if self.count == self.early:
            self.memory["early"] = memory_mb()
        if self.count == self.stop_at:
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
        super().__init__(trivial, "ticker")
        self.members, self.rate = members, rate

    def capacity(self, config: dict[str, Any]) -> int:
        return self.members

    def open(self, config: dict[str, Any]) -> Pack:
        return Ticker(1.0 / self.rate)


def tuner(trainable: Any, samples: int, **run: Any) -> Tuner:
    return Tuner(
        trainable,
        param_space={"x": uniform(0, 1)},
        tune_config=TuneConfig(metric="score", mode="max", num_samples=samples, seed=1),
        run_config=RunConfig(name="load", verbose=0, **run),
    )


def trivials(load: dict[str, Any]) -> dict[str, Any]:
    """All trials on a warm runtime, and the memory early on and at the end."""
    tuner(trivial, 2).fit()
    early = min(EARLY, load["trials"] // 2)
    watch = Ended(early)
    begin = time.perf_counter()
    grid = tuner(trivial, load["trials"], callbacks=[watch]).fit()
    span = time.perf_counter() - begin
    if grid.num_terminated != load["trials"]:
        raise RuntimeError(f"{grid.num_terminated} of {load['trials']} trials ended")
    return {"span": span, "memory": {**watch.memory, "early_at": early, "end": memory_mb()}}


def ticking(load: dict[str, Any]) -> dict[str, Any]:
    """The whole of it, and from the first result to the last."""
    tuner(trivial, 2).fit()
    spec = TickerSpec(-(-load["concurrent"] // 2), load["rate"])
    stop = {"training_iteration": load["results"]}
    begin = time.perf_counter()
    grid = tuner(spec, load["trials"], stop=stop).fit()
    span = time.perf_counter() - begin
    found = [each.created_at for each in grid.store.results(grid.experiment_id)]
    moments = [moment.timestamp() for moment in found if moment is not None]
    if len(moments) != load["trials"] * load["results"]:
        raise RuntimeError(f"{len(moments)} results")
    return {"span": span, "reporting": max(moments) - min(moments) + 1.0 / load["rate"]}


def restore(load: dict[str, Any]) -> dict[str, Any]:
    """Seconds until an interrupted experiment's next trial starts, and until its grid is there."""
    watch = Ended(0, load["trials"])
    grid = tuner(trivial, load["trials"] + 4, callbacks=[watch]).fit()
    if grid.num_terminated == load["trials"] + 4:
        raise RuntimeError("the experiment was not interrupted")
    started = Started()
    begin = time.perf_counter()
    again = Tuner.restore(
        grid.experiment_id, trivial, run_config=RunConfig(verbose=0, callbacks=[started])
    )
    again.fit()
    if started.at is None:
        raise RuntimeError("no trial started")
    at = time.perf_counter()
    seen = Tuner.restore(grid.experiment_id, trivial).get_results()
    best = seen.get_best_result()
    done = time.perf_counter()
    return {"restore": started.at - begin, "grid": done - at, "best": best.metrics["score"]}


def main(load_path: str, out_path: str) -> None:
    load = json.loads(Path(load_path).read_text())
    kinds = {"trivial": trivials, "ticking": ticking, "restore": restore}
    Path(out_path).write_text(json.dumps(kinds[load["what"]](load)))


if __name__ == "__main__":
    main(*sys.argv[1:])
