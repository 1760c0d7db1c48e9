"""The same loads through Ray Tune; run by the peers' interpreter.

``python -m benchmarks.peers.ray_tune LOAD OUT``, both JSON files; see `benchmarks.tuner.Load`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"

import itertools

import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback

from benchmarks.trivial import Trivial
from benchmarks.window import open_window, stop


class Stateless(tune.Trainable):  # type: ignore[misc]
    """Nothing is worth saving."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


class OneResult(Trivial, Stateless):
    """The trivial trial as Ray Tune's."""


class Ticking(Stateless):
    """A result every so many seconds, for ever; who falls behind is not waited for."""

    def setup(self, config: dict[str, Any]) -> None:
        self.interval = config["interval"]
        self.due, self.count = 0.0, 0

    def step(self) -> dict[str, Any]:
        now = time.perf_counter()
        time.sleep(max(0.0, self.due - now))
        self.due = max(self.due, now) + self.interval
        self.count += 1
        return {"score": self.count}


class Clock(tune.Callback):  # type: ignore[misc]
    """When so many trials had ended: at every `step`-th, in seconds."""

    def __init__(self, step: int) -> None:
        self.step, self.count = max(1, step), 0
        self.at: list[float] = []

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self.count += 1
        if self.count % self.step == 0:
            self.at.append(time.perf_counter())


def run(
    trainable: Any, space: dict[str, Any], load: dict[str, Any], rule: Any = None, *more: Any
) -> Any:
    return tune.Tuner(
        trainable,
        param_space={**space, "x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=load["trials"],
            reuse_actors=True,
            max_concurrent_trials=load["concurrent"],
        ),
        run_config=tune.RunConfig(
            name="load", verbose=0, callbacks=[JsonLoggerCallback(), *more], stop=rule
        ),
    ).fit()


def trivials(load: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Seconds for all, and for each quarter of them: does it cost more the more there are?"""
    step = load["trials"] // 4
    clock, begin = Clock(step), time.perf_counter()
    grid = run(OneResult, {}, load, None, clock)
    span, ends = time.perf_counter() - begin, [begin, *clock.at[:4]]
    quarters = [(b - a) / step for a, b in itertools.pairwise(ends)]
    return grid, {"span": span, "quarters": quarters}


def ticking(load: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """All trials at once, on actors of a fraction of a CPU each."""
    actor = tune.with_resources(Ticking, {"cpu": 2 / load["trials"]})
    window = open_window(load["trials"], load["rate"], load["seconds"])
    grid = run(actor, {"interval": 1 / load["rate"]}, load, stop)
    return grid, window.outcome()


def main(load_path: str, out_path: str) -> None:
    load = json.loads(Path(load_path).read_text())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    run(OneResult, {}, {**load, "trials": 2, "concurrent": 2})
    grid, found = {"trivial": trivials, "ticking": ticking}[load["what"]](load)
    if grid.num_errors or len(grid) != load["trials"]:
        said = f": {grid.errors[0]}" if grid.errors else ""
        raise RuntimeError(f"{grid.num_errors} errors in {len(grid)} trials{said}")
    Path(out_path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
