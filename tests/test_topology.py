"""The deployment of docker-compose.yml in plain processes: a sweep, and the loss of each part."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.evaluate import evaluate_checkpoint
from tests.support.cluster import Cluster, cluster
from tests.support.processes import Process, needs_proc, until
from tests.support.service import ITERATIONS, START_S, Json, completed, outcome, reach, sweep
from tunerl.errors import TuneRLError

pytestmark = [needs_proc, pytest.mark.slow, pytest.mark.timeout(600)]
CPUS = (
    "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False); "
    "print(sum(n['Resources'].get('CPU', 0) for n in ray.nodes() if n['Alive']))"
)


@pytest.fixture(scope="module")
def house() -> Iterator[Cluster]:
    with cluster() as up:
        yield up


@pytest.fixture
def worker(house: Cluster) -> Iterator[Process]:
    process = house.worker()
    yield process
    process.end()


@pytest.fixture(scope="module")
def undisturbed(house: Cluster) -> Json:
    """The sweep on the cluster when nothing happens to it."""
    worker = house.worker()
    with house.api.client() as client:
        id = client.create(sweep("undisturbed"))["id"]
        completed(client, id)
    worker.end()
    return outcome(house.store_url, id)


def test_a_sweep_over_rest_ends_with_a_checkpoint_that_plays(
    house: Cluster, worker: Process, tmp_path: Path
) -> None:
    with house.api.client() as client:
        assert client.ready()["status"] == "ready"
        seen: list[Json] = []
        id = client.create(sweep("whole"))["id"]
        ended = client.wait(id, seen.append, poll=0.1, timeout=180)
        assert (ended["status"], ended["counts"]) == ("COMPLETED", {"TERMINATED": 4})
        assert "RUNNING" in {each["status"] for each in seen}
        results = client.results(id)
        assert [each["statistics"]["n"] for each in results] == [2] * 4
        best = client.best(id)
        assert best["best_objective"] == max(each["best_objective"] for each in client.trials(id))
        assert len(client.curve(id, best["number"])) == ITERATIONS
        directory = client.download_best(id, tmp_path / "best")
    assert {found.name for found in directory.iterdir()} >= {"0", "1"}
    metrics = evaluate_checkpoint(directory, episodes=2, seed=1)
    assert metrics["env_runners/episode_return_mean"] >= 8


def test_after_kill_9_of_the_worker_the_sweep_has_the_same_results(
    house: Cluster, undisturbed: Json
) -> None:
    first = house.worker()
    with house.api.client() as client:
        id = client.create(sweep("killed"))["id"]
        reach(client, id, ITERATIONS // 4)
        first.kill()
        assert client.get(id)["status"] == "RUNNING"
        assert client.get(id)["counts"].get("TERMINATED", 0) < 4
        second = house.worker()
        completed(client, id)
        second.end()
    assert outcome(house.store_url, id) == undisturbed


def test_after_kill_9_of_the_api_nothing_is_lost(
    house: Cluster, worker: Process, undisturbed: Json
) -> None:
    with house.api.client() as client:
        id = client.create(sweep("orphan"))["id"]
        reach(client, id, 1)
        house.api.process.kill()
        house.api.start()
        completed(client, id)
    assert outcome(house.store_url, id) == undisturbed


def test_trials_of_a_lost_node_go_on_elsewhere_with_the_same_results(
    house: Cluster, worker: Process, undisturbed: Json
) -> None:
    with house.api.client() as client:
        id = client.create(sweep("node"))["id"]
        reach(client, id, ITERATIONS // 4)
        node = next(n for n in house.nodes if any("ray::Worker" in t for t in n.titles()))
        node.kill_all()
        house.nodes.remove(node)
        completed(client, id)
        assert "pack.lost" in {event["kind"] for event in client.events(id)}
    house.node()
    assert outcome(house.store_url, id) == undisturbed


def test_a_trial_that_ends_its_process_fails_alone_and_the_sweep_and_the_service_go_on(
    house: Cluster, worker: Process
) -> None:
    space = {"deadly": {"grid_search": [False, True, False]}}
    with house.api.client() as client:
        id = client.create(
            {
                "name": "deadly",
                "trainable": "Deadly",
                "param_space": space,
                "metric": "count",
                "mode": "max",
                "stop": {"training_iteration": 5},
                "failure": {"max_failures": 0},
            }
        )["id"]
        ended = client.wait(id, poll=0.1, timeout=180)
        assert (ended["status"], ended["reason"]) == ("COMPLETED", "1 of 3 trials failed")
        trials = client.trials(id)
        assert [trial["status"] for trial in trials] == ["TERMINATED", "ERROR", "TERMINATED"]
        assert [trial["iteration"] for trial in trials] == [5, 1, 5]
        assert "its worker was lost 3 times in a row" in trials[1]["error"]
        assert trials[1]["attempt"] == 3
        lost = [event for event in client.events(id) if event["kind"] == "pack.lost"]
        assert len(lost) == 3
        assert client.ready()["status"] == "ready"
        completed(client, client.create(sweep("after"))["id"])


def test_a_worker_waits_until_a_node_can_train(house: Cluster) -> None:
    for node in house.nodes:
        node.kill_all()
    house.nodes.clear()
    empty = "0\n"
    until(lambda: ask(house.ray, house.secret, CPUS).stdout == empty, "the nodes' end", START_S)
    worker = house.worker()
    with house.api.client() as client:
        id = client.create(sweep("early"))["id"]
        until(lambda: "no node" in worker.log.read_text(), "the worker's warning", START_S)
        assert client.get(id)["status"] == "PENDING"
        house.node()
        completed(client, id)
    worker.end()
    house.node()


def test_without_its_token_neither_the_api_nor_the_cluster_can_be_used(house: Cluster) -> None:
    with house.api.client(token="another") as client, pytest.raises(TuneRLError, match="token"):
        client.list()
    assert ask(house.ray, house.secret, CPUS).returncode == 0
    stranger = ask(house.ray, "0" * 64, CPUS)
    assert stranger.returncode != 0
    assert "AuthenticationError" in stranger.stderr


def ask(address: str, secret: str, program: str) -> subprocess.CompletedProcess[str]:
    """A Python program that connects to the Ray cluster with a token."""
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secret}
    return subprocess.run(
        [sys.executable, "-c", program, address], env=env, capture_output=True, text=True
    )
