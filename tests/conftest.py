"""What all tests share: one Ray and one PostgreSQL for the session, an empty home."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import postgres
from tunerl import registry

if TYPE_CHECKING:
    from tunerl.runtime.ray import RayRuntime


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing a test does reaches the home of the person who runs it."""
    path = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TUNERL_HOME", str(path))
    monkeypatch.delenv("TUNERL_STORE_URL", raising=False)
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server for the session."""
    with postgres.server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """An empty PostgreSQL database."""
    name = f"t{secrets.token_hex(6)}"
    yield postgres.create_database(postgres_server.url, name)
    postgres.drop_database(postgres_server.url, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tunerl.db"
    made: str = request.getfixturevalue("postgres_url")
    return made


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray of two CPUs for the whole session; runtimes that come later connect to it."""
    import ray

    from tunerl.runtime.ray import RayRuntime

    if ray.is_initialized():  # by an agent of an earlier test with runners in actors
        ray.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        runtime = RayRuntime(num_cpus=2)
    yield
    runtime.shutdown()


@pytest.fixture
def ray_runtime(ray_cluster: None) -> Iterator[RayRuntime]:
    """A runtime on the session's Ray; its actors end with the test."""
    from tunerl.runtime.ray import RayRuntime

    runtime = RayRuntime()
    yield runtime
    runtime.shutdown()


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    for name in ("_environments", "_shared", "_trainables"):
        monkeypatch.setattr(registry, name, {})
