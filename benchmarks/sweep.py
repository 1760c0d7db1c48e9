"""The PPO sweep over CartPole-v1 through TuneRL, RLlib with Ray Tune, and Stable-Baselines3.

``python -m benchmarks.sweep`` runs everything and prints the table. The peers train a subset of the
trials; their wall clock for the whole sweep is their start-up once plus the rest in proportion.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import machine
from benchmarks.job import SOLVED, SWEEP_SPACE, Config, Job, configurations, flops_per_step
from benchmarks.process import ROOT, Run, run_ours, run_rllib, run_sb3, say
from benchmarks.table import markdown, number, times, verdict

SEED = 20
CONCURRENT = 2
RESULTS = ROOT / "benchmarks" / "results"
OURS, RLLIB, SB3 = "TuneRL", "RLlib 2.60 + Ray Tune", "Stable-Baselines3 2.9, process pool"
TARGETS = {RLLIB: (25.0, 20.0, 5.0), SB3: (8.0, 6.0, 2.0)}  # steady, wall clock, one agent alone


@dataclass(frozen=True)
class Row:
    """One system: steps/s in steady state, seconds for all trials, steps/s of one agent alone."""

    trials: int
    steady: float
    wall: float
    measured_wall: float
    alone: float


def rate(run: Run, concurrent: int = 1) -> float:
    """Steps per second in steady state, summed over `concurrent` trials."""
    trials = run.outcome["trials"]
    steps = sum(trial["steady_steps"] for trial in trials)
    return float(concurrent * steps / sum(trial["steady_s"] for trial in trials))


def whole(run: Run, trained: int, wanted: int) -> float:
    """Wall clock of `wanted` trials out of a run of `trained`: start-up counts once."""
    span = float(run.outcome["span"])
    return run.wall - span + span * wanted / trained


def ours(options: argparse.Namespace, configs: Sequence[Config]) -> tuple[Row, dict[str, Any]]:
    say(f"{OURS}: {len(configs)} trials")
    job = Job(options.steps, space=SWEEP_SPACE, num_samples=len(configs), seed=SEED)
    run = run_ours(job)
    trained = [trial["config"] for trial in run.outcome["trials"]]
    if not all(covers(config, given) for config, given in zip(trained, configs, strict=True)):
        raise RuntimeError("TuneRL and its peers did not get the same configurations")
    say(f"{OURS}: one agent alone")
    alone = rate(run_ours(Job(2 * options.steps, configs=tuple(configs[:1]), alone=True)))
    steady = run.outcome["steady_steps"] / run.outcome["steady_s"]
    return Row(len(configs), steady, run.wall, run.wall, alone), run.outcome["best"]


def covers(config: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether `config` holds every value of `given`, at any depth."""
    return all(
        name in config
        and (
            covers(config[name], value)
            if isinstance(value, Mapping)
            else bool(config[name] == value)
        )
        for name, value in given.items()
    )


def peer(
    name: str, run: Callable[[Job], Run], steps: int, configs: Sequence[Config], wanted: int
) -> Row:
    say(f"{name}: {len(configs)} trials, {CONCURRENT} at a time")
    job = Job(steps, configs=tuple(configs), seed=SEED, concurrent=CONCURRENT)
    done = run(job)
    say(f"{name}: one agent alone")
    alone = rate(run(Job(steps, configs=tuple(configs[:1]), seed=SEED, alone=True)))
    return Row(
        trials=len(configs),
        steady=rate(done, CONCURRENT),
        wall=whole(done, len(configs), wanted),
        measured_wall=done.wall,
        alone=alone,
    )


def table(rows: Mapping[str, Row]) -> str:
    def against(value: Callable[[Row], float], row: Row, other: str) -> str:
        return times(value(row), value(rows[other])) if other in rows else ""

    def faster(row: Row) -> float:
        return 1.0 / row.wall

    head = ["system", "trials run", "steps/s", "RLlib", "SB3", "wall clock, s", "RLlib", "SB3"]
    lines = [
        [
            name,
            str(row.trials),
            number(row.steady),
            against(lambda r: r.steady, row, RLLIB),
            against(lambda r: r.steady, row, SB3),
            number(row.wall),
            against(faster, row, RLLIB),
            against(faster, row, SB3),
            number(row.alone),
            against(lambda r: r.alone, row, RLLIB),
            against(lambda r: r.alone, row, SB3),
        ]
        for name, row in rows.items()
    ]
    return markdown([*head, "one agent, steps/s", "RLlib", "SB3"], lines)


def verdicts(rows: Mapping[str, Row]) -> list[str]:
    if OURS not in rows:
        return []
    mine, lines = rows[OURS], []
    for name, (steady, wall, alone) in TARGETS.items():
        if name in rows:
            row = rows[name]
            lines += [
                verdict(f"steady state against {name}", mine.steady / row.steady, steady, " x"),
                verdict(f"wall clock against {name}", row.wall / mine.wall, wall, " x"),
                verdict(f"one agent alone against {name}", mine.alone / row.alone, alone, " x"),
            ]
    return lines


def learned(options: argparse.Namespace, best: Mapping[str, Any]) -> dict[str, Any]:
    """The best configuration again, from five fresh seeds, each agent evaluated after training."""
    say("learning quality: the best configuration on five fresh seeds")
    config = {name: best["config"][name] for name in SWEEP_SPACE}
    returns = run_ours(Job(options.steps, configs=(config,), evaluate=5)).outcome["returns"]
    return {"config": config, "returns": returns, "mean": sum(returns) / len(returns)}


def overhead(options: argparse.Namespace) -> float:
    """The controller's milliseconds for each of many trivial trials."""
    from benchmarks.controller import measure

    say(f"controller: {options.trivial} trivial trials")
    return float(measure("ray", options.trivial)["ms_per_trial"])


def footnotes(options: argparse.Namespace, rows: Mapping[str, Row]) -> list[str]:
    peers = [f"{name} {row.trials}" for name, row in rows.items() if name != OURS]
    return [
        f"Machine: {machine.describe()}.",
        f"Job: PPO on CartPole-v1, {options.trials_ours} configurations x {options.steps:,} steps; "
        "8 environments x 512 steps, minibatch 128, 10 epochs, two 64-64 tanh networks; lr, gamma, "
        "lambda, clip and entropy coefficient sampled, the same for all.",
        "steps/s: environment steps per second of all agents together in steady state. Wall clock: "
        f"of the whole sweep of {options.trials_ours}, from the start of the process to its end, "
        "caches cold.",
        "One agent alone: the same, in steady state, without a tuner, on one thread; TuneRL with "
        "torch_compile_learner=True.",
        f"Peers train a subset ({'; '.join(peers)} trials), {CONCURRENT} at a time; "
        "their wall clock is start-up once plus the rest in proportion.",
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials-ours", type=int, default=64)
    parser.add_argument("--trials-rllib", type=int, default=4)
    parser.add_argument("--trials-sb3", type=int, default=6)
    parser.add_argument("--steps", type=int, default=100_000, help="of each agent")
    parser.add_argument("--trivial", type=int, default=2000, help="trials of the controller test")
    parser.add_argument("--only", choices=["ours", "rllib", "sb3"], nargs="+", help="part of it")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.trials_ours, options.trials_rllib, options.trials_sb3 = 8, 2, 2
        options.steps, options.trivial = 20_000, 200
    options.only = options.only or ["ours", "rllib", "sb3"]
    return options


def run(options: argparse.Namespace) -> tuple[dict[str, Row], dict[str, Any]]:
    """The rows of the table and what else was measured, by name."""
    configs = configurations(SWEEP_SPACE, options.trials_ours, SEED)
    rows: dict[str, Row] = {}
    more: dict[str, Any] = {}
    wanted = options.trials_ours
    if "ours" in options.only:
        rows[OURS], best = ours(options, configs)
        ceiling = machine.sgemm_ceiling()
        more["ceiling_gflops"] = ceiling / 1e9
        more["share"] = rows[OURS].steady * flops_per_step(configs[0]) / ceiling
        more["quality"] = learned(options, best)
        more["overhead_ms"] = overhead(options)
    if "rllib" in options.only:
        subset = configs[: options.trials_rllib]
        rows[RLLIB] = peer(RLLIB, run_rllib, options.steps, subset, wanted)
    if "sb3" in options.only:
        rows[SB3] = peer(SB3, run_sb3, options.steps, configs[: options.trials_sb3], wanted)
    return rows, more


def remarks(more: Mapping[str, Any]) -> list[str]:
    if not more:
        return []
    returns = ", ".join(f"{value:.0f}" for value in more["quality"]["returns"])
    return [
        verdict("best configuration, mean return", more["quality"]["mean"], SOLVED)
        + f" (five fresh seeds: {returns})",
        f"- controller: {more['overhead_ms']:.1f} ms a trial, to stay under 10 ms: "
        + ("reached" if more["overhead_ms"] < 10 else "MISSED"),
        f"- share of the matrix ceiling ({more['ceiling_gflops']:,.0f} GFLOP/s in single precision "
        f"on {machine.cores()} cores): {100 * more['share']:.0f} %",
    ]


def main() -> None:
    options, busy = parse(), machine.busy()
    rows, more = run(options)
    print("\n".join([table(rows), "", *verdicts(rows), *remarks(more), ""]))
    print("\n".join(filter(None, [*footnotes(options, rows), busy])))
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine.describe(), "options": vars(options), **more}
    record["rows"] = {name: asdict(row) for name, row in rows.items()}
    (RESULTS / "sweep.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
