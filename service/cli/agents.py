"""The commands about one agent: train it, look at it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.processes import Home, RuntimeName
from service.cli.remote import console, print_json, read_spec
from tunerl.errors import InvalidSpec, Problem


def train(
    file: Annotated[
        Path | None, typer.Argument(help="An experiment as YAML or JSON.", metavar="[FILE]")
    ] = None,
    algo: Annotated[str | None, typer.Option("--algo", "--run", help="An algorithm.")] = None,
    env: Annotated[str | None, typer.Option(help="An environment.")] = None,
    config: Annotated[str, typer.Option(help="Further settings, JSON.", metavar="JSON")] = "{}",
    stop: Annotated[
        str, typer.Option(help='JSON such as {"training_iteration": 5}.', metavar="JSON")
    ] = "{}",
    num_samples: Annotated[int, typer.Option(min=1, help="Trials.")] = 1,
    num_seeds: Annotated[int, typer.Option(min=1, help="Agents of each trial.")] = 1,
    checkpoint_freq: Annotated[int, typer.Option(min=0, help="Iterations between saves.")] = 0,
    output: Annotated[str | None, typer.Option(help="Write episode traces there.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARN, ERROR.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the experiment.")] = None,
    home: Home = None,
    runtime: RuntimeName = None,
) -> None:
    """Train agents here: those of a file, or of an algorithm and an environment.

    Exits with 1 unless it completed. What it saved: tunerl best, tunerl rollout.
    """
    from service.run import run_here
    from service.settings import read_settings

    settings: dict[str, Any] = {"env": env, "output": output, "log_level": log_level}
    given = {key: value for key, value in settings.items() if value is not None}
    if file is not None:
        if algo is not None or given or config != "{}" or stop != "{}":
            told = "the file says it all; change it there, or give --algo and --env instead"
            raise InvalidSpec(Problem("file", told))
        spec = read_spec(file, name)
    else:
        spec = _spec(algo, _json("config", config) | given, _json("stop", stop))
        spec |= {"num_samples": num_samples, "num_seeds": num_seeds, "name": name or ""}
        spec["checkpoint"] = {"frequency": checkpoint_freq}
    found = run_here(spec, read_settings(home=home, runtime=runtime), console())
    if found["status"] != "COMPLETED":
        sys.exit(1)


def _spec(algo: str | None, config: dict[str, Any], stop: dict[str, Any]) -> dict[str, Any]:
    problems = [
        Problem(path, message)
        for path, message, missing in (
            ("algo", "missing; give a FILE, or --algo such as PPO", algo is None),
            ("env", "missing; give --env such as CartPole-v1", config.get("env") is None),
            ("stop", "missing; give --stop '{\"training_iteration\": 10}'", not stop),
        )
        if missing
    ]
    if problems:
        raise InvalidSpec(problems)
    return {"trainable": algo, "param_space": config, "stop": stop}


def _json(option: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidSpec(Problem(option, f"{text!r} is no JSON: {error}")) from None
    if not isinstance(found, dict):
        raise InvalidSpec(Problem(option, f"{text!r} is no object"))
    return found


def rollout(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's directory, unpacked.")],
    video: Annotated[
        Path | None, typer.Option(help="Write an mp4 file for each episode there.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes to play.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many steps.")] = None,
    env: Annotated[str | None, typer.Option(help="Another environment of its kind.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the environment.")] = 0,
    explore: Annotated[bool, typer.Option("--explore", help="Sampled actions.")] = False,
    render: Annotated[bool, typer.Option("--render", help="On the screen.")] = False,
) -> None:
    """Let the agent of a checkpoint play, before a camera if wanted; prints JSON."""
    from service.evaluate import roll_out_checkpoint

    count = 1 if episodes is None and steps is None else episodes
    how: dict[str, Any] = {"env": env, "num_episodes": count, "num_steps": steps, "seed": seed}
    how |= {"explore": explore, "render": render}
    how["video_dir"] = None if video is None else str(video)
    print_json(roll_out_checkpoint(checkpoint, **how))


COMMANDS = (train, rollout)
