"""A worker that holds more memory than it may is ended, and who grows is found."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Herd, HerdPack, laboratory
from tunerl import FailureConfig, RunConfig, Tuner
from tunerl.errors import InvalidSpec
from tunerl.runtime.ray import RayRuntime
from tunerl.trainable import Failure, Pack
from tunerl.trial import Config, ExperimentStatus, Metrics, ReplicaId, Status

MB = 2**20
HOG = 3.0  # the ``lr`` of who grows

GUARDED = """
import subprocess, sys, time
from tunerl.runtime.memory import Guard, resident
import os
guard = Guard(resident(os.getpid()) + 100 * 2**20, lambda text: print(text, flush=True))
guard.start()
code = "import time; held = bytearray(200 * 2**20); print(len(held), flush=True); time.sleep(60)"
if sys.argv[1] == "child":
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    print("child", child.pid, flush=True)
elif sys.argv[1] == "itself":
    held = bytearray(b"x" * 2**20) * 200
else:
    held = bytearray(b"x" * 2**20) * 20
    time.sleep(1)
    sys.exit(0)
time.sleep(60)
"""


def ended(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("who", ["itself", "child", "nobody"])
def test_a_process_and_what_it_has_started_end_where_they_hold_too_much(who: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, who], capture_output=True, text=True, timeout=60
    )
    if who == "nobody":
        assert (done.returncode, done.stdout) == (0, "")
        return
    assert done.returncode == 1
    assert "MB of memory, more than the" in done.stdout
    if who == "child":
        assert wait_until(lambda: ended(done.stdout.split()[1]))


class Hoard(HerdPack):
    """Who has a certain ``lr`` holds on to ever more."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[bytearray] = []

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        if any(lr == HOG for lr, _, _ in self.members.values()):
            self.held.append(bytearray(b"x" * MB) * 300)
        return super().step()


class Hoarders(Herd):
    name = "Hoarders"

    def open(self, config: Config) -> Pack:
        return Hoard()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


def test_who_grows_beyond_the_limit_fails_with_the_reason_and_nobody_else(
    run: Any, ray_runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.runtime.memory.EVERY_S", 0.05)
    experiment = run(
        Hoarders(),
        param_space={"lr": {"grid_search": [HOG, 1.0]}},
        stop={"training_iteration": 12},
        checkpoint={"frequency": 1},
        failure={"memory_limit_bytes": 1200 * MB},
    )
    assert experiment.run(ray_runtime) is ExperimentStatus.COMPLETED
    hog, other = experiment.trials
    assert (hog.status, hog.failures) == (Status.ERROR, 1)
    assert "more than the 1,200 MB of memory_limit_bytes" in hog.error
    assert (other.status, other.failures, other.objective) == (Status.TERMINATED, 0, 12.0)
    assert ray_runtime._idle == []


def test_a_limit_on_memory_that_cannot_be_kept_or_makes_no_sense_is_refused(run: Any) -> None:
    experiment = run(failure={"memory_limit_bytes": 1e9})
    with pytest.raises(InvalidSpec, match=r"memory_limit_bytes: 1e\+09 given, but packs run in"):
        experiment.run()
    with pytest.raises(InvalidSpec, match="bytes, more than 0"):
        Tuner(
            Herd(),
            param_space={"lr": 1.0},
            run_config=RunConfig(failure_config=FailureConfig(memory_limit_bytes=0)),
        )
