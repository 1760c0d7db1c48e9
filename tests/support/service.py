"""`tunerl api` and `tunerl worker` as processes, a small PPO sweep, and how it ended."""

from __future__ import annotations

import re
import sys
from typing import Any

from service.client import Client
from tests.support.processes import Process, Processes, until
from tunerl.store import Store

Json = dict[str, Any]
START_S = 60.0
SWEEP_S = 180.0
TUNERL = (sys.executable, "-m", "service.cli")
CLOCKS = re.compile(r"(^|/)time_|_s$|per_second|throughput")
ITERATIONS = 40
SPACE = {
    "env": "CartPole-v1",
    "num_envs_per_env_runner": 4,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "model": {"fcnet_hiddens": [16]},
    "torch_compile_learner": False,
    "lr": {"loguniform": [1e-4, 1e-2]},
    "gamma": {"uniform": [0.9, 0.999]},
}


def sweep(name: str, **more: Any) -> Json:
    """Four configurations on two seeds each."""
    return {
        "name": name,
        "trainable": "PPO",
        "param_space": SPACE,
        "num_samples": 4,
        "num_seeds": 2,
        "seed": 5,
        "stop": {"training_iteration": ITERATIONS},
        **more,
    }


class Api:
    """`tunerl api`; started again it listens where it did before."""

    def __init__(self, processes: Processes, token: str, **env: str) -> None:
        self._processes, self._token = processes, token
        self._env = {"TUNERL_API_TOKEN": token, **env}
        self._port = "0"
        self.process = self.start()

    def start(self) -> Process:
        self.process = self._processes.start(
            "api", *TUNERL, "api", **self._env, TUNERL_PORT=self._port
        )
        log = self.process.log
        before = log.stat().st_size
        port = re.compile(r"listens on http://\S+:(\d+)")
        said = until(lambda: port.search(log.read_text()[before:]), "the API", START_S)
        self._port = said[1]
        return self.process

    def client(self, token: str | None = None) -> Client:
        return Client(f"http://127.0.0.1:{self._port}", token or self._token)


def reach(client: Client, id: str, iteration: int) -> None:
    """Wait until a trial has reported `iteration`; fails when none runs any more by then."""

    def reached() -> bool:
        assert client.get(id)["status"] in ("PENDING", "RUNNING"), client.get(id)["reason"]
        return any(trial["iteration"] >= iteration for trial in client.trials(id))

    until(reached, f"iteration {iteration} of a trial", SWEEP_S)


def completed(client: Client, id: str) -> Json:
    """The experiment once it has ended, which must be well."""
    ended = client.wait(id, poll=0.1, timeout=SWEEP_S)
    assert (ended["status"], ended["reason"]) == ("COMPLETED", None)
    return ended


def outcome(url: str, id: str) -> Json:
    """All that must not depend on what was killed: everything but clocks and attempts."""
    with Store(url) as store:
        trials = store.trials(id)
        return {
            "status": store.get_experiment(id).status,
            "trials": [
                [t.number, t.config, t.seeds, t.status, t.reason, t.failures, t.error]
                for t in trials
            ],
            "standing": [
                [t.iteration, t.steps, t.objective, t.best_objective, t.best_iteration]
                for t in trials
            ],
            "last": [[timeless(t.last), timeless(t.best)] for t in trials],
            "results": sorted(
                [r.trial, r.iteration, r.objective, [timeless(m) for m in (r.metrics, *r.replicas)]]
                for r in store.results(id)
            ),
            "checkpoints": sorted((c.trial, c.iteration) for c in store.checkpoints(id)),
        }


def timeless(metrics: Json) -> Json:
    """Metrics without those that a clock made."""
    return {name: value for name, value in metrics.items() if not CLOCKS.search(name)}
