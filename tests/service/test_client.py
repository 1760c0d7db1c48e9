"""The client on its own: errors come back as themselves, retries, safe unpacking."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service import client as client_module
from service.client import Client
from service.errors import ServiceError, Unreachable, answer, from_problem
from tunerl import errors
from tunerl.errors import (
    CorruptCheckpoint,
    IdempotencyConflict,
    InvalidSpec,
    NotFound,
    Problem,
    TuneRLError,
)

Handler = Callable[[httpx.Request], httpx.Response]


def over(handler: Handler) -> Client:
    """A client whose service is a function."""
    transport = httpx.MockTransport(handler)
    return Client(httpx.Client(transport=transport, base_url="http://service"), token="s3cret")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSES", (0.0, 0.0))


@pytest.mark.parametrize(
    "error",
    [
        InvalidSpec([Problem("mode", "say max or min"), Problem("", "and more")]),
        errors.InvalidInput("no"),
        NotFound("no experiment 'x'"),
        errors.Conflict("too late"),
        IdempotencyConflict("other body"),
        errors.IllegalTransition("no such edge"),
        errors.StoreError("unreachable"),
    ],
)
def test_an_error_crosses_the_wire_as_itself(error: TuneRLError) -> None:
    response = answer(error)
    with pytest.raises(type(error)) as caught:
        over(lambda _: httpx.Response(response.status_code, content=bytes(response.body))).get("x")
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "problems", None) == getattr(error, "problems", None)


def test_an_answer_without_a_body_of_ours_is_an_error_all_the_same() -> None:
    assert isinstance(from_problem(None, 502), ServiceError)
    with pytest.raises(Unreachable, match="not a TuneRL service"):
        over(lambda _: httpx.Response(200, text="<html>")).list()


def test_a_broken_connection_is_tried_again_a_post_with_the_same_key() -> None:
    keys = []

    def flaky(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer s3cret"
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            raise httpx.ReadError("broken")
        return httpx.Response(201, json={"id": "x"})

    assert over(flaky).create({"name": "a"}) == {"id": "x"}
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_service_that_is_not_there_says_how_to_start_one() -> None:
    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="tunerl serve"):
        over(dead).get("x")


def test_pages_are_joined_until_the_limit() -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        first, size = int(request.url.params.get("after", 0)), int(request.url.params["limit"])
        items = [{"number": n} for n in range(first, min(first + min(size, 3), 7))]
        last = first + len(items)
        return httpx.Response(200, json={"items": items, "next": last if last < 7 else None})

    assert [t["number"] for t in over(pages).trials("x")] == list(range(7))
    assert [t["number"] for t in over(pages).trials("x", limit=4)] == list(range(4))


def test_bytes_that_do_not_match_their_checksum_are_refused(tmp_path: Path) -> None:
    def wrong(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"zip", headers={"X-Checksum-SHA256": "0" * 64})

    with pytest.raises(CorruptCheckpoint, match="SHA-256"):
        over(wrong).download_best("x", tmp_path / "best")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo(name), "content")
    content = buffer.getvalue()
    headers = {"X-Checksum-SHA256": hashlib.sha256(content).hexdigest()}
    bad = over(lambda _: httpx.Response(200, content=content, headers=headers))
    with pytest.raises(CorruptCheckpoint):
        bad.download_best("x", tmp_path / "best")
    assert list(tmp_path.iterdir()) == []


def test_waiting_ends_at_its_timeout() -> None:
    running = over(lambda _: httpx.Response(200, json={"status": "RUNNING"}))
    with pytest.raises(TimeoutError):
        running.wait("x", poll=0.0, timeout=0.01)
