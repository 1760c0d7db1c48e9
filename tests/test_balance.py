"""Packs are evened out when a node joins, and only where the gain is clear; nobody's numbers
change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import Herd, Watched, laboratory
from tunerl.control import balance
from tunerl.control.balance import CLEAR, FULL, Load, Seated, left_s
from tunerl.runtime.base import Lost, Report
from tunerl.trial import ExperimentStatus


def relief(packs: list[Load]) -> list[int]:
    return balance.relief(packs, 60.0)


def load(name: str, trials: range, share: float = 0.5, key: str = "a", left: float = 600.0) -> Load:
    seated = tuple(Seated(trial, 1, left) for trial in trials)
    return Load(name, key, len(trials), share, seated)


def test_half_of_a_pack_goes_to_a_worker_that_joined() -> None:
    assert relief([load("p", range(8))]) == [4, 5, 6, 7]


def test_without_a_free_worker_nobody_moves() -> None:
    assert relief([load("p", range(8), share=1.0)]) == []
    assert relief([load("p", range(8)), load("q", range(8, 14), key="b")]) == []


def test_members_go_to_a_pack_that_has_emptied() -> None:
    assert relief([load("p", range(9)), load("q", range(9, 12))]) == [6, 7, 8]
    assert relief([load("p", range(9)), load("q", range(9, 13))]) == []


def test_what_is_small_or_nearly_done_stays() -> None:
    assert relief([load("p", range(FULL - 1))]) == []
    assert relief([load("p", range(8), left=59.0)]) == []


def test_the_replicas_of_a_trial_move_together() -> None:
    seated = tuple(Seated(trial, 3, 600.0) for trial in range(3))
    assert relief([Load("p", "a", 9, 0.5, seated)]) == [2]
    assert relief([Load("p", "a", 9, 0.5, (Seated(0, 9, 600.0),))]) == []


def test_the_fullest_pack_comes_first() -> None:
    packs = [load("p", range(8), 0.25), load("q", range(8, 24), 0.25, key="b")]
    assert relief(packs) == list(range(16, 24))


@given(st.lists(st.integers(1, 32), min_size=1, max_size=4), st.integers(1, 6))
def test_moving_comes_to_rest(sizes: list[int], slots: int) -> None:
    """Whatever the packs are: after a few moves nothing more moves."""
    sizes = sizes[:slots]
    for _ in range(20):
        packs, first = [], 0
        for index, size in enumerate(sizes):
            packs.append(load(f"p{index}", range(first, first + size), 1 / slots))
            first += size
        moved = relief(packs)
        if not moved:
            emptiest = 0 if len(sizes) < slots else min(sizes)
            assert max(sizes) < max(FULL, CLEAR * emptiest)
            return
        source = next(
            i for i, pack in enumerate(packs) if moved[0] in {s.trial for s in pack.seated}
        )
        sizes[source] -= len(moved)
        if len(sizes) < slots:
            sizes.append(len(moved))
        else:
            sizes[sizes.index(min(sizes))] += len(moved)
    raise AssertionError("it never rests")


def test_what_is_left_follows_from_the_nearest_stop_rule() -> None:
    metrics = {
        "training_iteration": 20,
        "time_this_iter_s": 0.5,
        "time_total_s": 15.0,
        "num_env_steps_sampled_lifetime": 5,
    }
    assert left_s(metrics, {"training_iteration": 100}) == 40.0
    stop = {"training_iteration": 100, "num_env_steps_sampled_lifetime": 10, "score": 1.0}
    assert left_s(metrics, stop) == 10.0
    assert left_s(metrics, {"score": 1.0}) == 15.0
    assert left_s({}, {}) == 0.0


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


class Growing(Watched):
    """A cluster of one place; of two once it was waited for `at` times. Reports come in no order
    that could be relied on."""

    ordered = False

    def __init__(self, at: int = 3) -> None:
        super().__init__(1)
        self._at, self.sizes = at, []

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        reports = super().wait(timeout)
        if self.waited == self._at:
            self._slots = 2
        self.sizes += [len(r.results) for r in reports if isinstance(r, Report)]
        return reports


SWEEP = {
    "param_space": {"lr": {"grid_search": [float(n) for n in range(1, 9)]}},
    "stop": {"training_iteration": 12},
}


def ends(experiment: Any) -> list[Any]:
    return [
        [
            (r.trial, r.iteration, r.objective)
            for r in experiment.store.results(experiment.id, trial=t)
        ]
        for t in range(8)
    ]


def test_a_node_that_joins_takes_over_half_of_the_pack_with_the_same_results(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.control.room.TTL_S", 0.0)
    monkeypatch.setattr(balance, "WORTH_S", 0.0)
    alone = run(Herd(), **SWEEP)
    alone.run(Watched(1))
    joined, runtime = run(Herd(), **SWEEP), Growing()
    assert joined.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.sizes[0] == 8
    assert set(runtime.sizes[6:]) - {0} == {4}
    assert joined.events.count("trial.moved") == 4
    assert ends(joined) == ends(alone)
    assert [t.failures for t in joined.trials] == [0] * 8


def test_a_sweep_that_is_nearly_done_stays_as_it_is(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunerl.control.room.TTL_S", 0.0)
    experiment, runtime = run(Herd(), **SWEEP), Growing()
    experiment.run(runtime)
    assert "trial.moved" not in experiment.events
    assert set(runtime.sizes) - {0} == {8}
