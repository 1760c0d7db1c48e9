"""The command line. `main` is the entry point: an error of ours is one line and a non-zero exit."""

from __future__ import annotations

import sys

import typer

from service.cli import processes, remote

app = typer.Typer(
    name="tunerl",
    help="TuneRL tunes the hyperparameters of reinforcement-learning agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (processes, remote):
    for command in module.COMMANDS:
        name = command.__name__.removesuffix("_command")
        app.command(name)(command)


def main() -> None:
    """Run the command line; exits with 0, 1 (refused or failed), 2 (misused) or 130 (Ctrl-C)."""
    from tunerl.errors import TuneRLError

    try:
        app()
    except TuneRLError as error:
        print(f"tunerl: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
