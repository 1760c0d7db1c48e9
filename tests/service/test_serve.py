"""`tunerl serve` as a process: API and worker come up together and go together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.client import Client
from service.serve import listen
from service.settings import Settings, read_settings
from tests.service.conftest import until
from tunerl.errors import InvalidInput

ROOT = Path(__file__).parent.parent.parent
SWEEP = {
    "trainable": "PPO",
    "param_space": {"env": "CartPole-v1", "train_batch_size": 64, "minibatch_size": 32},
    "stop": {"training_iteration": 2},
}


@contextmanager
def serve(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; killed at the end if it still runs."""
    command = [sys.executable, "-m", "service.cli", "serve", "--home", str(home)]
    child = subprocess.Popen(
        [*command, "--port", "0", "--runtime", "local"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline().split()[-1]
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def worker_of(parent: int) -> int | None:
    """The process id of the worker that `parent` has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    tasks = Path(f"/proc/{parent}/task").glob("*/children") if children.exists() else ()
    found = [int(pid) for task in tasks for pid in task.read_text().split()]
    return found[0] if found else None


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")


def test_an_experiment_runs_and_ctrl_c_ends_both(tmp_path: Path) -> None:
    with serve(tmp_path) as (child, url), Client(url) as client:
        ended = client.wait(client.create(SWEEP)["id"], poll=0.2, timeout=120)
        assert ended["status"] == "COMPLETED", client.trials(ended["id"])
        assert ended["name"] == "PPO"
        worker = worker_of(child.pid)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
        assert worker is None or gone(worker)


@needs_proc
def test_sigterm_ends_both(tmp_path: Path) -> None:
    with serve(tmp_path) as (child, _):
        worker = until(lambda: worker_of(child.pid), "the worker")
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
        assert gone(worker)


@needs_proc
def test_a_killed_service_leaves_no_worker_behind(tmp_path: Path) -> None:
    with serve(tmp_path) as (child, _):
        worker = until(lambda: worker_of(child.pid), "the worker")
        child.kill()
        child.wait()
        until(lambda: gone(worker), "the end of the worker")


def test_a_port_in_use_is_a_clear_error(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = read_settings(**settings.model_dump() | {"port": taken.getsockname()[1]})
        with pytest.raises(InvalidInput, match="--port"):
            listen(busy)
