"""Confirming, baselines, importances and fronts over REST and from the shell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.client import Client
from service.settings import read_settings
from tests.service.conftest import serving
from tests.support.runs import Experiment
from tunerl import Trainable, register_trainable, spec
from tunerl.errors import InvalidSpec, NotFound, TuneRLError


class Parabola(Trainable):
    def step(self) -> dict[str, float]:
        x = float(self.config["x"])
        return {"score": 1 - (x - 0.5) ** 2, "cost": x}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    register_trainable("Parabola", Parabola)
    experiment = Experiment(
        tmp_path_factory.mktemp("judging"),
        "Parabola",
        param_space={"x": {"uniform": [0, 1]}, "idle": {"choice": [1, 2]}},
        num_samples=8,
        metric=["score", "cost"],
        mode=["max", "min"],
        stop={"training_iteration": 1},
    )
    experiment.run()
    yield experiment
    experiment.store.close()


@pytest.fixture(scope="module")
def client(swept: Experiment) -> Iterator[Client]:
    settings = read_settings(port=0, home=swept.home)
    with serving(settings) as address, Client(address) as client:
        yield client


def test_a_confirmation_is_submitted_and_ranked(client: Client, swept: Experiment) -> None:
    made = client.confirm(swept.id, 2, [3, 5])
    assert made["status"] == "PENDING"
    assert made["spec"]["origin"]["experiment"] == swept.id
    assert made["spec"]["seeds"] == [3, 5]
    again = object.__new__(Experiment)
    again.__dict__ |= swept.__dict__ | {"id": made["id"]}
    again.spec = spec.check(made["spec"], swept.trainable)
    again.run()
    ranking = client.ranking(made["id"])
    assert [leader["rank"] for leader in ranking] == [1, 2]
    assert ranking[0]["iqm"] >= ranking[1]["iqm"]
    assert ranking[1]["improvement"] is None
    with pytest.raises(TuneRLError, match="is no confirmation"):
        client.ranking(swept.id)


def test_a_baseline_is_submitted(client: Client, swept: Experiment) -> None:
    made = client.baseline(swept.id)
    assert made["spec"]["origin"]["kind"] == "baseline"
    assert made["num_samples"] == 8


def test_importances_and_the_front_are_told(client: Client, swept: Experiment) -> None:
    found = client.importance(swept.id)
    assert found[0]["parameter"] == "x"
    assert sum(entry["importance"] for entry in found) == pytest.approx(1)
    answer = client.pareto(swept.id)
    assert answer["objectives"] == {"score": "max", "cost": "min"}
    assert 1 <= len(answer["points"]) < 8


def test_what_cannot_be_is_refused_with_its_field(client: Client, swept: Experiment) -> None:
    tuned = swept.trials[0].seeds[0]
    with pytest.raises(InvalidSpec, match="were tuned on"):
        client.confirm(swept.id, 1, [tuned])
    with pytest.raises(InvalidSpec, match=r"'x'. given; a number of seeds"):
        client.confirm(swept.id, 1, "x")  # type: ignore[arg-type]
    with pytest.raises(InvalidSpec, match="seeds: 1000000000 given; 1 to 10,000"):
        client.confirm(swept.id, 1, 10**9)
    with pytest.raises(NotFound):
        client.confirm("nothing")
    space = {"x": {"uniform": [0, 1]}}
    body = {"trainable": "Parabola", "param_space": space, "metric": "score", "mode": "max",
            "searcher": {"type": "optuna"}, "warm_start": ["nothing"]}  # fmt: skip
    with pytest.raises(InvalidSpec, match="origin: the service writes it"):
        client.create({**body, "origin": {"kind": "confirm"}})
    with pytest.raises(InvalidSpec, match=r"warm_start\[0\]: no experiment"):
        client.create(body)
