"""Ways to tune against random search, at equal environment steps: ``python -m benchmarks.methods``.

PPO on three environments, several repetitions of each sweep. A sweep's outcome is what its best
agent reaches in fresh episodes, and what its configuration reaches when trained from seeds that
were never tuned on. Prints the tables of `docs/tuning.md`. Each sweep's outcome is kept in a file,
so that a run goes on where it was interrupted; ``--only ENV`` for a share of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.learning import EPISODES, RETURN, SAMPLED
from benchmarks.process import say
from benchmarks.sweep import RESULTS
from benchmarks.table import markdown, number

FOLDER = RESULTS / "methods"
TRIALS = 16  # of random search; the others get as many environment steps
BATCH = 1024
FRESH = 3  # seeds that a winner is trained from again
SEARCHED = ("lr", "gamma", "lambda_", "clip_param", "entropy_coeff", "vf_loss_coeff")


@dataclass(frozen=True)
class Task:
    """`iterations` of each full training, and what differs in the configuration."""

    env: str
    iterations: int
    config: Mapping[str, Any]

    @property
    def budget(self) -> int:
        return TRIALS * self.iterations * BATCH


TASKS = {
    "CartPole": Task("CartPole-v1", 20, {}),
    "Acrobot": Task("Acrobot-v1", 30, {}),
    "Pendulum": Task("Pendulum-v1", 40, {"normalize_rewards": True}),
}


def space(task: Task) -> dict[str, Any]:
    from tunerl import choice, loguniform, uniform

    return {
        "env": task.env,
        "num_envs_per_env_runner": 8,
        "train_batch_size": BATCH,
        "minibatch_size": 128,
        "num_epochs": 6,
        "model": {"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": False},
        **task.config,
        "lr": loguniform(1e-5, 1e-2),
        "gamma": choice([0.9, 0.95, 0.98, 0.99, 0.995, 0.999]),
        "lambda_": uniform(0.8, 1.0),
        "clip_param": uniform(0.1, 0.4),
        "entropy_coeff": loguniform(1e-8, 0.1),
        "vf_loss_coeff": uniform(0.1, 1.0),
    }


def random_search(task: Task) -> dict[str, Any]:
    return {"num_samples": TRIALS}


def tpe(task: Task) -> dict[str, Any]:
    from tunerl import OptunaSearch

    return {"num_samples": TRIALS, "search_alg": OptunaSearch(), "max_concurrent_trials": 4}


def asha(task: Task) -> dict[str, Any]:
    """Two seeds each; most are stopped early, so that there are many more configurations."""
    from tunerl import ASHAScheduler

    scheduler = ASHAScheduler(
        time_attr="training_iteration",
        max_t=task.iterations,
        grace_period=max(1, task.iterations // 9),
        reduction_factor=3,
    )
    return {
        "num_samples": 10 * TRIALS,
        "num_seeds": 2,
        "scheduler": scheduler,
        "max_concurrent_trials": 8,
    }


def pbt(task: Task) -> dict[str, Any]:
    from tunerl import PopulationBasedTraining

    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=max(1, task.iterations // 10),
        synch=True,
    )
    return {"num_samples": TRIALS, "scheduler": scheduler}


METHODS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "random search": random_search,
    "TPE": tpe,
    "ASHA, two seeds": asha,
    "PBT": pbt,
}


def budget(steps: int, seeds: int) -> Any:
    """A stopper that ends an experiment once its trials took so many environment steps."""
    from tunerl import Stopper

    class Budget(Stopper):
        def __init__(self) -> None:
            self.taken: dict[str, float] = {}

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.taken[trial_id] = float(result[SAMPLED]) * seeds
            return False

        def stop_all(self) -> bool:
            return sum(self.taken.values()) >= steps

    return Budget()


def sweep(task: Task, method: str, repetition: int) -> dict[str, Any]:
    """One sweep's outcome."""
    from algorithms import Algorithm
    from tunerl import CheckpointConfig, RunConfig, TuneConfig, Tuner
    from tunerl.stoppers import CombinedStopper, MaximumIterationStopper

    options = METHODS[method](task)
    seeds = options.get("num_seeds", 1)
    grid = Tuner(
        "PPO",
        param_space=space(task),
        tune_config=TuneConfig(metric=RETURN, mode="max", seed=1000 + repetition, **options),
        run_config=RunConfig(
            name=f"{task.env}-{method}-{repetition}",
            stop=CombinedStopper(
                MaximumIterationStopper(task.iterations), budget(task.budget, seeds)
            ),
            runtime="local",
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()
    best = grid.get_best_result()
    with Algorithm.from_checkpoint(best.checkpoint) as agent:
        played = agent.evaluate(duration=EPISODES, unit="episodes", seed=999_983 + repetition)
    outcome = {
        "tuned": best.metrics[RETURN],
        "played": played["env_runners"]["episode_return_mean"],
        "steps": sum(float(result.metrics.get(SAMPLED, 0)) for result in grid) * seeds,
        "trials": len(grid),
        "config": {name: best.config[name] for name in SEARCHED},
    }
    if method != "PBT":  # its winner is a schedule of configurations
        outcome["fresh"] = fresh(task, outcome["config"], repetition)
    return outcome


def fresh(task: Task, found: Mapping[str, Any], repetition: int) -> list[float]:
    """What a configuration reaches from seeds that it was not tuned on."""
    from tunerl import RunConfig, TuneConfig, Tuner

    grid = Tuner(
        "PPO",
        param_space={**space(task), **found},
        tune_config=TuneConfig(
            metric=RETURN, mode="max", num_seeds=FRESH, seed=500_000 + repetition
        ),
        run_config=RunConfig(
            name=f"{task.env}-fresh",
            stop={"training_iteration": task.iterations},
            runtime="local",
            verbose=0,
        ),
    ).fit()
    return [float(metrics[RETURN]) for metrics in grid[0].replicas]


def interval(values: Sequence[float]) -> str:
    from tunerl.statistics import bootstrap_interval, iqm

    low, high = bootstrap_interval(values)
    return f"{iqm(values):,.0f} [{low:,.0f}, {high:,.0f}]"


def table(name: str, outcomes: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    from tunerl.statistics import mean, probability_of_improvement

    base = [outcome["played"] for outcome in outcomes["random search"]]
    rows = []
    for method, every in outcomes.items():
        played = [outcome["played"] for outcome in every]
        fresh = [mean(outcome["fresh"]) for outcome in every if "fresh" in outcome]
        better = probability_of_improvement(played, base)
        rows.append(
            [
                method,
                number(mean([outcome["trials"] for outcome in every])),
                number(mean([outcome["steps"] for outcome in every])),
                interval(played),
                interval(fresh) if fresh else "-",
                "" if method == "random search" else f"{better:.2f}",
            ]
        )
    head = [name, "configurations", "environment steps", "best agent", "fresh seeds", "P(better)"]
    return markdown(head, rows)


def kept(task: str, method: str, repetition: int) -> Path:
    word = method.split(",")[0].replace(" ", "-").lower()
    return FOLDER / f"{task.lower()}-{word}-{repetition}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"Machine: {machine.describe()}.", end="\n\n")
    for name in options.only:
        outcomes: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
        for repetition in range(options.repetitions):
            for method, found in outcomes.items():
                path = kept(name, method, repetition)
                if not path.exists():
                    outcome = sweep(TASKS[name], method, repetition)
                    path.write_text(json.dumps(outcome, indent=2) + "\n")
                    say(f"{name}, {method}, {repetition}: {outcome['played']:.0f}")
                found.append(json.loads(path.read_text()))
        print(table(name, outcomes), end="\n\n")


if __name__ == "__main__":
    main()
