"""A real service: uvicorn on a free port over HTTP, SQLite on disk, a worker in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service.app import create_app
from service.client import Client
from service.serve import address, listen
from service.settings import Settings, read_settings
from service.worker import Worker
from tests.service import trainables

Json = dict[str, Any]
DEADLINE = 60.0


@pytest.fixture(autouse=True)
def _registered() -> None:
    trainables.register()


def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """The first truthy answer of `condition`; fails the test when none comes."""
    end, pause = time.monotonic() + deadline, threading.Event()
    while not (answer := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline} s for {what}")
        pause.wait(0.02)
    return answer


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """An API at a free port; its address."""
    with listen(settings) as sock:
        config = uvicorn.Config(create_app(settings), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        until(lambda: server.started, "uvicorn")
        try:
            yield address(sock)
        finally:
            server.should_exit = True
            thread.join(DEADLINE)


@contextmanager
def working(settings: Settings) -> Iterator[Worker]:
    """A worker in a thread of this process."""
    worker = Worker(settings)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def quick_settings(home: Path) -> Settings:
    return read_settings(home=home, port=0, runtime="local", poll_seconds=0.02, lease_seconds=5.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return quick_settings(tmp_path)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    """Plain HTTP to the API."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    with working(settings) as worker:
        yield worker


def sweep(trainable: str = "quick", **more: Any) -> Json:
    """A small valid experiment; grids make its trials known beforehand."""
    return {
        "name": "small",
        "trainable": trainable,
        "metric": "score",
        "mode": "max",
        "param_space": {"x": {"grid_search": [1.0, 2.0, 3.0]}},
        "stop": {"training_iteration": 4},
        **more,
    }
