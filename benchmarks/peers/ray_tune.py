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

import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback


class Stateless(tune.Trainable):  # type: ignore[misc]
    """Nothing is worth saving."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


class Trivial(Stateless):
    """One result, and done; an actor goes on with the next trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x = config["x"]

    def step(self) -> dict[str, Any]:
        return {"score": self.x, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True


class Ticking(Stateless):
    """A result every so many seconds."""

    def setup(self, config: dict[str, Any]) -> None:
        self.interval, self.results = config["interval"], config["results"]
        self.due, self.count = 0.0, 0

    def step(self) -> dict[str, Any]:
        now = time.perf_counter()
        time.sleep(max(0.0, self.due - now))
        self.due = max(self.due, now) + self.interval
        self.count += 1
        return {"score": self.count, "at": time.time(), "done": self.count == self.results}


def run(trainable: Any, space: dict[str, Any], load: dict[str, Any]) -> Any:
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
        run_config=tune.RunConfig(name="load", verbose=0, callbacks=[JsonLoggerCallback()]),
    ).fit()


def main(load_path: str, out_path: str) -> None:
    load = json.loads(Path(load_path).read_text())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    run(Trivial, {}, {**load, "trials": 2, "concurrent": 2})
    if load["what"] == "trivial":
        begin = time.perf_counter()
        grid = run(Trivial, {}, load)
        span = time.perf_counter() - begin
    else:
        share = 2 / load["concurrent"]
        ticking = tune.with_resources(Ticking, {"cpu": share})
        space = {"interval": 1 / load["rate"], "results": load["results"]}
        begin = time.time()
        grid = run(ticking, space, load)
        span = time.time() - begin
    if grid.num_errors or len(grid) != load["trials"]:
        raise RuntimeError(f"{grid.num_errors} errors in {len(grid)} trials")
    Path(out_path).write_text(json.dumps({"span": span}))


if __name__ == "__main__":
    main(*sys.argv[1:])
