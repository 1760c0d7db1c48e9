"""The tuner's own work against Ray Tune's: trials that do nothing, results that come thick.

``python -m benchmarks.tuner`` prints a table and what was to be reached. Ray Tune runs with
`reuse_actors` and logs results as JSON lines only; TuneRL stores every result, as it always does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import machine
from benchmarks.process import ROOT, run_ours_tuner, run_ray_tune, say
from benchmarks.table import markdown, number, times, verdict

RESULTS = ROOT / "benchmarks" / "results"
OURS, RAY = "TuneRL", "Ray Tune 2.60"
CHEAPER, FLAT_MB, RESTORE_S, BEHIND = 20.0, 50.0, 5.0, 1.2


@dataclass(frozen=True)
class Load:
    """`what`: "trivial", "ticking" or "restore". A ticking trial reports `rate` times a second."""

    what: str
    trials: int
    results: int = 1
    rate: float = 0.0
    concurrent: int = 2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure by its name; times in seconds, memory in MB."""
    trials, peers = options.trials, options.trials_ray
    say(f"{OURS}: {trials:,} trivial trials")
    trivial = run_ours_tuner(Load("trivial", trials)).outcome
    say(f"{RAY}: {peers:,} trivial trials")
    theirs = run_ray_tune(Load("trivial", peers)).outcome
    many, results = options.concurrent, options.results
    ticking = Load("ticking", many, results, rate=10.0, concurrent=many)
    say(f"{OURS}: {many} trials at 10 results a second each")
    ticked = run_ours_tuner(ticking).outcome
    say(f"{RAY}: the same")
    ticked_ray = run_ray_tune(ticking).outcome
    say(f"{OURS}: going on with {trials:,} trials")
    restored = run_ours_tuner(Load("restore", trials)).outcome
    return {
        "ours_ms": 1000 * trivial["span"] / trials,
        "ray_ms": 1000 * theirs["span"] / peers,
        "memory": trivial["memory"],
        "ours_ticking": ticked["span"],
        "reporting": ticked["reporting"],
        "ray_ticking": ticked_ray["span"],
        "ideal": results / 10.0,
        "restore": restored["restore"],
        "grid": restored["grid"],
    }


def table(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    head = ["", OURS, RAY, "ratio"]
    ticking = f"{options.concurrent} trials x {options.results} results at 10/s, s"
    rows = [
        [
            "a trivial trial, ms",
            number(found["ours_ms"], 2),
            number(found["ray_ms"], 1),
            times(found["ray_ms"], found["ours_ms"]),
        ],
        [
            f"{ticking} (ideal {found['ideal']:.0f})",
            number(found["ours_ticking"], 1),
            number(found["ray_ticking"], 1),
            times(found["ray_ticking"], found["ours_ticking"]),
        ],
    ]
    return markdown(head, rows)


def verdicts(found: Mapping[str, Any], options: argparse.Namespace) -> list[str]:
    memory = found["memory"]
    grown = memory["end"] - memory["early"]
    behind = found["reporting"] / found["ideal"]
    return [
        verdict("overhead of a trivial trial", found["ray_ms"] / found["ours_ms"], CHEAPER, " x"),
        _below(f"controller's memory from trial {memory['early_at']:,} on", grown, FLAT_MB, "MB"),
        _below(f"{options.concurrent} trials at 10 results/s, of the ideal", behind, BEHIND, "x"),
        _below(f"going on with {options.trials:,} trials", found["restore"], RESTORE_S, "s"),
        _below(f"results of {options.trials:,} trials", found["grid"], RESTORE_S, "s"),
    ]


def _below(name: str, value: float, limit: float, unit: str) -> str:
    word = "reached" if value <= limit else "MISSED"
    return f"- {name}: {value:,.1f} {unit}, to stay within {limit:g} {unit}: {word}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--trials-ray", type=int, default=400)
    parser.add_argument("--concurrent", type=int, default=100, help="trials at 10 results/s")
    parser.add_argument("--results", type=int, default=100, help="of each of them")
    return parser.parse_args(arguments)


def main() -> None:
    options, busy = parse(), machine.busy()
    found = measure(options)
    print("\n".join([table(found, options), "", *verdicts(found, options), ""]))
    print(
        f"Ray Tune ran {options.trials_ray:,} of the trivial trials, with reuse_actors and JSON "
        f"lines for a log; TuneRL {options.trials:,}, every result stored. Two at a time. Ticking "
        "trials: TuneRL's are two packs, Ray Tune's actors of a fraction of a CPU each."
    )
    print("\n".join(filter(None, [f"Machine: {machine.describe()}.", busy])))
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine.describe(), "options": vars(options), **found}
    (RESULTS / "tuner.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
