"""Workers: killed, stopped, started again, met with broken experiments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.serve import Supervisor, environment
from service.settings import Settings, read_settings
from service.worker import Worker
from tests.service.conftest import sweep, until, working
from tests.service.trainables import GATE
from tunerl.store import Store

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
RANDOM = {"x": {"uniform": [0.0, 10.0]}}


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "gate"
    path.touch()
    monkeypatch.setenv(GATE, str(path))
    return path


@contextmanager
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own; killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.service.worker_process"]
    child = subprocess.Popen(command, env=environment(settings), cwd=ROOT)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def outcome(client: Client, id: str) -> list[Json]:
    """What must not depend on crashes: configurations, seeds, every result."""
    return [
        {
            "config": trial["config"],
            "seeds": trial["seeds"],
            "status": trial["status"],
            "points": client.curve(id, trial["number"]),
        }
        for trial in client.trials(id)
    ]


def test_after_kill_9_another_worker_ends_with_the_same_trials(
    client: Client, settings: Settings, gate: Path
) -> None:
    quick = read_settings(**settings.model_dump() | {"lease_seconds": 2.0})
    spec = sweep("gated", param_space=RANDOM, num_samples=4, num_seeds=2)
    id = client.create(spec)["id"]
    with process(quick) as child:
        until(lambda: client.get(id)["steps"] >= 2 * 200, "results of the second iteration")
        child.send_signal(signal.SIGKILL)
        child.wait()
    gate.unlink()
    with process(quick):
        killed = client.wait(id, poll=0.1, timeout=60)
        undisturbed = client.create({**spec, "name": "undisturbed"})["id"]
        client.wait(undisturbed, poll=0.1, timeout=60)
    assert killed["status"] == "COMPLETED"
    assert outcome(client, id) == outcome(client, undisturbed)


def test_sigterm_gives_the_experiment_back_at_once(
    client: Client, settings: Settings, gate: Path
) -> None:
    patient = read_settings(**settings.model_dump() | {"lease_seconds": 600.0})
    id = client.create(sweep("gated", param_space=RANDOM, num_samples=4))["id"]
    with process(patient) as child:
        until(lambda: client.get(id)["steps"] >= 200, "results of the second iteration")
        child.send_signal(signal.SIGTERM)
        gate.unlink()
        assert child.wait(60) == 0
    assert client.get(id)["status"] in ("PENDING", "RUNNING")
    with working(settings):
        assert client.wait(id, poll=0.05, timeout=60)["status"] == "COMPLETED"
    assert [trial["iteration"] for trial in client.trials(id)] == [4] * 4


def test_a_broken_experiment_is_an_error_and_the_next_one_runs(
    client: Client, settings: Settings, worker: Worker
) -> None:
    with Store(settings.url) as store:
        broken = {**sweep(), "trainable": "gone", "searcher": {"type": "random"}}
        id = store.create_experiment(broken, "broken", claimable=True).id
    ended = client.wait(id, poll=0.05, timeout=60)
    assert ended["status"] == "ERROR"
    assert "gone" in ended["reason"]
    assert any("Traceback" in str(event["data"]) for event in client.events(id))
    after = client.create(sweep())["id"]
    assert client.wait(after, poll=0.05, timeout=60)["status"] == "COMPLETED"


def test_two_workers_share_the_experiments(client: Client, settings: Settings) -> None:
    ids = [client.create(sweep(name=f"n{number}"))["id"] for number in range(4)]
    with working(settings), working(settings):
        for id in ids:
            assert client.wait(id, poll=0.05, timeout=60)["status"] == "COMPLETED"
            assert [trial["attempt"] for trial in client.trials(id)] == [1, 1, 1]


def test_a_supervisor_starts_a_dead_worker_again_and_ends_it() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with Supervisor(command, dict(os.environ)) as supervisor:
        first = until(lambda: supervisor.child, "the child")
        first.kill()
        until(lambda: supervisor.starts == 2, "another child")
        second = supervisor.child
    assert second is not None
    assert second is not first
    assert second.returncode == -signal.SIGTERM
