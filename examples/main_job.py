"""The main job, end to end: starts the service, submits the CartPole sweep over REST, watches it,
downloads the best checkpoint and plays with it under fresh seeds. Exits with 1 unless it solves
the task. What it starts it also stops; the results stay in the home directory."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from service.cli.remote import read_spec
from service.client import Client
from service.evaluate import evaluate_checkpoint
from service.settings import read_settings
from service.watch import watch
from tunerl.errors import TuneRLError

HERE = Path(__file__).parent
SOLVED = 475.0  # CartPole-v1's own threshold
SEEDS = (1001, 1002, 1003, 1004, 1005)
RETURN = "env_runners/episode_return_mean"


@contextmanager
def service(home: Path, port: int) -> Iterator[str]:
    """`tunerl serve`, running; its address."""
    command = [sys.executable, "-m", "service.cli", "serve", "--home", str(home)]
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "serve.log", "ab") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=log, cwd=HERE.parent
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode()
            if not said:
                raise SystemExit(f"the service did not start; {log.name} says why")
            yield said.split()[-1]
        finally:
            process.terminate()
            process.wait()


def evaluate(checkpoint: Path, episodes: int, console: Console) -> float:
    """The mean return over all fresh seeds."""
    returns = []
    for seed in SEEDS:
        returns.append(float(evaluate_checkpoint(checkpoint, episodes, seed)[RETURN]))
        console.print(f"  seed {seed}: return {returns[-1]:.1f} over {episodes} episodes")
    return sum(returns) / len(returns)


def main() -> int:
    settings = read_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, default=HERE / "cartpole_ppo.yaml")
    parser.add_argument("--home", type=Path, default=settings.root)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--episodes", type=int, default=20, help="episodes for each seed")
    options = parser.parse_args()
    console = Console(highlight=False)

    with service(options.home, options.port) as address:
        client = Client(address, settings.token)
        experiment = client.create(read_spec(options.spec))
        id = experiment["id"]
        console.print(f"dashboard: {address}/#/experiments/{id}", soft_wrap=True)
        if watch(client, id, console)["status"] != "COMPLETED":
            return 1
        checkpoint = client.download_best(id, Path(options.home, "best", id))
        console.print(f"best checkpoint: {checkpoint}", soft_wrap=True)
        mean = evaluate(checkpoint, options.episodes, console)
    verdict = "solved" if mean >= SOLVED else "NOT solved"
    console.print(f"mean return {mean:.1f} on {len(SEEDS)} fresh seeds: {verdict} ({SOLVED:.0f})")
    return 0 if mean >= SOLVED else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TuneRLError as error:
        sys.exit(f"main_job: {error}")
