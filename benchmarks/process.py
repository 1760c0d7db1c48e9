"""Runs a system's module in a process of its own and takes the time of the whole of it.

Invariant: every run starts cold, in a new home and with empty compile caches, and meets no other
run's Ray cluster. The peers' interpreter is made here, from its own pins, under ``.bench``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.job import Job

if TYPE_CHECKING:
    from benchmarks.tuner import Load

ROOT = Path(__file__).parent.parent
PINS = ROOT / "benchmarks" / "constraints-peers.txt"
PEERS = ROOT / ".bench" / "venv"


@dataclass(frozen=True)
class Run:
    """`wall`: seconds from the start of the process to its end; `outcome`: what it wrote."""

    wall: float
    outcome: dict[str, Any]


def peers_interpreter() -> str:
    """The Python of the peers' environment, which is made on first use."""
    python, stamp = PEERS / "bin" / "python", PEERS / ".installed"
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != pins:
        say(f"installing the peers into {PEERS.relative_to(ROOT)} (once)")
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(PINS)]
        subprocess.run(install, check=True)
        stamp.write_text(pins)
    return str(python)


def run_ours(job: Job) -> Run:
    return _run(sys.executable, "benchmarks.ours", job)


def run_packs(job: Job) -> Run:
    return _run(sys.executable, "benchmarks.packs", job)


def run_sb3_algorithm(job: Job) -> Run:
    return _run(peers_interpreter(), "benchmarks.peers.sb3_algorithms", job)


def run_ours_tuner(load: Load) -> Run:
    return _run(sys.executable, "benchmarks.ours_tuner", load)


def run_ray_tune(load: Load) -> Run:
    return _run(peers_interpreter(), "benchmarks.peers.ray_tune", load)


def run_rllib(job: Job) -> Run:
    return _run(peers_interpreter(), "benchmarks.peers.rllib", job)


def run_sb3(job: Job) -> Run:
    return _run(peers_interpreter(), "benchmarks.peers.sb3", job)


def say(message: str) -> None:
    """Progress goes to the error stream; the table alone to the output."""
    print(message, file=sys.stderr, flush=True)


def _run(python: str, module: str, job: Job | Load) -> Run:
    with tempfile.TemporaryDirectory(prefix="tunerl-bench-") as home:
        given, out, log = (Path(home, name) for name in ("job.json", "out.json", "log.txt"))
        given.write_text(json.dumps(job.to_json()))
        environment = _cold(Path(home))
        with log.open("w") as sink:
            begin = time.perf_counter()
            done = subprocess.run(
                [python, "-m", module, str(given), str(out)],
                cwd=ROOT,
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
            wall = time.perf_counter() - begin
        if done.returncode or not out.exists():
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise RuntimeError(f"{module} failed with {done.returncode}:\n{tail}")
        return Run(wall, json.loads(out.read_text()))


def _cold(home: Path) -> dict[str, str]:
    """The environment with every cache and store below `home`, and nobody's cluster."""
    dropped = ("RAY_", "TUNERL_", "TORCHINDUCTOR_", "TRITON_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {
        "HOME": str(home),
        "TUNERL_HOME": str(home / "tunerl"),
        "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
        "TRITON_CACHE_DIR": str(home / "triton"),
    }
