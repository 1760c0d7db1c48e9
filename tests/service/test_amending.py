"""Extending and forking over REST."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.client import Client
from service.settings import Settings
from tests.service.conftest import Json, quick_settings, serving, sweep, working
from tunerl.errors import InvalidInput, NotFound

SPACE = {"x": {"uniform": [1.0, 3.0]}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return quick_settings(tmp_path_factory.mktemp("amending"))


@pytest.fixture(scope="module")
def there(settings: Settings) -> Iterator[Client]:
    """One service and one worker for the module."""
    from tests.service import trainables

    trainables.register()
    with serving(settings) as url, working(settings), Client(url) as client:
        yield client


def ended(client: Client, experiment: Json) -> Json:
    return client.wait(experiment["id"], poll=0.05, timeout=60)


def test_a_finished_experiment_goes_on_and_a_fork_leaves_it_alone(there: Client) -> None:
    first = ended(
        there, there.create(sweep(param_space=SPACE, num_samples=2, stop={"training_iteration": 2}))
    )
    assert first["counts"] == {"TERMINATED": 2}
    fork = ended(there, there.fork(first["id"], name="branch", stop={"training_iteration": 3}))
    assert (fork["name"], fork["status"]) == ("branch", "COMPLETED")
    assert [t["iteration"] for t in there.trials(fork["id"])] == [3, 3]
    assert [t["iteration"] for t in there.trials(first["id"])] == [2, 2]
    assert there.extend(first["id"], num_samples=3)["status"] in ("PENDING", "RUNNING")
    longer = ended(there, first)
    assert longer["counts"] == {"TERMINATED": 3}
    kinds = [event["kind"] for event in there.events(first["id"])]
    assert kinds.count("experiment.extended") == 1


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"num_sampels": 3}, "num_sampels"),
        ({"metric": "other"}, "metric"),
        ({"num_samples": "many"}, "num_samples"),
        ({"storage": "/elsewhere"}, "storage"),
        ({"param_space": {"x": 1.0, "env": "os:Evil-v0"}}, "param_space.env"),
        ({"stopper": {"type": "timeot"}}, "stopper.type"),
    ],
)
def test_what_cannot_be_changed_is_refused(there: Client, changes: Json, path: str) -> None:
    first = ended(there, there.create(sweep(param_space=SPACE, stop={"training_iteration": 1})))
    before = len(list(there.list()))
    for ask in (there.extend, there.fork):
        with pytest.raises(InvalidInput) as caught:
            ask(first["id"], **changes)
        assert path in str(caught.value)
    assert len(list(there.list())) == before
    with pytest.raises(NotFound):
        there.extend("nobody", num_samples=2)
