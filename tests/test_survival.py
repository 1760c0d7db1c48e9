"""PPO under `kill -9` of the worker and of the API: the sweep ends as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from service.client import Client
from tests.support.processes import Process, Processes, needs_proc
from tests.support.service import ITERATIONS, TUNERL, Api, Json, completed, outcome, reach, sweep

pytestmark = needs_proc


@dataclass
class House:
    """A service of separate processes on SQLite, packs in the worker's own process."""

    processes: Processes
    api: Api
    url: str
    known: dict[int, Json] = field(default_factory=dict)

    def worker(self) -> Process:
        return self.processes.start("worker", *TUNERL, "worker")

    def undisturbed(self, client: Client, frequency: int) -> Json:
        """How the sweep with checkpoints of this frequency ends when nothing happens to it."""
        if frequency not in self.known:
            worker = self.worker()
            id = client.create(spec(f"undisturbed-{frequency}", frequency))["id"]
            completed(client, id)
            worker.end()
            self.known[frequency] = outcome(self.url, id)
        return self.known[frequency]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("survival")
    url = f"sqlite:///{root / 'tunerl.db'}"
    env = {
        **os.environ,
        "TUNERL_HOME": str(root),
        "TUNERL_STORE_URL": url,
        "TUNERL_RUNTIME": "local",
        "TUNERL_LEASE_SECONDS": "2",
        "OMP_NUM_THREADS": "1",
    }
    with Processes(root, env) as processes:
        yield House(processes, Api(processes, token="of-the-test"), url)


def spec(name: str, frequency: int = 0) -> Json:
    return sweep(name, checkpoint={"frequency": frequency})


@pytest.mark.parametrize(
    "frequency",
    [
        pytest.param(0, id="from-the-seed", marks=pytest.mark.slow),
        pytest.param(5, id="from-checkpoints"),
    ],
)
def test_after_kill_9_of_the_worker_the_sweep_has_the_same_results(
    house: House, frequency: int
) -> None:
    with house.api.client() as client:
        expected = house.undisturbed(client, frequency)
        first = house.worker()
        id = client.create(spec(f"killed-{frequency}", frequency))["id"]
        reach(client, id, ITERATIONS // 4)
        first.kill()
        assert client.get(id)["status"] == "RUNNING"
        assert client.get(id)["counts"].get("TERMINATED", 0) < 4
        second = house.worker()
        completed(client, id)
        second.end()
        assert max(trial["attempt"] for trial in client.trials(id)) == 2
    assert outcome(house.url, id) == expected


def test_after_kill_9_of_the_api_nothing_is_lost(house: House) -> None:
    with house.api.client() as client:
        expected = house.undisturbed(client, 0)
        worker = house.worker()
        id = client.create(spec("orphan"), idempotency_key="orphan")["id"]
        reach(client, id, 1)
        house.api.process.kill()
        house.api.start()
        assert client.create(spec("orphan"), idempotency_key="orphan")["id"] == id
        completed(client, id)
        worker.end()
    assert outcome(house.url, id) == expected
