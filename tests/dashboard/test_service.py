"""The dashboard on the real service: a real store behind the real API."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.app import create_app
from service.settings import Settings
from tests.dashboard.conftest import Serve, until, watch
from tests.dashboard.fake import METRIC, SPACE, STEPS, TRACEBACK, make_trial, point
from tunerl.spec import ExperimentSpec
from tunerl.store import Store
from tunerl.store.records import Change, Event, Lease, ResultRecord, Tick
from tunerl.trial import ExperimentStatus, Reason, Status

TOKEN = "a long random string"
ITERATIONS = 6


def fill(store: Store) -> Lease:
    """Four trials of three seeds: one done, one stopped early, one failed, one that runs."""
    spec = ExperimentSpec(
        trainable="PPO", param_space=SPACE, name="real", metric=METRIC, mode="max",
        num_samples=4, num_seeds=3,
    )  # fmt: skip
    store.create_experiment(spec.to_json(), "real", claimable=True)
    claimed = store.claim("test", 600)
    assert claimed
    _, lease = claimed
    trials = [make_trial(number, seeds=3) for number in range(4)]
    tick = Tick(new_trials=[(t["number"], t["config"], tuple(t["seeds"])) for t in trials])
    for trial in trials:
        tick.changes.append(Change(trial["number"], Status.RUNNING, attempt=1))
    store.commit(lease, tick)
    results = Tick()
    for iteration in range(1, ITERATIONS + 1):
        for trial in trials:
            made_up = point(trial, METRIC, iteration)
            metrics = {
                METRIC: made_up["value"], "training_iteration": iteration,
                "num_env_steps_sampled_lifetime": iteration * STEPS,
                "time_total_s": iteration * 0.5, "learners/kl": math.nan,
            }  # fmt: skip
            replicas = [{**metrics, METRIC: value} for value in made_up["replicas"]]
            results.results.append(
                ResultRecord(trial["number"], iteration, 1, metrics, made_up["value"], replicas)
            )
    results.changes += [
        Change(0, Status.TERMINATED, Reason.STOP_RULE),
        Change(1, Status.TERMINATED, Reason.SCHEDULER),
        Change(2, Status.ERROR, Reason.FAILURE, failures=1, error=TRACEBACK),
    ]
    results.events.append(Event("trial.error", "ValueError: loss is not finite", trial=2))
    store.commit(lease, results)
    return lease


@pytest.fixture
def real(home: Path, serve: Serve) -> tuple[str, Lease]:
    """The experiment's page on a service that wants a token, and the lease of its worker."""
    settings = Settings(home=home, api_token=TOKEN)
    with Store(settings.url) as store:
        lease = fill(store)
    return f"{serve(create_app(settings))}/#/experiments/{lease.experiment_id}", lease


@pytest.fixture
def page(browser: Browser, real: tuple[str, Lease]) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(real[0])
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    yield page
    context.close()


def test_experiment_of_the_real_service(page: Page) -> None:
    errors: list[str] = []
    watch(page, errors)
    expect(page.locator("h1")).to_have_text("real")
    expect(page.locator(".head")).to_contain_text("CartPole-v1")
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tr.failed")).to_contain_text("ValueError: loss is not finite")
    expect(page.locator(".best .value strong")).not_to_be_empty()
    expect(page.locator(".best")).to_contain_text("Over 3 seeds")
    until(page, "document.querySelector('.curves .chart').data?.filter(t => t.name).length === 4")
    lengths = "document.querySelector('.curves .chart').data.map(t => t.x.length)"
    assert set(page.evaluate(lengths)) == {ITERATIONS, 2 * ITERATIONS}
    page.get_by_role("tab", name="Hyperparameters").click()
    until(page, "[...document.querySelectorAll('.grid .chart')].every(c => c.data?.length)")
    expect(page.locator(".importance")).to_contain_text("at least 4 trials")
    page.get_by_role("tab", name="Evidence").click()
    expect(page.locator("[role=tabpanel]")).to_contain_text("Without a baseline")
    until(page, "document.querySelector('[role=tabpanel] .chart').data?.length === 2")
    page.get_by_role("tab", name="Events").click()
    expect(page.locator(".events")).to_contain_text("loss is not finite")
    assert errors == []


def test_trial_and_list_of_the_real_service(page: Page, real: tuple[str, Lease]) -> None:
    expect(page.locator("h1")).to_have_text("real")
    page.goto(f"{real[0]}/trials/2")
    expect(page.locator(".failure pre")).to_contain_text("Traceback")
    until(page, "document.querySelector('.chart').data?.length === 4")
    page.get_by_role("link", name="TuneRL").click()
    expect(page.locator("td a.name")).to_have_text(["real"])
    expect(page.locator("tbody tr")).to_contain_text("1 failed")


def test_cancel_and_missing_checkpoint_of_the_real_service(page: Page) -> None:
    page.get_by_role("button", name="Download best checkpoint").click()
    expect(page.locator(".best [role=alert]")).not_to_be_empty()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel experiment").click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()


def test_an_ended_experiment_says_so(page: Page, real: tuple[str, Lease], home: Path) -> None:
    expect(page.locator("h1")).to_have_text("real")
    with Store(Settings(home=home).url) as store:
        store.set_status(real[1], ExperimentStatus.ERROR, "the environment is gone")
    expect(page.locator(".head")).to_contain_text("the environment is gone")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
