"""Above all scenarios: a seeded sweep whose controller, packs and connections are killed at random,
again and again, ends with the same trials, decisions and results as the same sweep undisturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.sweeps import SCENARIOS

ROOT = Path(__file__).parent.parent
BLOWS = 5


def blows(url: str, seed: int, count: int, scenarios: Any) -> Counter[str]:
    """Drive each scenario with and without blows, and compare; the blows by kind."""
    given = [url, "local", str(seed), str(count), *scenarios]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.chaos", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    taken = Counter[str]()
    for scenario, (undisturbed, disturbed, kinds) in json.loads(done.stdout).items():
        assert undisturbed["status"] == "COMPLETED"
        assert disturbed == undisturbed, f"{scenario} under seed {seed}: {kinds}"
        taken.update(kinds)
    return taken


def test_killed_at_random_again_and_again_it_ends_like_the_undisturbed_sweep(url: str) -> None:
    taken = blows(url, 2, BLOWS, ["asha-packs", "pbt-packs", "optuna-solos"])
    assert taken.keys() == {"kill", "lose", "drop"}
    assert taken.total() == 3 * BLOWS


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(100, 110))
def test_every_kind_of_sweep_survives_many_more(url: str, seed: int) -> None:
    assert blows(url, seed, 20, SCENARIOS).total() > 10 * len(SCENARIOS)
