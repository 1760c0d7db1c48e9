"""Packs of each algorithm against Stable-Baselines3 on a pool of as many processes.

``python -m benchmarks.algorithms [NAME ...]`` prints a table with a line for each algorithm; one
more is a line in `LINES` and a mapping in `peers/sb3_algorithms.py`. Both sides have the same
hyperparameters and run in turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.job import Config, Job
from benchmarks.process import ROOT, Run, run_packs, run_sb3_algorithm, say
from benchmarks.table import markdown, number, times, verdict

SEED, CONCURRENT, SWEEP = 20, 2, 32
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Line:
    """What an algorithm is measured on, and what a sweep and a single agent must reach.

    `steps`: of each agent, ours and SB3's; `agents` of a sweep, of which SB3 trains `peers`.
    """

    config: Config
    sweep: float
    env: str = "CartPole-v1"
    alone: float = 1.0
    steps: int = 20_000
    agents: int = SWEEP
    peers: int = 2
    compile: bool = False


SMALL = {"fcnet_hiddens": [64, 64], "fcnet_activation": "relu"}
TANH = {"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh"}
WIDE = {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"}
LINES: dict[str, Line] = {
    "DQN": Line(
        {
            "num_envs_per_env_runner": 1,
            "train_batch_size": 32,
            "rollout_fragment_length": 4,
            "num_steps_sampled_before_learning_starts": 100,
            "replay_buffer_capacity": 50_000,
            "target_network_update_freq": 500,
            "grad_clip": 10.0,
            "gamma": 0.99,
            "double_q": False,
            "dueling": False,
            "hiddens": [],
            "n_step": 1,
            "prioritized_replay": False,
            "tau": 1.0,
            "model": SMALL,
        },
        sweep=8.0,
    ),
    "A2C": Line(
        {
            "num_envs_per_env_runner": 8,
            "rollout_fragment_length": 5,
            "gamma": 0.99,
            "lambda_": 1.0,
            "entropy_coeff": 0.0,
            "vf_loss_coeff": 0.5,
            "grad_clip": 0.5,
            "epsilon": 1e-5,
            "model": TANH,
        },
        sweep=8.0,
        steps=60_000,
    ),
    "SAC": Line(
        {
            "num_envs_per_env_runner": 1,
            "train_batch_size": 256,
            "num_steps_sampled_before_learning_starts": 100,
            "replay_buffer_capacity": 1_000_000,
            "tau": 0.005,
            "gamma": 0.99,
            "model": WIDE,
        },
        sweep=1.5,
        env="Pendulum-v1",
        steps=3_000,
        agents=4,
        compile=True,
    ),
}
"""The settings are SB3's defaults, where it has them."""


def configurations(line: Line, count: int) -> tuple[Config, ...]:
    """A sweep over the learning rate, from 1e-4 to 1e-3."""
    rates = [1e-4 * 10 ** (index / max(count - 1, 1)) for index in range(count)]
    return tuple({**line.config, "lr": rate} for rate in rates)


def rate(run: Run, side_by_side: int = 1) -> float:
    """Environment steps per second in steady state, of so many trials at a time."""
    trials = run.outcome["trials"]
    seconds = sum(trial["steady_s"] for trial in trials)
    return float(side_by_side * sum(trial["steady_steps"] for trial in trials) / seconds)


def measure(name: str, line: Line, options: argparse.Namespace) -> dict[str, Any]:
    """Steps per second of ours and SB3's, as a sweep and as one agent alone."""
    configs = configurations(line, options.sweep or line.agents)
    steps = max(1000, int(line.steps * options.scale))
    settings: dict[str, Any] = {"env": line.env, "seed": SEED, "algorithm": name}
    compiled = tuple({**c, "torch_compile_learner": line.compile} for c in configs)
    say(f"{name}: a sweep of {len(configs)}, in packs on {CONCURRENT} processes")
    ours = run_packs(Job(steps, configs=compiled, concurrent=CONCURRENT, **settings))
    say(f"{name}: SB3, {line.peers} of them on {CONCURRENT} processes")
    subset = configs[: line.peers]
    peer = run_sb3_algorithm(Job(steps, configs=subset, concurrent=CONCURRENT, **settings))
    say(f"{name}: one agent alone, ours and SB3's")
    alone = rate(run_packs(Job(steps, configs=compiled[:1], alone=True, **settings)))
    peer_alone = rate(run_sb3_algorithm(Job(steps, configs=subset, alone=True, **settings)))
    return {
        "sweep": rate(ours, CONCURRENT),
        "sb3": rate(peer, CONCURRENT),
        "alone": alone,
        "sb3_alone": peer_alone,
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    head = ["algorithm", "sweep, steps/s", "SB3 pool", "ratio", "one agent", "SB3's", "ratio"]
    lines = [
        [
            name,
            number(row["sweep"]),
            number(row["sb3"]),
            times(row["sweep"], row["sb3"]),
            number(row["alone"]),
            number(row["sb3_alone"]),
            times(row["alone"], row["sb3_alone"]),
        ]
        for name, row in found.items()
    ]
    return markdown(head, lines)


def verdicts(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for name, row in found.items():
        sweep, alone = row["sweep"] / row["sb3"], row["alone"] / row["sb3_alone"]
        lines.append(verdict(f"{name}, a sweep against SB3's pool", sweep, LINES[name].sweep, " x"))
        lines.append(verdict(f"{name}, one agent against SB3's", alone, LINES[name].alone, " x"))
    return lines


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(LINES)}; all")
    parser.add_argument("--sweep", type=int, default=0, help="agents of a sweep")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps, to try it")
    options = parser.parse_args(arguments)
    wrong = set(options.names) - set(LINES)
    if wrong:
        parser.error(f"no such line: {', '.join(sorted(wrong))}; there are {', '.join(LINES)}")
    options.names = options.names or list(LINES)
    return options


def main() -> None:
    options, busy = parse(), machine.busy()
    found = {name: measure(name, LINES[name], options) for name in options.names}
    print("\n".join([table(found), "", *verdicts(found), ""]))
    print("\n".join(filter(None, [f"Machine: {machine.describe()}.", busy])))
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine.describe(), "options": vars(options), "lines": found}
    (RESULTS / "algorithms.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
