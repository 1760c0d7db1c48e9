"""The pages in a real browser, on a made-up API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Open, at_work, until
from tests.dashboard.fake import LOSS, World, make_trial

CURVE_LINES = "[...document.querySelector('.curves .chart').data].filter(t => t.name).length"


def column(page: Page, title: str) -> list[str]:
    """The texts of one column of the first table."""
    heads = [text.strip() for text in page.locator("thead th").all_inner_texts()]
    at = next(i for i, text in enumerate(heads) if text == title)
    texts = page.locator(f"tbody tr td:nth-child({at + 1})").all_inner_texts()
    return [text.strip() for text in texts]


def test_no_experiment_tells_how_to_submit_one(open_page: Open, world: World) -> None:
    world.experiments.clear()
    page = open_page()
    expect(page.locator("pre")).to_have_text("tunerl submit examples/cartpole_ppo.yaml")


def test_experiments_come_newest_first_and_filter(open_page: Open, world: World) -> None:
    world.add("walker", [make_trial(0)], environment="Walker2d-v5")
    world.add("broken", [], status="ERROR", reason="no such environment")
    page = open_page()
    names = page.locator("td a.name")
    expect(names).to_have_text(["broken", "walker", "sweep"])
    expect(page.locator("tbody tr").first).to_contain_text("no such environment")
    page.get_by_label("Filter by name").fill("walk")
    expect(names).to_have_text(["walker"])
    assert "q=walk" in page.url
    page.get_by_label("Filter by name").fill("")
    page.get_by_label("Status").select_option("ERROR")
    expect(names).to_have_text(["broken"])
    page.get_by_label("Filter by name").fill("nothing like it")
    expect(page.locator(".empty")).to_contain_text("No experiment matches")


def test_experiments_beyond_a_page_are_loaded_on_request(open_page: Open, world: World) -> None:
    for number in range(60):
        world.add(f"more-{number:02d}", [])
    page = open_page()
    expect(page.locator("td a.name")).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(page.locator("td a.name")).to_have_count(61)
    expect(page.get_by_role("button", name="Load more")).to_be_hidden()


def test_experiment_page_shows_the_best_trial(open_page: Open, world: World) -> None:
    page = open_page("#/experiments/sweep")
    best = world.experiments["sweep"]["best"]
    card = page.locator(".best")
    expect(card.locator(".value strong")).to_have_text(f"{best['objective']:.1f}")
    expect(card).to_contain_text(f"Trial #{best['trial']}")
    expect(card).to_contain_text("IQM")
    expect(card.locator(".stacked dt").first).to_have_text("lr")


def test_columns_are_the_hyperparameters_that_vary(open_page: Open) -> None:
    page = open_page("#/experiments/sweep")
    expect(page.locator("tbody tr").first).to_be_visible()
    heads = page.locator("thead th").all_inner_texts()
    assert {"lr", "gamma", "fcnet_activation", "num_epochs"} <= set(heads)
    assert not {"env", "fcnet_hiddens"} & set(heads)


def test_table_sorts_by_keyboard_and_says_so(open_page: Open) -> None:
    page = open_page("#/experiments/sweep")
    button = page.get_by_role("button", name="Best", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    head = page.locator("th", has=button)
    expect(head).to_have_attribute("aria-sort", "descending")
    values = [float(text) for text in column(page, "Best") if text != "–"]
    assert values == sorted(values, reverse=True)
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert [float(t) for t in column(page, "Best") if t != "–"] == sorted(values)
    assert "sort=best_objective" in page.url


def test_address_brings_back_the_view(open_page: Open) -> None:
    page = open_page("#/experiments/sweep?sort=-hp:lr&q=lr>1e-4&cols=" + LOSS)
    expect(page.locator("th[aria-sort=descending]")).to_have_text("lr")
    rates = [float(text) for text in column(page, "lr")]
    assert rates == sorted(rates, reverse=True)
    assert min(rates) >= 1e-4
    assert len(column(page, "policy_loss")) == len(rates)


def test_column_chooser_adds_a_metric(open_page: Open) -> None:
    page = open_page("#/experiments/sweep")
    page.get_by_text("Columns").click()
    page.get_by_label("Find a metric").fill("policy")
    page.get_by_label(LOSS).check()
    expect(page.get_by_role("button", name="policy_loss")).to_be_visible()
    assert LOSS in page.url
    page.keyboard.press("Escape")
    expect(page.get_by_label(LOSS)).to_be_hidden()


def test_failed_trial_says_why_in_the_table_and_on_its_page(open_page: Open) -> None:
    page = open_page("#/experiments/sweep?status=ERROR")
    row = page.locator("tr.failed").first
    expect(row).to_contain_text("ValueError: loss is not finite")
    row.get_by_role("link").click()
    expect(page.locator(".failure pre")).to_contain_text("Traceback (most recent call last)")
    expect(page.locator("h1")).to_have_text("Trial #4")
    expect(page.locator(".crumbs")).to_contain_text("sweep")


def test_curves_of_the_best_or_of_the_ticked(open_page: Open) -> None:
    page = open_page("#/experiments/sweep")
    until(page, f"document.querySelector('.curves .chart').data && {CURVE_LINES} === 10")
    page.get_by_label("Show", exact=True).select_option("5")
    until(page, f"{CURVE_LINES} === 5")
    page.get_by_label("Show the curve of trial 3", exact=True).check()
    page.get_by_label("Show the curve of trial 7", exact=True).check()
    until(page, f"{CURVE_LINES} === 2")
    expect(page.locator(".keys a")).to_have_text(["#3", "#7"])
    assert "sel=3,7" in page.url
    page.get_by_role("button", name="Clear selection").click()
    until(page, f"{CURVE_LINES} === 5")


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("x=iteration", "chart.data.at(-1).x[1] === 2"),
        ("x=time", "Math.abs(chart.data.at(-1).x[1] - 1.22) < 1e-9"),
        ("log=1", "chart.layout.yaxis.type === 'log'"),
        (f"metric={LOSS}", "chart.layout.yaxis.title.text.endsWith('policy_loss')"),
    ],
)
def test_curves_follow_their_controls(open_page: Open, query: str, expression: str) -> None:
    page = open_page(f"#/experiments/sweep?{query}")
    until(
        page,
        f"(() => {{ const chart = document.querySelector('.curves .chart'); "
        f"return chart?.data?.length && ({expression}); }})()",
    )


def test_smoothing_changes_the_lines(open_page: Open) -> None:
    page = open_page("#/experiments/sweep?top=5")
    first = "document.querySelector('.curves .chart')?.data?.at(-1).y.join()"
    until(page, first)
    before = page.evaluate(first)
    page.get_by_label("Smoothing").focus()
    page.keyboard.press("End")
    until(page, f"{first} !== {before!r}")
    assert "smooth=0.95" in page.url


def test_one_scatter_for_each_hyperparameter(open_page: Open) -> None:
    page = open_page("#/experiments/sweep?tab=parameters")
    until(
        page,
        "document.querySelectorAll('.grid .chart').length === 6 && "
        "[...document.querySelectorAll('.grid .chart')].every(c => c.data?.length)",
    )
    facts: dict[str, Any] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.grid .chart')].map(c => "
        "[c.layout.xaxis.title.text, [c.layout.xaxis.type, c.data.map(t => t.name), "
        "c.data.reduce((n, t) => n + t.x.length, 0)]]))"
    )
    assert facts["lr"][0] == "log"
    assert facts["gamma"][0] == "linear"
    assert facts["lr"][1] == ["failed", "stopped early", "finished", "best"]
    assert all(count == 30 for _, _, count in facts.values())


def test_point_of_a_scatter_opens_its_trial(open_page: Open) -> None:
    page = open_page("#/experiments/sweep?tab=parameters")
    star = page.locator(".grid .chart").first.locator(".trace").last.locator("path.point")
    star.scroll_into_view_if_needed()
    box = star.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("h1")).to_contain_text("Trial #")


def test_tabs_follow_the_arrow_keys(open_page: Open, world: World) -> None:
    world.events.append(
        {"id": 1, "kind": "trial.error", "trial": 4, "message": "it broke", "data": {},
         "created_at": "2026-11-20T10:00:00Z"}
    )  # fmt: skip
    page = open_page("#/experiments/sweep")
    page.get_by_role("tab", name="Trials").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Events")).to_be_focused()
    expect(page.locator(".events li")).to_contain_text("it broke")
    assert "tab=events" in page.url


def test_trial_page_shows_every_replica(open_page: Open, world: World) -> None:
    page = open_page("#/experiments/sweep/trials/2")
    expect(page.locator(".columns table").first.locator("tbody tr")).to_have_count(4)
    until(page, "document.querySelector('.chart').data?.length === 5")
    expect(page.locator(".trial")).to_contain_text("stop rule")


def test_best_checkpoint_is_downloaded(open_page: Open) -> None:
    page = open_page("#/experiments/sweep")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download best checkpoint").click()
    assert download.value.suggested_filename == "sweep-best.zip"
    assert Path(download.value.path()).read_bytes()[:2] == b"PK"


def test_config_is_copied_as_python(open_page: Open, world: World) -> None:
    page = open_page("#/experiments/sweep", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as Python config").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    scope: dict[str, Any] = {}
    exec(page.evaluate("navigator.clipboard.readText()"), scope)
    best = world.experiments["sweep"]["best"]["trial"]
    assert scope["config"] == world.trials["sweep"][best]["config"]


def test_markup_in_names_and_errors_is_text(open_page: Open, world: World) -> None:
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    trial = make_trial(0)
    trial |= {"status": "ERROR", "error": evil, "last": {**trial["last"], evil: 1.0}}
    trial["config"] = {**trial["config"], evil: evil}
    other = make_trial(1)
    other["config"] = {**other["config"], evil: "harmless"}
    world.add("evil", [trial, other], name=evil, environment=evil, reason=evil)
    world.events.append(
        {"id": 1, "kind": evil, "trial": 0, "message": evil, "data": {}, "created_at": None}
    )
    addresses = ("", "experiments/evil", "experiments/evil?tab=parameters",
                 "experiments/evil?tab=events", "experiments/evil/trials/0")  # fmt: skip
    for address in addresses:
        page = open_page(f"#/{address}")
        expect(page.locator("main")).to_contain_text("<script>window.hacked")
        if "tab=parameters" in address:
            until(page, "[...document.querySelectorAll('.grid .chart')].at(-1)?.data")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, main img, .main-svg image").count() == 0


def test_unknown_addresses_are_told(open_page: Open) -> None:
    for address in ("#/experiments/nope", "#/nowhere", "#/experiments/sweep/trials/999"):
        page = open_page(address)
        expect(page.get_by_role("alert").filter(has_text="Not found")).to_be_visible()


def seconds_to_open(page: Page) -> float:
    """From the list to the first hundred rows of the experiment ``big``."""
    page.evaluate("location.hash = '#/'")
    expect(page.locator("td a.name").first).to_be_visible()
    with at_work(page) as spent:
        page.evaluate("location.hash = '#/experiments/big?top=20'")
        until(page, "document.querySelectorAll('[role=tabpanel] tbody tr').length === 100")
    return spent[0]


def test_a_thousand_trials_show_in_two_seconds(open_page: Open, world: World) -> None:
    world.add("big", [make_trial(number) for number in range(1000)])
    page = open_page("#/")
    assert 0 < seconds_to_open(page) < 2
    expect(page.locator(".pager")).to_contain_text("1–100 of 1,000")
    until(page, f"document.querySelector('.curves .chart').data && {CURVE_LINES} === 20")
    sorting = """(() => {
        const all = [...document.querySelectorAll('th button')];
        const best = all.find(b => b.textContent === 'Best');
        const start = performance.now();
        best.click();
        return performance.now() - start;
    })()"""
    assert min(page.evaluate(sorting) for _ in range(3)) < 200
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Best")
    page.get_by_role("button", name="Last »").click()
    expect(page.locator(".pager")).to_contain_text("901–1,000 of 1,000")


@pytest.mark.parametrize("address", ["", "experiments/sweep", "experiments/sweep/trials/4"])
@pytest.mark.parametrize("width", [400, 1280])
def test_page_is_never_wider_than_the_window(open_page: Open, address: str, width: int) -> None:
    page = open_page(f"#/{address}", viewport={"width": width, "height": 800})
    expect(page.locator("table tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
