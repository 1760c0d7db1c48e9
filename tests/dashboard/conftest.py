"""A browser, and applications served on a port of this machine for it to look at."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.fake import World, make_app, make_trial
from tests.dashboard.fake_inside import add_inside

ARGS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip

expect.set_options(timeout=15_000)  # the machine may be busy with other tests

Serve = Callable[[Any], str]
Open = Callable[..., Page]


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """`app` on a free port of the loopback address, as its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(10)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an application until the test ends."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The installed Chromium, for all tests of this directory."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def world() -> World:
    """One finished experiment of 30 trials, called ``sweep``."""
    world = World()
    world.add("sweep", [make_trial(number) for number in range(30)])
    return world


@pytest.fixture
def open_page(browser: Browser, serve: Serve, world: World) -> Iterator[Open]:
    """Opens an address of the made-up service; `clock`: the test moves the page's time.

    A script error on the page fails the test.
    """
    app = make_app(world)
    add_inside(app, world)
    base = serve(app)
    errors: list[str] = []
    with ExitStack() as stack:

        def opened(address: str = "#/", clock: bool = False, **options: Any) -> Page:
            context = browser.new_context(**options)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            watch(page, errors)
            if clock:
                page.clock.install()
            page.goto(f"{base}/{address}")
            return page

        yield opened
    assert errors == []


@contextmanager
def at_work(page: Page) -> Iterator[list[float]]:
    """Gives, at its end, the seconds of processor time that the page's main thread took: what the
    page costs, whatever else the machine does."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def so_far() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))

    before, spent = so_far(), list[float]()
    yield spent
    spent.append(so_far() - before)
    session.detach()


def until(page: Page, expression: str, timeout: float = 30.0) -> None:
    """Wait for a JavaScript expression to be true (Playwright's own way needs eval: forbidden)."""
    deadline = time.monotonic() + timeout
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never came true: {expression}"
        page.wait_for_timeout(30)


def watch(page: Page, errors: list[str]) -> None:
    """Collect script errors, and what the page asked of other hosts or the policy refused."""
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: errors.append(message.text) if "Content Security" in message.text else None,
    )
    page.on(
        "request",
        lambda request: (
            errors.append(request.url)
            if not request.url.startswith(("http://127.0.0.1:", "blob:", "data:"))
            else None
        ),
    )
