"""The controller's overhead: trivial trials of one result each, per trial, on each runtime.

``python benchmarks/controller.py [--trials 2000] [--runtimes local ray]`` prints a table and, with
``--json``, the same as JSON. The time is that of `Tuner.fit` on a warm runtime, store included,
divided by the number of trials; what the runtime needs to start is a row of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any

from tunerl import RunConfig, TuneConfig, Tuner, uniform
from tunerl.runtime import create

TARGET_MS = 10.0


def trivial(config: dict[str, Any]) -> dict[str, float]:
    return {"score": config["x"]}


def measure(runtime_name: str, trials: int) -> dict[str, Any]:
    """Milliseconds a trial, and seconds until the runtime has run a first trial."""
    with tempfile.TemporaryDirectory() as home:
        start = time.perf_counter()
        runtime = create(runtime_name)
        try:
            _fit(runtime, 1, home)
            started = time.perf_counter() - start
            start = time.perf_counter()
            grid = _fit(runtime, trials, home)
            seconds = time.perf_counter() - start
        finally:
            runtime.shutdown()
    assert grid.num_terminated == trials
    return {
        "runtime": runtime_name,
        "trials": trials,
        "start_s": started,
        "total_s": seconds,
        "ms_per_trial": 1000 * seconds / trials,
    }


def _fit(runtime: Any, trials: int, home: str) -> Any:
    return Tuner(
        trivial,
        param_space={"x": uniform(0, 1)},
        tune_config=TuneConfig(metric="score", mode="max", num_samples=trials),
        run_config=RunConfig(
            runtime=runtime,
            verbose=0,
            store=f"sqlite:///{home}/tunerl.db",
            storage_path=home,
        ),
    ).fit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--runtimes", nargs="+", default=["local", "ray"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [measure(name, given.trials) for name in given.runtimes]
    if given.json:
        print(json.dumps(rows))
        return
    print(f"{'runtime':<8} {'trials':>7} {'start s':>8} {'total s':>8} {'ms/trial':>9}  target")
    for row in rows:
        print(
            f"{row['runtime']:<8} {row['trials']:>7} {row['start_s']:>8.2f} "
            f"{row['total_s']:>8.2f} {row['ms_per_trial']:>9.2f}  < {TARGET_MS:g} ms"
        )


if __name__ == "__main__":
    main()
