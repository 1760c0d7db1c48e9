"""Orders, pages and curves on both databases."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.helpers import result, running
from tunerl.errors import InvalidInput, NotFound
from tunerl.store import Store
from tunerl.store.curves import CAP, keep
from tunerl.store.records import Change, ResultRecord, Tick
from tunerl.trial import Reason, Status

NAN, INF = math.nan, math.inf
VALUES = [3.0, NAN, None, 1.0, INF, 3.0, -INF, NAN]


def page_through(store: Store, id: str, **kw: Any) -> list[int]:
    """Numbers of all trials, three a page."""
    numbers: list[int] = []
    after = 0
    while page := store.trials(id, limit=3, after=after, **kw):
        numbers += [trial.number for trial in page]
        after = page[-1].number + 1
    return numbers


@pytest.mark.parametrize(
    ("mode", "descending", "order"),
    [
        ("max", True, [4, 0, 5, 3, 6, 1, 7, 2]),
        ("max", False, [1, 7, 6, 3, 0, 5, 4, 2]),
        ("min", False, [6, 3, 0, 5, 4, 1, 7, 2]),
        ("min", True, [1, 7, 4, 0, 5, 3, 6, 2]),
    ],
)
@pytest.mark.parametrize("sort", ["objective", "best_objective"])
def test_nan_sorts_as_worse_than_any_number_and_nothing_comes_last(
    store: Store, mode: str, descending: bool, order: list[int], sort: str
) -> None:
    id, lease = running(store, trials=len(VALUES), mode=mode)
    store.commit(lease, Tick(results=[result(n, 1, value) for n, value in enumerate(VALUES)]))
    found = store.trials(id, sort=sort, descending=descending)
    assert [trial.number for trial in found] == order
    assert page_through(store, id, sort=sort, descending=descending) == order


@pytest.mark.parametrize(
    "sort",
    ["number", "status", "iteration", "steps", "time_total_s", "attempt", "failures",
     "created_at", "started_at", "ended_at"],
)  # fmt: skip
@pytest.mark.parametrize("descending", [False, True])
def test_pages_of_every_order_join_without_gap_or_repetition(
    store: Store, sort: str, descending: bool
) -> None:
    id, lease = running(store, trials=6)
    for n in (4, 1):
        change = Change(n, Status.TERMINATED, Reason.DONE, attempt=2, failures=n)
        late = [result(n, n, 1.0, time_total_s=float(n))]
        store.commit(lease, Tick(results=late, changes=[change]))
    store.commit(lease, Tick(new_trials=[(6, {}, (0,)), (7, {}, (0,))]))
    whole = store.trials(id, sort=sort, descending=descending)
    assert page_through(store, id, sort=sort, descending=descending) == [t.number for t in whole]
    keys = [getattr(trial, sort) for trial in whole]
    present = [key for key in keys if key is not None]
    assert present == sorted(present, reverse=descending)
    assert keys == present + [None] * (8 - len(present))


def test_trials_are_filtered_by_status_in_pages(store: Store) -> None:
    id, lease = running(store, trials=7)
    ended = [Change(n, Status.TERMINATED, Reason.DONE) for n in (0, 2, 3, 6)]
    store.commit(lease, Tick(changes=ended))
    assert page_through(store, id, status="TERMINATED") == [0, 2, 3, 6]
    assert store.trials(id, status="PAUSED") == []


@pytest.mark.parametrize(
    ("kw", "hint"),
    [
        ({"sort": "objectiv"}, "did you mean 'objective'"),
        ({"status": "PENDIN"}, "did you mean 'PENDING'"),
        ({"limit": 0}, "at least 1"),
        ({"sort": "steps", "after": 99}, "no cursor"),
    ],
)
def test_an_order_that_does_not_exist_is_refused(
    store: Store, kw: dict[str, Any], hint: str
) -> None:
    id, _ = running(store)
    with pytest.raises(InvalidInput, match=hint):
        store.trials(id, **kw)


def test_a_curve_gives_iteration_steps_value_and_each_replica(store: Store) -> None:
    id, lease = running(store)
    records = [
        ResultRecord(0, 1, 1, {"a/b": 1.5, "num_env_steps_sampled_lifetime": 10}, None,
                     [{"a/b": 1}, {"a/b": 2.0}, {}]),
        ResultRecord(0, 2, 1, {"a/b": NAN}, None),
        ResultRecord(0, 3, 1, {"other": 1}, None),
        ResultRecord(0, 4, 1, {"a/b": "text"}, None),
        ResultRecord(0, 5, 1, {"a/b": True}, None),
        ResultRecord(0, 6, 1, {"a/b": None}, None),
        ResultRecord(0, 7, 1, {"a/b": 7}, None),
    ]  # fmt: skip
    store.commit(lease, Tick(results=records))
    points = store.curve(id, 0, "a/b")
    assert [point["iteration"] for point in points] == [1, 2, 5, 7]
    assert points[0] == {"iteration": 1, "steps": 10, "value": 1.5, "replicas": [1, 2.0, None]}
    assert math.isnan(points[1]["value"])
    assert points[2]["value"] == 1
    assert points[3] == {"iteration": 7, "steps": 0, "value": 7, "replicas": []}
    assert store.curve(id, 0, "never") == []


STRANGE = ['q"u.o[0]', "ü", "$", "a.b", "a b", "back\\slash", "[0]", "0", ""]


@pytest.mark.parametrize("name", STRANGE)
def test_a_curve_of_a_metric_with_a_strange_name(store: Store, name: str) -> None:
    id, lease = running(store)
    store.commit(lease, Tick(results=[ResultRecord(0, 1, 1, {name: 5.5, "other": 1}, None)]))
    assert [point["value"] for point in store.curve(id, 0, name)] == [5.5]


def test_a_long_curve_is_thinned_out_and_keeps_its_extremes(store: Store) -> None:
    id, lease = running(store)
    values = [math.sin(n) for n in range(300)]
    values[137], values[222] = 99.0, -99.0
    store.commit(lease, Tick(results=[result(0, n + 1, value) for n, value in enumerate(values)]))
    points = store.curve(id, 0, "m", max_points=40)
    assert len(points) <= 40
    assert (points[0]["iteration"], points[-1]["iteration"]) == (1, 300)
    assert {99.0, -99.0} <= {point["value"] for point in points}
    assert points == store.curve(id, 0, "m", max_points=40)


def test_a_curve_of_nobody_or_of_no_points_is_refused(store: Store) -> None:
    id, _ = running(store)
    with pytest.raises(NotFound, match="no trial 3"):
        store.curve(id, 3, "m")
    with pytest.raises(InvalidInput, match="max_points=0"):
        store.curve(id, 0, "m", max_points=0)


@given(
    values=st.lists(st.floats(allow_nan=True), max_size=200),
    max_points=st.integers(min_value=4, max_value=100),
)
def test_thinning_keeps_ends_and_extremes_within_the_limit(
    values: list[float], max_points: int
) -> None:
    kept = keep(values, max_points)
    assert kept == sorted(set(kept))
    assert len(kept) <= max_points
    if values:
        assert {0, len(values) - 1} <= set(kept)
    numbers = [value for value in values if not math.isnan(value)]
    if numbers:
        assert {min(numbers), max(numbers)} <= {values[index] for index in kept}


def test_thinning_of_few_points_and_its_hard_cap() -> None:
    assert keep([1.0] * 9, 1) == [8]
    assert keep([1.0] * 9, 2) == keep([1.0] * 9, 3) == [0, 8]
    assert len(keep([float(n % 7) for n in range(50_000)], 10**9)) <= CAP
