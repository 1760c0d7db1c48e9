"""What the pages do while things change: polling, loss of the API, tokens, contrast by scheme."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Open, until
from tests.dashboard.fake import World, advance, make_trial


@pytest.fixture
def running(world: World) -> World:
    """``live``: two trials are over, one runs, one waits."""
    statuses = ["TERMINATED", "TERMINATED", "RUNNING", "PENDING"]
    world.add("live", [make_trial(i, status=s) for i, s in enumerate(statuses)], status="RUNNING")
    return world


def row(page: Page, number: int) -> str:
    return f"tr:has(a[aria-label='Trial {number}'])"


def test_results_appear_by_themselves(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live")
    expect(page.locator(row(page, 2))).to_contain_text("running")
    page.evaluate("document.querySelector('tbody tr').dataset.kept = 'yes'")
    trials = running.trials["live"]
    trials[2] = advance({**trials[2], "status": "TERMINATED", "reason": "stop_rule"}, 24)
    trials[3] = advance({**trials[3], "status": "RUNNING"}, 3)
    running.refresh("live")
    assert running.experiments["live"]["starting"] == 0
    running.requests.clear()
    expect(page.locator(row(page, 2))).to_contain_text("stop rule")
    expect(page.locator(row(page, 3))).to_contain_text("running")
    assert page.locator("tbody tr").first.get_attribute("data-kept") == "yes"
    assert sum(path.endswith("/trials") for path in running.requests) <= 2


def settle(page: Page, world: World) -> None:
    """Wait until what was asked led to no further request."""
    before = -1
    while before != len(world.requests):
        before = len(world.requests)
        page.wait_for_timeout(400)


def asked_within(page: Page, world: World, seconds: int) -> list[str]:
    """What the page asks for while so much of its time passes."""
    settle(page, world)
    world.requests.clear()
    page.clock.run_for(seconds * 1000)
    settle(page, world)
    return list(world.requests)


def test_who_has_no_result_yet_is_starting(open_page: Open, running: World) -> None:
    running.trials["live"][2]["iteration"] = 0
    running.refresh("live")
    page = open_page("#/experiments/live")
    expect(page.locator(".legend")).to_contain_text("1 of them starting, no result yet")


def test_polling_ends_with_the_experiment(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live", clock=True)
    expect(page.locator("h1")).to_have_text("live")
    assert asked_within(page, running, 3)
    running.experiments["live"] |= {"status": "COMPLETED", "ended_at": "2026-11-20T10:05:00Z"}
    page.clock.run_for(3000)  # by itself the page may have asked before
    expect(page.locator(".head .pill")).to_contain_text("completed")
    assert asked_within(page, running, 60) == []


def test_hidden_tab_asks_nothing(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live", clock=True)
    expect(page.locator("h1")).to_have_text("live")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true});"
        "window.away = true"
    )
    assert asked_within(page, running, 60) == []
    with page.expect_response("**/experiments/live"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_nothing_new_costs_one_request_a_poll(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live", clock=True)
    expect(page.locator("h1")).to_have_text("live")
    begin = time.monotonic()
    asked = asked_within(page, running, 3)
    passed = 3.0 + time.monotonic() - begin  # the page's clock runs on by itself, too
    assert set(asked) == {"/api/v1/experiments/live"}
    assert 1 <= len(asked) <= 1 + passed / 2.0


def test_banner_while_the_api_is_away(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live")
    expect(page.locator("h1")).to_have_text("live")
    running.down = True
    banner = page.locator("#banner")
    expect(banner).to_contain_text("cannot be reached")
    expect(page.locator("h1")).to_have_text("live")
    running.down = False
    expect(banner).to_be_hidden()


def test_token_is_asked_for_and_kept_for_the_tab(open_page: Open, world: World) -> None:
    world.token = "open sesame"
    page = open_page("#/")
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("dialog")).to_contain_text("refused")
    page.get_by_role("textbox", name="Token").fill("open sesame")
    page.keyboard.press("Enter")
    expect(page.locator("td a.name")).to_have_text(["sweep"])
    page.reload()
    expect(page.locator("td a.name")).to_have_text(["sweep"])
    expect(page.locator("dialog")).to_have_count(0)
    assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_cancel_asks_first(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Keep running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert running.experiments["live"]["status"] == "RUNNING"
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel experiment").click()
    expect(page.locator(".head .pill")).to_contain_text("canceling")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()


def test_zoom_stays_while_results_come_in(open_page: Open, running: World) -> None:
    page = open_page("#/experiments/live")
    chart = "document.querySelector('.curves .chart')"
    until(page, f"{chart}?.data?.length")
    page.evaluate(f"Plotly.relayout({chart}, {{'xaxis.range': [0, 12345]}})")
    trials = running.trials["live"]
    trials[2] = advance(trials[2], 20)
    running.refresh("live")
    until(page, f"{chart}.data.some(t => t.name === '#2' && t.x.length === 20)")
    assert page.evaluate(f"{chart}.layout.xaxis.range") == [0, 12345]


def luminance(color: str) -> float:
    """Relative luminance of a ``#rrggbb`` colour (WCAG 2.2)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(open_page: Open, scheme: str) -> None:
    page = open_page("#/", color_scheme=scheme)
    names = [
        "page", "surface", "raised", "row", "bad-row", "text", "muted", "accent", "on-accent",
        "good", "bad", "warn", "idle", "control", *(f"c{i}" for i in range(1, 9)),
    ]  # fmt: skip
    colors: dict[str, str] = page.evaluate(
        "names => { const s = getComputedStyle(document.documentElement);"
        "return Object.fromEntries(names.map(n => [n, s.getPropertyValue('--' + n).trim()])); }",
        names,
    )
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors.values()), colors
    for word in ("text", "muted", "accent", "good", "bad", "warn", "idle"):
        for ground in ("page", "surface", "raised", "row"):
            assert contrast(colors[word], colors[ground]) >= 4.5, (word, ground)
    assert contrast(colors["bad"], colors["bad-row"]) >= 4.5
    assert contrast(colors["on-accent"], colors["accent"]) >= 4.5
    for line in ("control", *(f"c{i}" for i in range(1, 9))):
        assert contrast(colors[line], colors["surface"]) >= 3, line


def test_charts_follow_the_scheme(open_page: Open) -> None:
    page = open_page("#/experiments/sweep", color_scheme="light")
    color = "document.querySelector('.curves .chart')?.data?.at(-1).line.color"
    until(page, color)
    light = page.evaluate(color)
    page.emulate_media(color_scheme="dark")
    until(page, f"{color} !== {light!r}")
