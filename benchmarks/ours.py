"""The job through TuneRL, in a process of its own: ``python -m benchmarks.ours JOB OUT``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.job import RETURN, STEPS

if TYPE_CHECKING:
    from algorithms import Algorithm

WARM_UP, TAIL = 0.2, 0.9  # shares of all steps between which the steady state is taken


def sweep(job: dict[str, Any]) -> dict[str, Any]:
    """`Tuner.fit` on local Ray; the steady state comes from the results' times in the store."""
    from tunerl import BasicVariantGenerator, RunConfig, TuneConfig, Tuner
    from tunerl.space import from_json

    begin = time.time()
    grid = Tuner(
        "PPO",
        param_space={"env": job["env"], **from_json(job["space"])},
        tune_config=TuneConfig(
            metric=RETURN,
            mode="max",
            num_samples=job["num_samples"],
            num_seeds=job["num_seeds"],
            seed=job["seed"],
            search_alg=BasicVariantGenerator(points_to_evaluate=job["configs"]),
        ),
        run_config=RunConfig(name="benchmark", stop={STEPS: job["steps"]}, verbose=0),
    ).fit()
    span = time.time() - begin
    if grid.errors:
        raise RuntimeError(f"{grid.num_errors} trials failed; the first: {grid.errors[0]}")
    marks = [
        (record.created_at.timestamp(), record.trial, record.metrics[STEPS] * job["num_seeds"])
        for record in grid.store.results(grid.experiment_id)
        if record.created_at is not None
    ]
    best = grid.get_best_result()
    return {
        "span": span,
        "trials": [{"config": r.config, "return": r.metrics[RETURN]} for r in grid],
        "best": {"config": best.config, "return": best.metrics[RETURN]},
        **steady(marks),
    }


def steady(marks: list[tuple[float, int, float]]) -> dict[str, float]:
    """Steps and seconds of the steady part, out of (time, trial, the trial's steps by then).

    It leaves out the start (compilation, first rollouts) and the end (packs that run empty).
    """
    total = 0.0
    reached: dict[int, float] = {}
    curve: list[tuple[float, float]] = []
    for moment, trial, steps in sorted(marks):
        total += steps - reached.get(trial, 0.0)
        reached[trial] = steps
        curve.append((moment, total))
    first = next(point for point in curve if point[1] >= WARM_UP * total)
    last = next(point for point in curve if point[1] >= TAIL * total)
    # Several results share one moment: take each moment's last total.
    (start, done), (end, then) = (
        max(point for point in curve if point[0] == moment) for moment in (first[0], last[0])
    )
    return {"steps": total, "steady_steps": then - done, "steady_s": end - start}


def agent(job: dict[str, Any], seed: int, **settings: Any) -> Algorithm:
    from algorithms import PPOConfig

    config = {"env": job["env"], **job["configs"][0], "seed": seed, **settings}
    return PPOConfig.from_dict(config).build_algo()


def alone(job: dict[str, Any]) -> dict[str, Any]:
    """One agent, no tuner: a user's loop, with a compiled update. Steady: the second half."""
    begin = time.time()
    algorithm = agent(job, job["seed"], torch_compile_learner=True)
    curve: list[tuple[float, float]] = []
    while not curve or curve[-1][1] < job["steps"]:
        metrics = algorithm.train()
        curve.append((time.time(), metrics[STEPS]))
    algorithm.stop()
    (start, done), (end, then) = curve[len(curve) // 2], curve[-1]
    trial = {"steps": then, "steady_steps": then - done, "steady_s": end - start}
    return {"span": time.time() - begin, "trials": [trial]}


def quality(job: dict[str, Any]) -> dict[str, Any]:
    """Agents of one configuration from fresh seeds: what each reaches after its training."""
    returns = []
    for index in range(job["evaluate"]):
        seed, steps = 1_000_003 + 10 * index, 0
        algorithm = agent(job, seed)
        while steps < job["steps"]:
            steps = algorithm.train()[STEPS]
        returns.append(algorithm.evaluate(duration=20, unit="episodes", seed=seed + 1)[RETURN])
        algorithm.stop()
    return {"returns": returns}


def main(job_path: str, out_path: str) -> None:
    with open(job_path) as file:
        job = json.load(file)
    run = quality if job["evaluate"] else alone if job["alone"] else sweep
    outcome = run(job)
    with open(out_path, "w") as file:
        json.dump(outcome, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
