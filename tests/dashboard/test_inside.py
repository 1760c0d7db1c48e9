"""The sections on what went on inside a sweep and what it was worth, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard import fake_inside
from tests.dashboard.conftest import Open, at_work, until
from tests.dashboard.fake import World

CHART = "document.querySelector('[role=tabpanel] .chart')"


def drawn(page: Page, expression: str = "true") -> None:
    until(page, f"{CHART}?.data?.length && ({expression})")


def test_front_is_drawn_and_marked_in_the_table(open_page: Open, world: World) -> None:
    fake_inside.add_objectives(world, 30, [2, 5, 11])
    page = open_page("#/experiments/two?tab=pareto")
    drawn(page, f"{CHART}.data.find(t => t.name === 'on the front').x.length === 3")
    shape = f"{CHART}.data.find(t => t.name === 'outline').line.shape"
    assert page.evaluate(shape) == "vh"  # more of x is better
    expect(page.locator("[role=tabpanel] tbody tr")).to_have_count(3)
    page.get_by_label("x", exact=True).last.select_option(fake_inside.COST)
    drawn(page, f"{shape} === 'hv'")
    page.get_by_role("tab", name="Trials").click()
    expect(page.locator("td.on-front", has_text="◆")).to_have_count(3)
    page.get_by_role("button", name="Front").click()
    expect(page.locator("tbody tr").first).to_contain_text("◆")


def test_baseline_and_confirmation_stand_beside_the_sweep(open_page: Open, world: World) -> None:
    fake_inside.add_evidence(world)
    page = open_page("#/experiments/sweep?tab=evidence")
    drawn(
        page, f"{CHART}.data.filter(t => t.name).map(t => t.name).join() === 'sweep-random,sweep'"
    )
    assert page.evaluate(f"{CHART}.data.some(t => t.fill === 'toself')")  # the interval over seeds
    panel = page.locator("[role=tabpanel]")
    expect(panel).to_contain_text("random search: 420 after 110")
    rows = panel.locator(".ranking tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("#7")
    expect(rows.first).to_contain_text("446 … 464")
    expect(rows.first).to_contain_text("3 of 4")
    until(page, "document.querySelector('.ranking .chart')?.data?.[1].error_x.array[0] === 9")


def test_baseline_is_submitted_after_a_question(open_page: Open, world: World) -> None:
    world.inside["sweep", "incumbent"] = fake_inside.incumbent(100, 480.0)
    world.inside["sweep-baseline", "incumbent"] = {
        **fake_inside.incumbent(1, 1),
        "improvements": [],
    }
    page = open_page("#/experiments/sweep?tab=evidence")
    expect(page.locator("[role=tabpanel]")).to_contain_text("Without a baseline")
    page.get_by_role("button", name="Run random baseline").click()
    expect(page.get_by_role("button", name="Not now")).to_be_focused()
    page.get_by_role("button", name="Submit baseline").click()
    expect(page.locator(".made")).to_contain_text("sweep-baseline")
    expect(page.locator(".made .pill")).to_contain_text("pending")
    page.get_by_role("link", name="sweep-baseline").click()
    expect(page.locator(".head")).to_contain_text("Random baseline of")
    page.get_by_role("link", name="TuneRL").click()
    expect(page.locator("tbody tr").first).to_contain_text("random baseline · PPO")


def test_a_confirmation_opens_with_its_ranking(open_page: Open, world: World) -> None:
    fake_inside.add_evidence(world)
    page = open_page("#/experiments/sweep-confirm")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Ranking")
    expect(page.locator(".head")).to_contain_text("Confirmation of")
    drawn(page, f"{CHART}.data[0].x.join() === '490,470'")  # what tuning showed, best rank on top
    expect(page.get_by_role("tab", name="Evidence")).to_have_count(0)


def test_importance_has_its_interval_or_says_why_not(open_page: Open, world: World) -> None:
    fake_inside.add_evidence(world)
    page = open_page("#/experiments/sweep?tab=parameters")
    bars = "document.querySelector('.importance .chart')"
    until(page, f"{bars}?.data?.[0].x.join() === '0.1,0.3,0.6'")
    expect(page.locator(".importance")).to_contain_text("finished trials (those stopped early")
    reach = page.evaluate(f"{bars}.data[0].error_x")
    assert reach["array"][2] == pytest.approx(0.12)
    assert reach["arrayminus"][2] == pytest.approx(0.3)
    page.get_by_label("Method").select_option("fanova")
    expect(page.locator(".importance")).to_contain_text("at least 10")
    expect(page.locator(".importance .chart")).to_be_hidden()
    assert "imp=fanova" in page.url


def test_the_page_goes_on_while_importances_are_computed(open_page: Open, world: World) -> None:
    fake_inside.add_evidence(world)
    page = open_page("#/")
    page.route("**/importance*", lambda route: None)  # it never answers
    page.evaluate("location.hash = '#/experiments/sweep?tab=parameters'")
    expect(page.locator(".importance")).to_contain_text("Computing")
    page.get_by_role("tab", name="Trials").click()
    expect(page.locator("tbody tr").first).to_be_visible()


def test_lineage_tells_who_when_and_which_mutation(open_page: Open, world: World) -> None:
    fake_inside.add_population(world, 8, 5)
    page = open_page("#/experiments/pbt?tab=lineage")
    drawn(page, f"{CHART}.data[2].x.length === 5")
    row = page.locator("[role=tabpanel] tbody tr").last  # the first exploit
    expect(row).to_contain_text("#0")
    expect(row).to_contain_text("#1")
    expect(row).to_contain_text("lr 1e-3 → 1.2e-3")


def test_trial_shows_the_schedule_of_its_settings(open_page: Open, world: World) -> None:
    fake_inside.add_population(world, 8, 5)
    page = open_page("#/experiments/pbt/trials/2")
    expect(page.locator(".trial")).to_contain_text("Hyperparameter schedule")
    small = "document.querySelector('.chart.small')"
    until(page, f"{small}?.data?.[0].x.join() === '0,5,9,24'")
    assert page.evaluate(f"{small}.layout.yaxis.type") == "log"
    assert page.locator(".chart.small").count() == 1  # gamma never changed


def test_rungs_say_who_was_stopped_and_why(open_page: Open, world: World) -> None:
    fake_inside.add_rungs(world)
    page = open_page("#/experiments/halved?tab=rungs")
    bracket = page.get_by_label("Bracket 0")
    expect(bracket.locator("tbody tr")).to_have_count(2)
    expect(bracket.locator("tbody tr").first).to_contain_text("40")
    panel = page.locator("[role=tabpanel]")
    expect(panel.locator(".table-wrap tbody tr")).to_contain_text(["21.5"])
    expect(panel).to_contain_text("Of 1 more the reason was not recorded")
    panel.get_by_role("link", name="#1", exact=True).click()
    expect(page.locator(".reason")).to_contain_text("where 40 was needed against 5 others")


def test_what_cannot_be_told_is_said_in_its_place(open_page: Open, world: World) -> None:
    fake_inside.add_rungs(world)
    world.inside["halved", "rungs"] = "the scheduler is unknown here"
    page = open_page("#/experiments/halved?tab=rungs")
    expect(page.locator("[role=tabpanel]")).to_contain_text("the scheduler is unknown here")
    expect(page.locator("h1")).to_have_text("halved")
    page.evaluate("location.hash = '#/experiments/sweep?tab=rungs'")  # which it does not have
    expect(page.locator("h1")).to_have_text("sweep")
    names = ["Trials", "Hyperparameters", "Evidence", "Events", "Spec"]
    expect(page.get_by_role("tab")).to_have_text(names)
    expect(page.get_by_role("tab", selected=True)).to_have_text("Trials")


def seconds_to_draw(page: Page, address: str, points: int) -> float:
    """From the list to the chart of a section."""
    page.evaluate("location.hash = '#/'")
    expect(page.locator("td a.name").first).to_be_visible()
    with at_work(page) as spent:
        page.evaluate(f"location.hash = '#/experiments/{address}'")
        drawn(page, f"{CHART}.data.at(-1).x.length >= {points}")
    return spent[0]


def test_sections_of_a_thousand_trials_show_in_two_seconds(open_page: Open, world: World) -> None:
    fake_inside.add_objectives(world, 1000, list(range(0, 1000, 25)))
    fake_inside.add_population(world, 1000, 3000)
    page = open_page("#/")
    for address, points in (("two?tab=pareto", 40), ("pbt?tab=lineage", 100)):
        assert 0 < seconds_to_draw(page, address, points) < 2, address
    assert page.evaluate("document.querySelectorAll('[role=tabpanel] tbody tr').length") == 100


def test_no_section_is_wider_than_a_phone(open_page: Open, world: World) -> None:
    fake_inside.add_evidence(world)
    fake_inside.add_objectives(world, 30, [2, 5, 11])
    fake_inside.add_population(world, 8, 5)
    fake_inside.add_rungs(world)
    page = open_page("#/", viewport={"width": 400, "height": 800})
    for address in ("sweep?tab=evidence", "sweep?tab=parameters", "two?tab=pareto",
                    "pbt?tab=lineage", "halved?tab=rungs", "pbt/trials/2"):  # fmt: skip
        page.evaluate(f"location.hash = '#/experiments/{address}'")
        page.wait_for_timeout(150)
        until(page, "[...document.querySelectorAll('.chart')].some(c => c.data?.length)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address
