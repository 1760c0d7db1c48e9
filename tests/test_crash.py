"""A sweep whose controller is killed (SIGKILL) at any commit ends as an undisturbed one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "scenario",
    [
        "random-fifo",
        "optuna-asha",
        "foreign-asha",
        "random-promotion",
        "random-hyperband",
        "random-median",
        "random-seeds",
        "pbt-pack",
        pytest.param("pbt-solos", marks=pytest.mark.slow),
        pytest.param("pbt-synch", marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_commit_ends_like_the_undisturbed_run(scenario: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash", scenario],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)
    undisturbed = runs.pop("undisturbed")
    assert undisturbed["status"] == "COMPLETED"
    assert len(runs) > 8
    assert bool(undisturbed["exploits"]) == scenario.startswith("pbt")
    assert not undisturbed["pins"]
    for point, outcome in runs.items():
        assert outcome == undisturbed, f"killed at point {point}"
