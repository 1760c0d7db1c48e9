"""A sweep over rl-zoo3's PPO space (structure included) through TuneRL and Stable-Baselines3.

``python -m benchmarks.sweep_zoo``. SB3 trains every configuration once, for a part of the steps;
its wall clock is start-up once, plus each configuration's own rate for all steps and all seeds on
a pool that never idles.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks import machine
from benchmarks.job import ZOO_SPACE, Config, Job, zoo_configurations
from benchmarks.process import Run, run_ours, run_sb3, say
from benchmarks.sweep import CONCURRENT, OURS, RESULTS, SB3, SEED
from benchmarks.table import markdown, number, times, verdict

TARGET = 3.0


def rounded(steps: int, config: Config) -> int:
    """Steps until the rollout that reaches `steps` is full."""
    batch = int(config["train_batch_size"])
    return math.ceil(steps / batch) * batch


def pool_wall(run: Run, configs: Sequence[Config], steps: int, seeds: int) -> float:
    """Seconds that the pool would need for all steps of all seeds of all configurations."""
    busy = 0.0
    for trial, config in zip(run.outcome["trials"], configs, strict=True):
        busy += seeds * rounded(steps, config) * trial["steady_s"] / trial["steady_steps"]
    return run.wall - float(run.outcome["span"]) + busy / CONCURRENT


def shapes(configs: Sequence[Config]) -> str:
    """How varied the structure is, for the reader of the table."""
    structure = ("train_batch_size", "minibatch_size", "num_epochs", "model")
    kinds = Counter(json.dumps([config[name] for name in structure]) for config in configs)
    return f"{len(kinds)} distinct structures among {len(configs)} configurations"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100_000, help="of each agent")
    parser.add_argument("--sb3-steps", type=int, default=16_384, help="measured of each agent")
    parser.add_argument("--only", choices=["ours", "sb3"], nargs="+", help="part of it")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.trials, options.steps, options.sb3_steps = 4, 20_000, 4_096
    options.only = options.only or ["ours", "sb3"]
    return options


def measure(options: argparse.Namespace, configs: Sequence[Config]) -> dict[str, float]:
    """Seconds by the wall clock of the whole sweep, by system."""
    walls = {}
    if "ours" in options.only:
        say(f"{OURS}: {options.trials} configurations x {options.seeds} seeds")
        job = Job(
            options.steps,
            configs=tuple(configs),
            space=ZOO_SPACE,
            num_samples=options.trials,
            num_seeds=options.seeds,
            seed=SEED,
        )
        walls[OURS] = run_ours(job).wall
    if "sb3" in options.only:
        say(f"{SB3}: {options.trials} configurations, {options.sb3_steps:,} steps each")
        run = run_sb3(
            Job(options.sb3_steps, configs=tuple(configs), seed=SEED, concurrent=CONCURRENT)
        )
        walls[SB3] = pool_wall(run, configs, options.steps, options.seeds)
    return walls


def footnotes(options: argparse.Namespace, configs: Sequence[Config]) -> list[str]:
    return [
        f"Machine: {machine.describe()}.",
        f"Job: PPO on CartPole-v1 over rl-zoo3's space, {options.trials} configurations x "
        f"{options.seeds} seeds x {options.steps:,} steps: rollout length, minibatch, epochs, "
        f"network, activation, lr, gamma, lambda, clip, entropy, gradient clip; {shapes(configs)}.",
        f"SB3 trained each configuration for {options.sb3_steps:,} steps (at least one rollout) on "
        f"one seed, {CONCURRENT} at a time; its wall clock is start-up plus each one's own rate "
        "for all steps and seeds on a pool that never idles. TuneRL's is measured whole, with cold "
        "caches.",
    ]


def main() -> None:
    options, busy = parse(), machine.busy()
    configs = zoo_configurations(options.trials, SEED)
    walls = measure(options, configs)
    total = options.seeds * sum(rounded(options.steps, config) for config in configs)
    base = walls.get(SB3)
    rows = [
        [name, number(wall), number(total / wall), times(1.0 / wall, base and 1.0 / base)]
        for name, wall in walls.items()
    ]
    print(markdown(["system", "wall clock, s", "steps/s", "against SB3"], rows), end="\n\n")
    if len(walls) == 2 and base:
        print(verdict(f"wall clock against {SB3}", base / walls[OURS], TARGET, " x"), end="\n\n")
    print("\n".join(filter(None, [*footnotes(options, configs), busy])))
    RESULTS.mkdir(exist_ok=True)
    record: dict[str, Any] = {"machine": machine.describe(), "options": vars(options)}
    record |= {"walls": walls, "steps": total}
    (RESULTS / "sweep_zoo.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
