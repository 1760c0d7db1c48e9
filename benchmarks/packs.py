"""A sweep as bare packs on a pool of processes, without a tuner: ``python -m benchmarks.packs JOB
OUT``. What is measured is the training alone, as for a peer's pool of processes.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from typing import Any

from benchmarks.job import STEPS

Task = tuple[str, list[dict[str, Any]], int, int]


def train(task: Task) -> dict[str, Any]:
    """One pack with an agent for each configuration. Steady: all but the first fifth."""
    from tunerl import registry
    from tunerl.trial import ReplicaId

    algorithm, configs, steps, seed = task
    spec = registry.trainable(algorithm)
    full = [spec.resolve(config) for config in configs]
    pack = spec.open(full[0])
    for index, config in enumerate(full):
        pack.join(ReplicaId(index, 0), config, seed + index)
    curve: list[tuple[float, float]] = []
    while not curve or curve[-1][1] < steps * len(full):
        reports = pack.step()
        done = sum(float(report[STEPS]) for report in reports.values() if isinstance(report, dict))
        if len(reports) < len(full) or not all(isinstance(r, dict) for r in reports.values()):
            raise RuntimeError(f"an agent failed: {reports}")
        curve.append((time.time(), done))
    pack.close()
    start = next(point for point in curve if point[1] >= 0.2 * curve[-1][1])
    end = curve[-1]
    return {"steps": end[1], "steady_steps": end[1] - start[1], "steady_s": end[0] - start[0]}


def main(job_path: str, out_path: str) -> None:
    with open(job_path) as file:
        job = json.load(file)
    configs = [{"env": job["env"], **config} for config in job["configs"]]
    count = 1 if job["alone"] else job["concurrent"]
    shares = [configs[:1]] if job["alone"] else [configs[i::count] for i in range(count)]
    tasks = [
        (job["algorithm"], share, job["steps"], job["seed"] + 1000 * i)
        for i, share in enumerate(shares)
    ]
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        trials = pool.map(train, tasks, chunksize=1)
    with open(out_path, "w") as file:
        json.dump({"trials": trials}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
