"""The files of the dashboard as HTTP answers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.routes import dashboard
from tests.dashboard.conftest import serving

FILES = sorted(
    path for path in dashboard.ROOT.rglob("*") if path.suffix in dashboard.TYPES and path.is_file()
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(dashboard.router)
    with serving(app) as url, httpx.Client(base_url=url) as client:
        yield client


def test_page_may_load_only_from_its_own_host(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


def test_files_name_no_other_host() -> None:
    assert len(FILES) > 20
    for path in FILES:
        found = set(re.findall(r"https?://[^\s\"'`]+", path.read_text()))
        assert found <= {"http://www.w3.org/2000/svg"}, path


def test_markup_is_never_made_from_text() -> None:
    for path in FILES:
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(dashboard.ROOT)))
def test_file_is_served_and_revalidated(client: httpx.Client, path: Path) -> None:
    name = path.relative_to(dashboard.ROOT).as_posix()
    url = "/" if name == "index.html" else f"/static/{name}"
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == dashboard.TYPES[path.suffix]
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get(url, headers={"If-None-Match": f'"old", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(url, headers={"If-None-Match": '"old"'}).status_code == 200


def test_plotly_of_the_installed_version_is_kept_for_a_year(client: httpx.Client) -> None:
    found = re.search(r'/static/plotly\.min\.js\?v=[^"]+', client.get("/").text)
    assert found
    answer = client.get(found.group())
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert b"plotly.js v" in answer.content[:200]
    held = {"If-None-Match": answer.headers["etag"]}
    assert client.get(found.group(), headers=held).status_code == 304


def test_plotly_of_another_version_is_revalidated(client: httpx.Client) -> None:
    assert client.get("/static/plotly.min.js?v=0").headers["cache-control"] == "no-cache"


def test_plotly_without_gzip_is_plain_and_has_its_own_etag(client: httpx.Client) -> None:
    plain = client.get("/static/plotly.min.js", headers={"Accept-Encoding": "identity"})
    zipped = client.get("/static/plotly.min.js", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert plain.content == zipped.content
    assert plain.headers["etag"] != zipped.headers["etag"]
    assert len(gzip.compress(plain.content, 1)) < len(plain.content) / 2


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "js", "..%2fapp.py", "..%2f..%2fpyproject.toml", "js/%2e%2e/%2e%2e/app.py",
     "package.json", "%00.js", "%2fetc%2fpasswd", "js/" + "a" * 5000 + ".js"],
)  # fmt: skip
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_head_has_the_headers_and_no_body(client: httpx.Client) -> None:
    answer = client.head("/static/style.css")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == client.get("/static/style.css").headers["etag"]
