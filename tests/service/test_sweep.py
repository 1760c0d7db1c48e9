"""A sweep over HTTP from submission to checkpoint, and each view of it on the way."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import Client
from service.settings import Settings, read_settings
from service.worker import Worker
from tests.service.conftest import serving, sweep, until, working
from tunerl import checkpoints
from tunerl.errors import Conflict, NotFound

Json = dict[str, Any]


@pytest.fixture
def done(client: Client, worker: Worker) -> Json:
    """The small sweep, completed."""
    return client.wait(client.create(sweep(num_seeds=3))["id"], poll=0.05, timeout=60)


@pytest.fixture
def path(done: Json) -> str:
    return f"/api/v1/experiments/{done['id']}"


def test_a_submitted_experiment_waits_then_completes(client: Client, settings: Settings) -> None:
    made = client.create(sweep())
    assert (made["status"], made["progress"], made["best"]) == ("PENDING", 0.0, None)
    assert made["spec"]["param_space"] == {"x": {"grid_search": [1.0, 2.0, 3.0]}}
    seen: list[Json] = []
    with working(settings):
        ended = client.wait(made["id"], seen.append, poll=0.05, timeout=60)
    assert (ended["status"], ended["progress"]) == ("COMPLETED", 1.0)
    assert ended["counts"] == {"TERMINATED": 3}
    assert ended["steps"] == 3 * 400
    assert [each["progress"] for each in seen] == sorted(each["progress"] for each in seen)
    assert client.get("small")["id"] == made["id"]


def test_experiments_are_listed_newest_first_page_by_page(http: httpx.Client) -> None:
    api = "/api/v1/experiments"
    ids = [http.post(api, json=sweep(name=f"n{i}")).json()["id"] for i in range(5)]
    seen, after = [], ""
    for _ in range(3):
        page = http.get(f"{api}?limit=2{after}").json()
        seen += [item["id"] for item in page["items"]]
        after = f"&after={page['next']}"
    assert page["next"] is None
    assert seen == ids[::-1]
    assert http.get(api, params={"status": "COMPLETED"}).json()["items"] == []


def test_trials_sort_by_objective_page_by_page(http: httpx.Client, path: str) -> None:
    query: dict[str, str | int] = {"sort": "best_objective", "order": "desc", "limit": 2}
    first = http.get(f"{path}/trials", params=query).json()
    second = http.get(f"{path}/trials", params=query | {"after": first["next"]}).json()
    numbers = [item["number"] for item in first["items"] + second["items"]]
    assert numbers == [2, 1, 0]
    assert second["next"] is None
    trial = http.get(f"{path}/trials/2").json()
    assert trial == first["items"][0]
    assert trial["config"] == {"x": 3.0, "fail": False} or trial["config"] == {"x": 3.0}
    assert (trial["iteration"], trial["steps"], len(trial["seeds"])) == (4, 400, 3)
    assert trial["objective"] == pytest.approx(12, abs=1e-3)


def test_a_curve_has_each_iteration_and_each_seed(http: httpx.Client, path: str) -> None:
    curve = http.get(f"{path}/trials/1/curve").json()
    assert curve["metric"] == "score"
    assert [p["iteration"] for p in curve["points"]] == [1, 2, 3, 4]
    assert [p["steps"] for p in curve["points"]] == [100, 200, 300, 400]
    assert [p["value"] for p in curve["points"]] == pytest.approx([2, 4, 6, 8], abs=1e-3)
    assert {len(p["replicas"]) for p in curve["points"]} == {3}
    thin = http.get(f"{path}/trials/1/curve", params={"max_points": 2}).json()["points"]
    assert [p["iteration"] for p in thin] == [1, 4]
    for odd in ('a"b', "a'b", "$.x", "a.b", "é"):
        query = {"metric": odd}
        assert http.get(f"{path}/trials/1/curve", params=query).json()["points"] == [], odd
    assert http.get(f"{path}/trials/1/curve", params={"metric": "\0"}).status_code == 422
    steps = {"metric": "num_env_steps_sampled_lifetime"}
    assert http.get(f"{path}/trials/1/curve", params=steps).json()["points"][0]["value"] == 100


def test_the_best_curves_come_together(http: httpx.Client, path: str) -> None:
    body = http.get(f"{path}/curves", params={"top": 2}).json()
    assert [curve["trial"] for curve in body["curves"]] == [2, 1]
    assert len(body["curves"][0]["points"]) == 4


def test_results_come_as_json_and_as_csv(http: httpx.Client, path: str) -> None:
    results = http.get(f"{path}/results").json()
    assert [each["trial"] for each in results] == [0, 1, 2]
    assert results[2]["metrics"]["score"] == pytest.approx(12, abs=1e-3)
    assert results[2]["statistics"]["n"] == 3
    assert len(set(results[2]["statistics"]["values"])) == 3
    answer = http.get(f"{path}/results.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["config/x"]) for row in rows] == [1, 2, 3]
    assert float(rows[1]["metrics/score"]) == results[1]["metrics"]["score"]
    assert float(rows[1]["objective/std"]) == results[1]["statistics"]["std"]


def test_the_best_trial_has_statistics(http: httpx.Client, path: str, done: Json) -> None:
    best = http.get(f"{path}/best").json()
    assert done["best"] == {"trial": 2, "objective": best["best_objective"]}
    assert (best["number"], best["statistics"]["n"]) == (2, 3)


def test_the_best_checkpoint_is_a_zip_with_its_checksum(http: httpx.Client, path: str) -> None:
    answer = http.get(f"{path}/best/checkpoint")
    assert answer.headers["content-type"] == "application/zip"
    assert hashlib.sha256(answer.content).hexdigest() == answer.headers["x-checksum-sha256"]
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert {name.rpartition("/")[2] for name in file.namelist()} >= {"state.json"}
    etag = answer.headers["etag"]
    again = http.get(f"{path}/best/checkpoint", headers={"If-None-Match": f'"x", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = http.get(f"{path}/best/checkpoint", headers={"If-None-Match": '"x"'})
    assert other.content == answer.content


def test_a_client_downloads_and_unpacks_the_best_checkpoint(
    client: Client, done: Json, tmp_path: Path
) -> None:
    there = client.download_best(done["id"], tmp_path / "best")
    replica = next(path.parent for path in sorted(there.rglob("state.json")))
    state, meta = checkpoints.load(str(replica))
    assert meta["trainable"] == "quick"
    assert state.values["iteration"] == 4
    with pytest.raises(Conflict, match="already there"):
        client.download_best(done["id"], there)


def test_events_tell_what_happened_from_where_one_left_off(client: Client, done: Json) -> None:
    events = client.events(done["id"])
    assert events
    assert client.events(done["id"], after=events[0]["id"]) == events[1:]


def test_failed_trials_show_their_error_and_the_others_go_on(
    client: Client, worker: Worker
) -> None:
    spec = sweep(param_space={"x": 1.0, "fail": {"grid_search": [True, False]}})
    ended = client.wait(client.create(spec)["id"], poll=0.05, timeout=60)
    assert ended["counts"] == {"ERROR": 1, "TERMINATED": 1}
    (failed,) = client.trials(ended["id"], status="ERROR")
    assert "RuntimeError: asked to fail" in failed["error"]
    assert "Traceback" in failed["error"]
    assert ended["best"]["trial"] == 1


def test_nan_and_infinity_leave_as_null(client: Client, worker: Worker, http: httpx.Client) -> None:
    id = client.create(sweep("nan"))["id"]
    client.wait(id, poll=0.05, timeout=60)

    def refuse(word: str) -> None:
        pytest.fail(f"{word} in JSON")

    for rest in ("", "/trials", "/results", "/trials/0", "/trials/0/curve", "/events"):
        text = http.get(f"/api/v1/experiments/{id}{rest}").text
        json.loads(text, parse_constant=refuse)
    assert client.trial(id, 0)["last"]["other"] is None
    with pytest.raises(NotFound, match="score"):
        client.best(id)


def test_a_waiting_experiment_is_canceled_at_once(client: Client) -> None:
    id = client.create(sweep())["id"]
    assert client.cancel(id)["status"] == "CANCELED"
    assert client.cancel(id)["status"] == "CANCELED"


def test_a_running_experiment_is_canceled(client: Client, worker: Worker) -> None:
    id = client.create(sweep(stop={"training_iteration": 1_000_000}))["id"]
    until(lambda: client.get(id)["counts"].get("RUNNING"), "a running trial")
    assert client.ready()["worker"] == "busy"
    assert client.cancel(id)["request"] == "cancel"
    ended = client.wait(id, poll=0.05, timeout=60)
    assert ended["status"] == "CANCELED"
    assert set(ended["counts"]) == {"CANCELED"}
    assert client.cancel(id)["status"] == "CANCELED"


def test_a_running_experiment_is_paused_and_goes_on(client: Client, worker: Worker) -> None:
    id = client.create(sweep(stop={"training_iteration": 1_000_000}))["id"]
    until(lambda: client.get(id)["counts"].get("RUNNING"), "a running trial")
    until(lambda: client.trial(id, 0)["iteration"], "a first result")
    assert client.pause(id)["request"] == "pause"
    until(lambda: client.get(id)["status"] == "PAUSED", "the pause")
    before = client.trial(id, 0)["iteration"]
    client.resume(id)
    until(lambda: client.trial(id, 0)["iteration"] > before, "a result after the pause")
    client.cancel(id)
    assert client.wait(id, poll=0.05, timeout=60)["status"] == "CANCELED"


def test_what_has_completed_cannot_be_canceled(client: Client, done: Json) -> None:
    with pytest.raises(Conflict, match="COMPLETED"):
        client.cancel(done["id"])


def test_trainables_are_listed_with_their_schemas(client: Client) -> None:
    found = {each["name"]: each for each in client.trainables()}
    assert found["quick"]["schema"]["properties"]["x"]["maximum"] == 10
    assert "PPO" in found


def test_readiness_tells_of_store_and_worker(http: httpx.Client, client: Client) -> None:
    assert client.ready() == {"status": "ready", "schema": "0001", "worker": "unknown"}
    assert set(http.get("/api/v1/version").json()) == {"version"}
    assert http.get("/docs").status_code == 404
    paths = http.get("/openapi.json").json()["paths"]
    assert "/api/v1/experiments/{id}:cancel" in paths


def test_the_main_flow_on_postgresql(settings: Settings, postgres_url: str) -> None:
    there = read_settings(**settings.model_dump() | {"store_url": postgres_url})
    with serving(there) as url, working(there), Client(url) as client:
        id = client.create(sweep(num_seeds=2), idempotency_key="once")["id"]
        assert client.create(sweep(num_seeds=2), idempotency_key="once")["id"] == id
        assert client.wait(id, poll=0.05, timeout=60)["status"] == "COMPLETED"
        assert [each["trial"] for each in client.results(id)] == [0, 1, 2]
        assert client.best(id)["number"] == 2
        assert client.curve(id, 0, 'a"b') == []
        with pytest.raises(NotFound):
            client.get("none")
