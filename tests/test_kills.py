"""Above all scenarios: a seeded sweep whose controller, packs and connections are killed at random,
again and again, ends with the same trials, decisions and results as the same sweep undisturbed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import free_port, start_head, start_node
from tests.support.processes import Processes, needs_proc
from tests.support.sweeps import SCENARIOS

ROOT = Path(__file__).parent.parent
BLOWS = 5


def chaos(url: str, runtime: str, seed: int, count: int, scenarios: Any, **env: str) -> Any:
    """By scenario: its outcome undisturbed, its outcome under blows, and the blows by kind. In
    both nothing is lost or doubled, and all decisions follow from the recorded order."""
    given = [url, runtime, str(seed), str(count), *scenarios]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.chaos", *given],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def blows(url: str, seed: int, count: int, scenarios: Any) -> Counter[str]:
    """Drive each scenario on the local runtime with and without blows, and compare; the blows."""
    taken = Counter[str]()
    ends = chaos(url, "local", seed, count, scenarios)
    for scenario, (undisturbed, disturbed, kinds) in ends.items():
        assert undisturbed["status"] == "COMPLETED"
        assert disturbed == undisturbed, f"{scenario} under seed {seed}: {kinds}"
        taken.update(kinds)
    return taken


def test_killed_at_random_again_and_again_it_ends_like_the_undisturbed_sweep(url: str) -> None:
    taken = blows(url, 5, BLOWS, ["asha-packs", "pbt-packs", "optuna-solos"])
    assert taken.keys() == {"kill", "lose", "drop"}
    assert taken.total() == 3 * BLOWS


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(100, 110))
def test_every_kind_of_sweep_survives_many_more(url: str, seed: int) -> None:
    assert blows(url, seed, 20, SCENARIOS).total() > 10 * len(SCENARIOS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """The environment of who connects to a Ray cluster of two nodes with one CPU each."""
    root = Path(tempfile.mkdtemp(prefix="tunerl-"))  # short: Ray's sockets lie below it
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    mine = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    mine |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    env |= mine
    with Processes(root, env) as processes:
        address = f"127.0.0.1:{free_port()}"
        start_head(processes, address, root)
        for number in range(2):
            start_node(processes, address, number)
        yield {**mine, "RAY_ADDRESS": address}
    shutil.rmtree(root, ignore_errors=True)


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "scenarios",
    [
        ["asha-packs", "asha-solos", "optuna-solos"],
        ["pbt-packs", "pbt-solos", "pbt-synch"],
        ["random-promotion", "random-hyperband", "random-median"],
        ["seeds-packs", "fragile-packs", "foreign-asha"],
    ],
    ids=lambda scenarios: scenarios[0],
)
def test_on_ray_nothing_is_lost_or_doubled_and_all_follows_from_the_recorded_order(
    url: str, scenarios: list[str], cluster: dict[str, str]
) -> None:
    ends, taken = chaos(url, "ray", 5, 8, scenarios, **cluster), Counter[str]()
    for scenario, (undisturbed, disturbed, kinds) in ends.items():
        assert disturbed["status"] == "COMPLETED", kinds
        if not scenario.startswith(("optuna", "foreign")):  # what looks at no results
            assert first(disturbed) == first(undisturbed)
        taken.update(kinds)
    assert taken.keys() >= {"kill", "lose"}


def first(outcome: Any) -> list[Any]:
    """The configurations and first seeds with which trials began; more seeds are a decision."""
    old: dict[int, Any] = {}
    for kind, trial, data in outcome["decisions"]:
        if kind == "trial.exploit":
            old.setdefault(trial, data["old"])
    return [[n, old.get(n, config), seeds[0]] for n, config, seeds, *_ in outcome["trials"]]
