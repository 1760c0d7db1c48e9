"""The commands that do work in this process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.remote import SpecFile, console, print_json, read_spec

Home = Annotated[Path | None, typer.Option(help="Directory of the store and the checkpoints.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: any.")]
RuntimeName = Annotated[
    Literal["ray", "local"] | None, typer.Option("--runtime", help="Where packs run.")
]


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "alembic", "ray"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _announce(address: str) -> None:
    print(f"TuneRL listens on {address}", flush=True)
    print(f"Dashboard: {address}/", flush=True)


def serve(
    home: Home = None, host: Host = None, port: Port = None, runtime: RuntimeName = None
) -> None:
    """Start API, dashboard and worker; Ctrl-C ends them."""
    from service.serve import run_all
    from service.settings import read_settings

    _log_to_stderr()
    run_all(read_settings(home=home, host=host, port=port, runtime=runtime), _announce)


def api(home: Home = None, host: Host = None, port: Port = None) -> None:
    """Start the API and the dashboard alone."""
    from service.serve import run_api
    from service.settings import read_settings

    _log_to_stderr()
    run_api(read_settings(home=home, host=host, port=port), _announce)


def worker(
    home: Home = None,
    runtime: RuntimeName = None,
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Start a worker alone: it takes experiments from the store and runs one after another."""
    from service.settings import read_settings
    from service.worker import run_worker

    _log_to_stderr()
    settings = read_settings(home=home, runtime=runtime)
    run_worker(settings, sys.stdin.fileno() if until_stdin_closes else None)


def run(
    file: SpecFile,
    name: Annotated[str | None, typer.Option(help="A name other than the file's.")] = None,
    home: Home = None,
    runtime: RuntimeName = None,
) -> None:
    """Run an experiment here, without a service; exits with 1 unless it completed."""
    from service.run import run_here
    from service.settings import read_settings

    settings = read_settings(home=home, runtime=runtime)
    if run_here(read_spec(file, name), settings, console())["status"] != "COMPLETED":
        sys.exit(1)


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's directory, unpacked.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to play.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the environments.")] = 0,
) -> None:
    """Play episodes with the agent of a checkpoint; prints its metrics as JSON."""
    from service.evaluate import evaluate_checkpoint

    print_json(evaluate_checkpoint(checkpoint, episodes, seed))


def record(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's directory, unpacked.")],
    output: Annotated[str, typer.Option(help="Directory or URL to write to.")],
    episodes: Annotated[int | None, typer.Option(min=1, help="Whole episodes to record.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps to record instead.")] = None,
    kind: Annotated[
        Literal["random", "medium", "expert", "mixed"],
        typer.Option(help="Who plays: the agent, one half as good, chance, or each of them."),
    ] = "expert",
    format: Annotated[Literal["parquet", "json"], typer.Option(help="Of the files.")] = "parquet",
    explore: Annotated[bool, typer.Option("--explore", help="Sampled actions.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of environments and actions.")] = 0,
    max_rows_per_file: Annotated[int | None, typer.Option(min=1, help="Start a new file.")] = None,
) -> None:
    """Play with the agent of a checkpoint and write its steps as offline data, for BC and such."""
    from service.evaluate import record_checkpoint

    settings: dict[str, object] = {"episodes": episodes, "steps": steps, "kind": kind}
    settings |= {"format": format, "explore": explore, "seed": seed}
    settings["max_rows_per_file"] = max_rows_per_file
    print_json(record_checkpoint(checkpoint, output, **settings))


COMMANDS = (serve, api, worker, run, evaluate, record)
