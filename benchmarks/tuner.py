"""The tuner's own work against Ray Tune's: trials that do nothing, results that come thick.

``python -m benchmarks.tuner`` prints a table and what was to be reached. Ray Tune runs with
`reuse_actors` and logs results as JSON lines only; TuneRL stores every result, as it always does.
Ray Tune runs fewer trivial trials; what one costs is taken from the second half of them, so that
its start is not counted, while TuneRL's counts.
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
CHEAPER, FLAT_MB, RESTORE_S = 20.0, 50.0, 5.0
SHARE = 0.95  # of the results that trials on time would have reported
RATE = 10.0  # results a second of a ticking trial


@dataclass(frozen=True)
class Load:
    """`what`: "trivial" or "ticking". Ticking trials report `rate` times a second, all at once;
    what counts are the `seconds` after the last of them has started. `concurrent`: the limit that
    Ray Tune is given; None: as many as there are CPUs, without one, as TuneRL."""

    what: str
    trials: int
    concurrent: int | None = None
    rate: float = RATE
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure by its name; times in seconds, memory in MB."""
    trials, peers, many = options.trials, options.trials_ray, options.ticking
    say(f"{OURS}: {trials:,} trivial trials, interrupted and taken up again")
    ours = run_ours_tuner(Load("trivial", trials)).outcome
    say(f"{RAY}: {peers:,} trivial trials")
    theirs = run_ray_tune(Load("trivial", peers)).outcome
    load = Load("ticking", many, concurrent=many, seconds=options.seconds)
    say(f"{OURS}: {many} trials at {RATE:g} results a second each")
    ticking = run_ours_tuner(load).outcome
    say(f"{RAY}: the same")
    ticking_ray = run_ray_tune(load).outcome
    return {
        "ours_ms": 1000 * ours["span"] / trials,
        "ray_ms": 1000 * sum(theirs["quarters"][2:]) / 2,
        "ray_quarters_ms": [1000 * seconds for seconds in theirs["quarters"]],
        "memory": ours["memory"],
        "restore": ours["restore"],
        "grid": ours["grid"],
        "ticking": ticking,
        "ticking_ray": ticking_ray,
    }


def table(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    ours, theirs = found["ticking"], found["ticking_ray"]
    rate = f"{options.ticking} trials, ideal {RATE * options.ticking:,.0f}"
    trivial = [number(found["ours_ms"], 2), number(found["ray_ms"], 1)]
    taken = [number(system["per_second"]) for system in (ours, theirs)]
    slowest = [number(100 * system["slowest"]) for system in (ours, theirs)]
    starting = [number(system["starting"], 1) for system in (ours, theirs)]
    rows = [
        ["a trivial trial, ms", *trivial, times(found["ray_ms"], found["ours_ms"])],
        [f"results taken in a second ({rate})", *taken, ""],
        ["the slowest of these trials, % of its rate", *slowest, ""],
        ["seconds until all of them had started", *starting, ""],
    ]
    return markdown(["", OURS, RAY, "ratio"], rows)


def verdicts(found: Mapping[str, Any], options: argparse.Namespace) -> list[str]:
    memory, many = found["memory"], options.ticking
    grown = memory["end"] - memory["early"]
    share = found["ticking"]["per_second"] / (RATE * many)
    slowest = found["ticking"]["slowest"]
    return [
        verdict("overhead of a trivial trial", found["ray_ms"] / found["ours_ms"], CHEAPER, " x"),
        _below(f"controller's memory from trial {memory['early_at']:,} on", grown, FLAT_MB, "MB"),
        verdict(
            f"{many} trials at {RATE:g} results/s, of the ideal", 100 * share, 100 * SHARE, " %"
        ),
        verdict("the slowest of them", 100 * slowest, 100 * SHARE, " %"),
        _below(f"going on with {options.trials:,} trials", found["restore"], RESTORE_S, "s"),
        _below(f"results of {options.trials:,} trials", found["grid"], RESTORE_S, "s"),
    ]


def _below(name: str, value: float, limit: float, unit: str) -> str:
    word = "reached" if value <= limit else "MISSED"
    return f"- {name}: {value:,.1f} {unit}, to stay within {limit:g} {unit}: {word}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--trials-ray", type=int, default=2_000)
    parser.add_argument("--ticking", type=int, default=100, help="trials at 10 results/s")
    parser.add_argument("--seconds", type=float, default=20.0, help="for which they are watched")
    return parser.parse_args(arguments)


def note(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    quarters = ", ".join(number(ms, 1) for ms in found["ray_quarters_ms"])
    return (
        "Trivial trials: one result each, two at a time, of the same class, whose object goes on "
        f"with the next trial. TuneRL ran all {options.trials:,}, every result stored; trials that "
        f"are over with their first result go out several at a time. Ray Tune ran "
        f"{options.trials_ray:,}, with reuse_actors and JSON lines for a log; a trial took "
        f"{quarters} ms in the four quarters of them, and the last two are its figure. Ticking "
        "trials: all at once; results are counted as the tuner takes them in, in the "
        f"{options.seconds:g} s after the first result of the last trial to start. TuneRL's are "
        "members of two packs, Ray Tune's are actors of a fraction of a CPU each."
    )


def main() -> None:
    options, busy = parse(), machine.busy()
    found = measure(options)
    print("\n".join([table(found, options), "", *verdicts(found, options), ""]))
    print(note(found, options))
    print("\n".join(filter(None, [f"Machine: {machine.describe()}.", busy])))
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine.describe(), "options": vars(options), **found}
    (RESULTS / "tuner.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
