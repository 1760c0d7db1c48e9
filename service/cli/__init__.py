"""The command line; `main` is the entry point. An error of ours is told in a line for each problem,
and the exit code is not zero."""

from __future__ import annotations

import sys

import typer

from service.cli import agents, processes, remote

app = typer.Typer(
    name="tunerl",
    help="TuneRL tunes the hyperparameters of reinforcement-learning agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (processes, agents, remote):
    for command in module.COMMANDS:
        name = command.__name__.removesuffix("_command")
        app.command(name)(command)


def main() -> None:
    """Run the command line; exits with 0, 1 (refused or failed), 2 (misused) or 130 (Ctrl-C)."""
    from tunerl.errors import InvalidInput, TuneRLError

    try:
        app()
    except TuneRLError as error:
        problems = error.problems if isinstance(error, InvalidInput) else []
        if len(problems) > 1:
            print(f"tunerl: {len(problems)} problems", file=sys.stderr)
            for problem in problems:
                print(f"  {problem}", file=sys.stderr)
        else:
            print(f"tunerl: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
