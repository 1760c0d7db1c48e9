"""The live view: what it computes and what it says."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from service import show
from service.watch import View, frame, last_line, line, watch

Json = dict[str, Any]


def experiment(**more: Any) -> Json:
    return {
        "id": "abc",
        "name": "small",
        "status": "RUNNING",
        "reason": None,
        "request": None,
        "metric": "score",
        "counts": {"RUNNING": 2, "TERMINATED": 1, "PENDING": 0},
        "starting": 0,
        "progress": 0.25,
        "steps": 1000,
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": None,
        "best": None,
        "spec": {"param_space": {"lr": {"loguniform": [1e-4, 1e-2]}, "env": "x"}},
        **more,
    }


BEST = {"number": 3, "best_objective": 475.5, "config": {"lr": 0.00123, "env": "x"}}
DONE = {"status": "COMPLETED", "progress": 1.0, "ended_at": "2026-01-01T00:00:10Z"}


class Script:
    """A source that shows one state after another."""

    def __init__(self, *states: Json) -> None:
        self.states = list(states)

    def get(self, id: str) -> Json:
        return self.states.pop(0)

    def best(self, id: str) -> Json:
        return BEST

    def trials(self, id: str, *, status: str | None, limit: int | None) -> list[Json]:
        assert status == "ERROR"
        return [{"number": 7, "error": "Traceback\n  x\nValueError: no\n"}]


def test_speed_is_that_of_the_last_moments_then_of_the_whole() -> None:
    view = View()
    for second in range(100):
        view.add(experiment(steps=second**2), float(second))
    assert view.speed == pytest.approx((99**2 - 79**2) / 20)
    view.add(experiment(**DONE, steps=5000), 100.0)
    assert view.speed == 500


def test_the_time_to_go_follows_the_pace_so_far() -> None:
    view = View()
    for second in range(51):
        view.add(experiment(progress=min(second, 25) / 100 + max(0, second - 25) / 50), second)
        assert (view.eta is None) == (second < 5)
    assert view.eta == pytest.approx(0.25 * 20 / 0.4)
    view.add(experiment(**DONE), 51.0)
    assert view.eta is None


def test_without_a_terminal_it_writes_lines_and_ends_with_result_and_errors() -> None:
    out = io.StringIO()
    best = {"trial": 3, "objective": 475.5}
    ended = experiment(**DONE, best=best, counts={"ERROR": 1, "TERMINATED": 2})
    script = Script(experiment(started_at=None), experiment(best=best), ended)
    assert watch(script, "abc", Console(file=out, width=60), poll=0.0) == ended
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("small: RUNNING, 25%, 2 running, 1 terminated, 1,000 steps")
    assert lines[-1] == "  trial 7: ValueError: no"
    assert "best: trial 3 with 475.5" in lines
    assert "  lr=0.00123" in lines
    assert "\x1b" not in out.getvalue()


def test_trials_without_a_result_are_starting_and_a_reason_to_wait_is_told() -> None:
    view = View()
    view.add(experiment(starting=1, reason="waits for nodes to join"), 0.0)
    assert "25%, 1 running, 1 terminated, 1 starting, 1,000 steps" in line(view)
    assert line(view).endswith("waits for nodes to join")
    view.add(experiment(starting=2), 0.0)
    assert "25%, 1 terminated, 2 starting" in line(view)


def test_it_ends_with_the_reason_when_the_experiment_was_paused() -> None:
    out = io.StringIO()
    paused = experiment(status="PAUSED", reason="the disk is full")
    resuming = experiment(status="PAUSED", request="resume")
    assert watch(Script(resuming, paused), "abc", Console(file=out), poll=0.0) == paused
    assert "reason: the disk is full" in out.getvalue()


def test_on_a_terminal_it_is_redrawn_in_place() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    watch(Script(experiment(), experiment(**DONE)), "abc", console, poll=0.0)
    assert "\x1b[" in out.getvalue()
    assert "COMPLETED" in out.getvalue()


def test_a_frame_shows_all_there_is() -> None:
    view = View()
    view.add(experiment(reason="disk full"), 0.0)
    view.best = BEST
    console = Console(file=io.StringIO(), width=120)
    console.print(frame(view))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("small", "25%", "2 running", "475.5", "trial 3", "lr=0.00123", "disk full"):
        assert word in text
    assert "no trial yet" in line(View(experiment=experiment(counts={}), pace=view.pace))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1234567, "1,234,567"),
        (0.00012345, "0.000123"),
        (12.0, "12"),
        (1.23456, "1.235"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, "True"),
        ("relu", "relu"),
    ],
)
def test_quantities(value: Any, text: str) -> None:
    assert show.quantity(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (8, "8 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert show.duration(seconds) == text


def test_what_is_searched_is_told_from_what_is_fixed() -> None:
    space = {
        "lr": {"loguniform": [1e-4, 1e-2]},
        "env": "CartPole-v1",
        "model": {"fcnet_hiddens": [64, 64], "fcnet_activation": {"choice": ["relu", "tanh"]}},
    }
    assert show.searched(space) == ["lr", "model/fcnet_activation"]


def test_the_last_line_of_a_traceback() -> None:
    assert last_line("a\nValueError: b\n\n") == "ValueError: b"
    assert last_line(None) == "no reason was recorded"
