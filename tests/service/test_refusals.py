"""Every request that the API refuses: status, problem+json, and a sentence that helps."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.settings import Settings, read_settings
from tests.service.conftest import quick_settings, serving, sweep
from tunerl.errors import InvalidInput

POST = "/api/v1/experiments"
MEGABYTE = b" " * (1 << 20)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One service for the module: what is refused leaves nothing behind."""
    with serving(quick_settings(tmp_path_factory.mktemp("refusals"))) as address:
        yield address


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"trainable": "quik"}, "trainable", "quick"),
        ({"param_space": {"y": 1.0}}, "param_space.y", "y"),
        ({"param_space": {"x": {"uniform": [0, 99]}}}, "param_space.x", "10"),
        ({"param_space": {"x": "much"}}, "param_space.x", "much"),
        ({"param_space": {"x": {"uniform": [2, 1]}}}, "param_space.x", ""),
        ({"param_space": {"x": {"python": "os.system"}}}, "param_space.x", "Python"),
        ({"param_space": 7}, "param_space", ""),
        ({"mode": "best"}, "mode", "max"),
        ({"mode": None}, "mode", "max"),
        ({"num_samples": "many"}, "num_samples", ""),
        ({"num_seeds": 0}, "num_seeds", ""),
        ({"scheduler": {"type": "ashaa"}}, "scheduler.type", "asha"),
        ({"searcher": {"type": "optunaa"}}, "searcher.type", "optuna"),
        ({"stop": {"training_iteration": "soon"}}, "stop.training_iteration", ""),
        ({"metrik": "score"}, "metrik", "metric"),
        ({"name": "a/b"}, "name", "slash"),
        ({"storage": "/elsewhere"}, "storage", "TUNERL_STORAGE"),
        ({"python": ["param_space.x"]}, "python", "tunerl.Tuner"),
        ({"param_space": {"x": 1.0, "env": "os:Evil-v0"}}, "param_space.env", "import"),
        ({"failure": {"hang_timeout_s": 0}}, "failure.hang_timeout_s", "more than 0"),
        ({"failure": {"hang_timeout_s": "long"}}, "failure.hang_timeout_s", "a number"),
        ({"param_space": {"x": {"grid_search": {"uniform": [0, 1]}}}}, "param_space.x", "list"),
        ({"param_space": {"x": {"choice": []}}}, "param_space.x", "nothing"),
        (
            {"param_space": {"x": {"grid_search": [1.0]}}, "searcher": {"type": "bohb"}},
            "param_space.x",
            "cannot be combined",
        ),
        (
            {"searcher": {"type": "random", "points_to_evaluate": [{"x": 99}]}},
            "searcher.points_to_evaluate[0].x",
            "99",
        ),
        (
            {"scheduler": {"type": "pbt", "hyperparam_mutations": {"y": {"uniform": [0, 1]}}}},
            "scheduler.hyperparam_mutations.y",
            "y",
        ),
        (
            {
                "trainable": "PPO",
                "metric": None,
                "mode": None,
                "param_space": {"env": "CartPole-v1", "lr": {"uniform": [1e-4, 1e-2]}},
                "scheduler": {
                    "type": "pbt",
                    "hyperparam_mutations": {"train_batch_size": {"randint": [64, 128]}},
                },
            },
            "scheduler.hyperparam_mutations.train_batch_size",
            "structural",
        ),
    ],
)
def test_a_wrong_spec_is_422_with_the_path_of_the_field(
    http: httpx.Client, change: dict[str, Any], path: str, words: str
) -> None:
    body = problem(http.post(POST, json=sweep(**change)), 422)
    assert path in [error["path"] for error in body["errors"]]
    assert words in next(e["message"] for e in body["errors"] if e["path"] == path)


def test_all_problems_are_named_at_once(http: httpx.Client) -> None:
    wrong = sweep(param_space={"x": 99.0, "z": 1}, mode="best")
    errors = problem(http.post(POST, json=wrong), 422)["errors"]
    assert {"param_space.x", "param_space.z", "mode"} <= {error["path"] for error in errors}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"seed": 1e999}',
        b'{"name": "\\ud800"}',
        b"[" * 100_000,
        b'{"seed": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_not_json_is_400(http: httpx.Client, raw: bytes) -> None:
    problem(http.post(POST, content=raw, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize("raw", [b"[]", b"3", b'{"name": "\\u0000"}'])
def test_json_that_is_no_experiment_is_422(http: httpx.Client, raw: bytes) -> None:
    problem(http.post(POST, content=raw, headers={"Content-Type": "application/json"}), 422)


def test_another_media_type_is_415_so_that_a_foreign_page_cannot_post(http: httpx.Client) -> None:
    headers = {"Content-Type": "text/plain"}
    problem(http.post(POST, content=json.dumps(sweep()), headers=headers), 415)


def fifty_megabytes() -> Iterator[bytes]:
    for _ in range(50):
        yield MEGABYTE


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_of_fifty_megabytes_is_413(http: httpx.Client, chunked: bool) -> None:
    content = fifty_megabytes() if chunked else MEGABYTE * 50
    headers = {"Content-Type": "application/json"}
    body = problem(http.post(POST, content=content, headers=headers), 413)
    assert "1048576" in body["detail"]
    assert http.get("/healthz").status_code == 200


def test_a_client_that_asks_first_is_told_before_it_sends(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {POST} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 50000000\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/experiments/none",
        "/api/v1/experiments/none/trials",
        "/api/v1/experiments/none/results",
        "/api/v1/experiments/none/results.csv",
        "/api/v1/experiments/none/best",
        "/api/v1/experiments/none/best/checkpoint",
        "/api/v1/experiments/none/events",
        "/api/v1/experiments/%00",
        "/api/v1/nothing",
    ],
)
def test_what_does_not_exist_is_404(http: httpx.Client, path: str) -> None:
    problem(http.get(path), 404)


def test_an_experiment_without_trials_has_no_trial_no_best_no_checkpoint(
    http: httpx.Client,
) -> None:
    path = f"{POST}/{http.post(POST, json=sweep()).json()['id']}"
    for rest in ("/trials/0", "/trials/-1", f"/trials/{10**30}", "/best", "/best/checkpoint"):
        assert problem(http.get(path + rest), 404)["type"] == "tunerl:NotFound"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("status=GONE", "status"),
        ("after=x", "after"),
        (f"after={10**30}", "after"),
    ],
)
def test_a_wrong_query_is_422(http: httpx.Client, query: str, field: str) -> None:
    errors = problem(http.get(f"{POST}?{query}"), 422)["errors"]
    assert errors == [] or errors[0]["path"] == field


def test_a_trial_list_sorts_by_known_columns_only(http: httpx.Client) -> None:
    path = f"{POST}/{http.post(POST, json=sweep()).json()['id']}/trials"
    assert problem(http.get(path, params={"sort": "config"}), 422)["errors"][0]["path"] == "sort"


def test_another_method_is_405(http: httpx.Client) -> None:
    problem(http.delete(POST), 405)


def test_one_key_makes_one_experiment_also_when_two_come_at_once(http: httpx.Client) -> None:
    def submit(body: dict[str, Any]) -> httpx.Response:
        return http.post(POST, json=body, headers={"Idempotency-Key": "k"})

    before = len(http.get(POST, params={"limit": 1000}).json()["items"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(submit, [sweep()] * 4))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(http.get(POST, params={"limit": 1000}).json()["items"]) == before + 1
    assert problem(submit(sweep(num_seeds=2)), 409)["type"] == "tunerl:IdempotencyConflict"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
def test_a_host_that_is_not_ours_is_refused(http: httpx.Client, host: str) -> None:
    problem(http.get(POST, headers={"Host": host}), 421)


def test_a_page_of_another_origin_may_not_change_anything(http: httpx.Client) -> None:
    id = http.post(POST, json=sweep(), headers={"Origin": str(http.base_url)}).json()["id"]
    cancel = f"{POST}/{id}:cancel"
    problem(http.post(cancel, headers={"Origin": "https://evil.example"}), 403)
    problem(http.post(cancel, headers={"Origin": "null"}), 403)
    problem(http.post(cancel, headers={"Origin": "http://[::1"}), 403)
    assert http.get(f"{POST}/{id}").json()["request"] is None


def test_no_other_origin_may_read(http: httpx.Client) -> None:
    answer = http.get(POST, headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_with_a_token_every_api_route_wants_it(settings: Settings) -> None:
    guarded = read_settings(**settings.model_dump() | {"api_token": "s3cret"})
    with serving(guarded) as url, httpx.Client(base_url=url, trust_env=False) as http:
        for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic s3cret"}):
            for path in (POST, "/api/v1/trainables", "/api/v1/version", "/api/v1/nothing"):
                answer = http.get(path, headers=wrong)
                problem(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert http.get(POST, headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert http.get("/healthz").status_code == 200


def test_an_open_address_without_a_token_is_refused(settings: Settings) -> None:
    exposed = read_settings(**settings.model_dump() | {"host": "0.0.0.0"})
    with pytest.raises(InvalidInput, match="TUNERL_API_TOKEN"):
        exposed.require_token()
    read_settings(**exposed.model_dump() | {"api_token": "s3cret"}).require_token()


def test_a_failure_inside_is_500_and_says_nothing_but_logs(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("tunerl.registry.trainables", broken)
    body = problem(http.get("/api/v1/trainables"), 500)
    assert "secret" not in json.dumps(body)
    assert "the secret inside" in caplog.text


def test_a_store_that_cannot_be_opened_is_503_until_it_can(
    settings: Settings, tmp_path: Any
) -> None:
    place = tmp_path / "later"
    place.write_text("in the way")
    late = read_settings(**settings.model_dump() | {"home": place})
    with serving(late) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/healthz").status_code == 200
        problem(http.get("/readyz"), 503)
        problem(http.get(POST), 503)
        place.unlink()
        assert http.get("/readyz").json()["status"] == "ready"
