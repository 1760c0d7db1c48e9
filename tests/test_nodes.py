"""A sweep on Ray nodes that come and go, each a process: packs follow, numbers stay."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import environment, free_port, start_head, start_node
from tests.support.processes import Process, Processes, needs_proc, until
from tests.support.service import SPACE, outcome
from tunerl.store import Store
from tunerl.store.records import Experiment

pytestmark = [needs_proc, pytest.mark.slow, pytest.mark.timeout(1800)]

SWEEP_S = 600.0  # when others are at work on this machine, too
ITERATIONS = 400
SLOW = SPACE | {"train_batch_size": 128, "num_epochs": 4}  # some 20 iterations a second
PROGRAM = f"""
import sys
from tunerl import Tuner, TuneConfig, RunConfig, with_resources
from tunerl.control import balance
from tunerl.errors import InvalidSpec
from tunerl.space import from_json

balance.WORTH_S = balance.REST_S = 0.0  # however short it is, it is worth it here
space = from_json({SLOW!r})
trainable, samples = "PPO", 8
if sys.argv[2:]:
    trainable, samples, space = with_resources(lambda config: {{"x": 1}}, {{"GPU": 0.5}}), 1, {{}}
try:
    Tuner(
        trainable, param_space=space, tune_config=TuneConfig(num_samples=samples, seed=5),
        run_config=RunConfig(name=sys.argv[1], stop={{"training_iteration": {ITERATIONS}}}),
    ).fit()
except InvalidSpec as error:
    print("REFUSED", error)
"""


@dataclass
class Field:
    """A Ray head without CPUs; nodes and sweeps are started on it."""

    processes: Processes
    address: str
    root: Path
    made: int = 0

    @property
    def url(self) -> str:
        return f"sqlite:///{self.root / 'home' / 'tunerl.db'}"

    def node(self) -> Process:
        self.made += 1
        return start_node(self.processes, self.address, self.made)

    def sweep(self, name: str, *more: str, **env: str) -> Process:
        return self.processes.start(
            name, sys.executable, "-c", PROGRAM, name, *more,
            TUNERL_HOME=str(self.root / "home"), RAY_ADDRESS=self.address, **env,
        )  # fmt: skip

    def experiment(self, name: str) -> Experiment:
        with Store(self.url) as store:
            return store.get_experiment(name)

    def events(self, name: str) -> list[str]:
        with Store(self.url) as store:
            return [event.kind for event in store.events(store.get_experiment(name).id)]

    def reach(self, name: str, iteration: int) -> None:
        """Wait until every trial has got there."""

        def reached() -> bool:
            try:
                with Store(self.url) as store:
                    trials = store.trials(store.get_experiment(name).id)
            except Exception:  # the program has not got that far
                return False
            return len(trials) == 8 and min(trial.iteration for trial in trials) >= iteration

        until(reached, f"iteration {iteration} of {name}", SWEEP_S)

    def result(self, name: str) -> dict[str, Any]:
        found = outcome(self.url, self.experiment(name).id)
        assert found["status"] == "COMPLETED"
        return {key: value for key, value in found.items() if key != "checkpoints"}


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    root, secret = Path(tempfile.mkdtemp(prefix="tunerl-")), secrets.token_hex(32)
    env = environment(secret)
    try:
        with Processes(root, env) as processes:
            address = f"127.0.0.1:{free_port()}"
            start_head(processes, address, root)
            yield Field(processes, address, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_half_of_a_pack_moves_to_a_node_that_joins_and_back_when_it_is_lost(field: Field) -> None:
    early = field.sweep("joined")
    waiting = "waits for nodes to join"

    def told() -> bool:
        assert early.returncode is None, early.log.read_text()
        return waiting in early.log.read_text()

    until(told, "the reason", SWEEP_S)
    assert waiting in (field.experiment("joined").reason or "")
    first = field.node()
    field.reach("joined", 2)
    assert field.experiment("joined").reason is None
    second = field.node()
    until(lambda: field.events("joined").count("trial.moved") == 4, "the move", SWEEP_S)
    field.reach("joined", ITERATIONS // 2)
    second.kill_all()
    until(lambda: early.returncode is not None, "the end", SWEEP_S)
    assert "pack.lost" in field.events("joined")
    calm = field.sweep("calm")
    until(lambda: calm.returncode is not None, "the end", SWEEP_S)
    assert field.result("joined") == field.result("calm")
    assert "trial.moved" not in field.events("calm")
    first.kill_all()


def test_what_no_node_offers_is_refused_with_what_there_is(field: Field) -> None:
    node = field.node()
    refused = field.sweep("gpu", "gpu", TUNERL_NODES_PATIENCE_SECONDS="2")
    until(lambda: refused.returncode is not None, "the refusal", SWEEP_S)
    said = refused.log.read_text()
    assert "REFUSED resources: a pack needs {'GPU': 0.5} on one node; the nodes offer" in said
    assert "CPU: 1" in said
    found = field.experiment("gpu")
    assert (found.status, "GPU" in (found.reason or "")) == ("ERROR", True)
    node.kill_all()
