"""Which checkpoints go: Ray Tune's rule, with pins."""

from __future__ import annotations

import math

import pytest

from tunerl.checkpoints import Retention
from tunerl.errors import InvalidInput
from tunerl.spec import CheckpointSpec
from tunerl.store.records import CheckpointRecord

NAN = math.nan


def records(scores: list[float | None], trial: int = 0, pins: int = 0) -> list[CheckpointRecord]:
    """One checkpoint an iteration, from 1 on."""
    return [
        CheckpointRecord(trial, n, f"{trial}/{n}", 1, "", score, pins)
        for n, score in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("rule", "scores", "running", "gone"),
    [
        (Retention(None), [1, 2, 3], True, []),
        (Retention(2), [9, 8, 7, 6], True, [1, 2]),
        (Retention(9), [1, 2, 3], True, []),
        (Retention(2, True), [3, 9, 8, 1], True, [1]),  # 2 and 3 are best, 4 is the newest
        (Retention(2, True), [3, 9, 8, 1], False, [1, 4]),
        (Retention(2, True, "min"), [3, 9, 8, 1], True, [2, 3]),
        (Retention(1, True), [5, 5, 5], True, [1, 2]),
        (Retention(1, True), [NAN, -math.inf, NAN], False, [1, 3]),
        (Retention(1, True, "min"), [NAN, math.inf, NAN], False, [1, 3]),
        (Retention(1, True), [NAN, None], False, [2]),
        (Retention(1, True), [4, None], True, []),
    ],
)
def test_the_best_and_the_newest_stay(
    rule: Retention, scores: list[float | None], running: bool, gone: list[int]
) -> None:
    shuffled = records(scores)[::-1]
    assert [record.iteration for record in rule.surplus(shuffled, running)] == gone


def test_what_is_pinned_stays() -> None:
    pinned = records([1.0, 2.0, 3.0], pins=1)
    free = records([1.0, 2.0, 3.0])
    mixed = [pinned[0], free[1], free[2]]
    assert [record.iteration for record in Retention(1).surplus(mixed)] == [2]


def test_each_trial_keeps_its_own() -> None:
    both = records([1.0, 2.0]) + records([5.0, 4.0, 3.0], trial=1)
    gone = Retention(1, scored=True).surplus(both)
    assert [(record.trial, record.iteration) for record in gone] == [(0, 1), (1, 2)]


def test_the_rule_comes_from_the_experiments_spec() -> None:
    assert Retention.of(CheckpointSpec()) == Retention(None, False, "max")
    spec = CheckpointSpec(num_to_keep=3, score_attribute="a/b", score_order="min")
    assert Retention.of(spec) == Retention(3, True, "min")


@pytest.mark.parametrize("kw", [{"num_to_keep": 0}, {"num_to_keep": -1}, {"order": "up"}])
def test_a_rule_that_makes_no_sense_is_refused(kw: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=str(next(iter(kw.values())))):
        Retention(**kw)  # type: ignore[arg-type]
