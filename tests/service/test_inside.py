"""Rungs, exploits and the best over its budget, and what was made from what, over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import Client
from service.settings import read_settings
from tests.service.conftest import serving
from tests.support.runs import Climb, Experiment
from tunerl import register_trainable
from tunerl.errors import InvalidInput, NotFound
from tunerl.trial import Config

POPULATION = {"type": "pbt", "time_attr": "training_iteration", "perturbation_interval": 2,
              "hyperparam_mutations": {"lr": {"uniform": [1.0, 9.0]}}, "synch": True}  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    register_trainable("Climb", Climb)
    lr: Config = {"lr": {"uniform": [1.0, 9.0]}}
    experiment = Experiment(
        tmp_path_factory.mktemp("inside"),
        "Climb",
        param_space=lr,
        num_samples=4,
        scheduler=POPULATION,
        stop={"training_iteration": 6},
    )
    experiment.run()
    yield experiment
    experiment.store.close()


@pytest.fixture(scope="module")
def client(swept: Experiment) -> Iterator[Client]:
    with serving(read_settings(port=0, home=swept.home)) as address, Client(address) as client:
        yield client


def test_exploits_are_told_with_their_mutations(client: Client, swept: Experiment) -> None:
    found = client.policy(swept.id)
    assert found
    first = found[0]
    before, after = first["mutations"]["lr"]
    assert before == swept.store.trial(swept.id, first["source"]).config["lr"]
    assert after != before
    settings = client.policy(swept.id, found[-1]["target"])
    assert settings[0]["iteration"] == 0
    assert settings[-1]["config"]["lr"] == found[-1]["mutations"]["lr"][1]
    with pytest.raises(NotFound):
        client.policy(swept.id, 99)


def test_the_incumbent_grows_with_the_budget(client: Client, swept: Experiment) -> None:
    found = client.incumbent(swept.id)
    values = [each["value"] for each in found["improvements"]]
    assert values == sorted(values)
    assert found["spent"] == 24
    assert found["improvements"][0]["low"] is None


def test_a_scheduler_without_rungs_has_no_brackets(client: Client, swept: Experiment) -> None:
    assert client.rungs(swept.id) == {
        "scheduler": "pbt", "time_attr": "training_iteration", "brackets": [], "stopped": [],
    }  # fmt: skip


def test_what_was_made_from_an_experiment_is_listed(client: Client, swept: Experiment) -> None:
    assert client.list(origin=swept.id) == []
    made = client.baseline(swept.id)
    assert [each["id"] for each in client.list(origin=swept.id)] == [made["id"]]
    assert made["origin"]["experiment"] == swept.id
    assert client.get(swept.id)["origin"] == {}


def test_events_of_one_kind_can_be_asked_for(client: Client, swept: Experiment) -> None:
    with httpx.Client(base_url=client.address, trust_env=False) as http:
        path = f"/api/v1/experiments/{swept.id}/events"
        items = http.get(path, params={"kind": "trial.exploit"}).json()["items"]
        assert {item["kind"] for item in items} == {"trial.exploit"}
        assert http.get(path, params={"kind": "x" * 100}).status_code == 422


def test_without_an_objective_there_is_no_incumbent(tmp_path: Path) -> None:
    from tunerl.results.incumbent import incumbent

    experiment = Experiment(tmp_path, metric=None, mode=None)
    with pytest.raises(InvalidInput, match="has no objective"):
        incumbent(experiment.store, experiment.id)
