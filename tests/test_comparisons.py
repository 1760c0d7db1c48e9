"""Comparisons over runs and tasks: against SciPy, plain loops and numbers worked by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from tunerl import statistics

RUNS = np.random.default_rng(3).normal(size=(7, 4)) * [1, 2, 5, 0.1]
OTHER = np.random.default_rng(4).normal(size=(5, 4)) * [1, 2, 5, 0.1] - 0.3


def test_of_one_task_the_stratified_interval_is_scipys():
    theirs = scipy.stats.bootstrap(
        (RUNS[:, 0],),
        np.median,
        n_resamples=400,
        method="percentile",
        rng=np.random.default_rng(9),
    ).confidence_interval
    ours = statistics.stratified_interval(RUNS[:, 0], "median", resamples=400, seed=9)
    assert ours == pytest.approx((theirs.low, theirs.high))


def test_runs_are_drawn_anew_within_each_task():
    rng, drawn = np.random.default_rng(1), []
    for picks in rng.integers(0, 7, (300, 7, 4)):
        columns = [RUNS[picks[:, task], task] for task in range(4)]
        drawn.append(scipy.stats.trim_mean(np.concatenate(columns), 0.25))
    expected = tuple(np.percentile(drawn, [5, 95]))
    ours = statistics.stratified_interval(RUNS, confidence=0.9, resamples=300, seed=1)
    assert ours == pytest.approx(expected)


def test_tasks_of_constant_scores_leave_no_uncertainty():
    constant = np.tile([1.0, 2.0, 3.0], (6, 1))
    assert statistics.stratified_interval(constant, "mean") == (2.0, 2.0)


def test_drawing_in_pieces_changes_nothing(monkeypatch):
    whole = statistics.stratified_interval(RUNS, resamples=50, seed=2)
    between = statistics.probability_of_improvement_interval(RUNS, OTHER, resamples=50, seed=2)
    monkeypatch.setattr("tunerl.statistics.comparing.CHUNK", 200)
    assert statistics.stratified_interval(RUNS, resamples=50, seed=2) == whole
    found = statistics.probability_of_improvement_interval(RUNS, OTHER, resamples=50, seed=2)
    assert found == between


def test_probability_of_improvement_is_mann_whitneys_u_over_the_pairs():
    u = [scipy.stats.mannwhitneyu(RUNS[:, t], OTHER[:, t]).statistic / 35 for t in range(4)]
    assert statistics.probability_of_improvement(RUNS, OTHER) == pytest.approx(np.mean(u))
    assert statistics.probability_of_improvement([3, 2], [2, 1, 0]) == pytest.approx(5.5 / 6)
    assert statistics.probability_of_improvement([1, 1], [1]) == 0.5


def test_the_interval_of_an_improvement_holds_it():
    low, high = statistics.probability_of_improvement_interval(RUNS, OTHER, seed=5)
    assert 0 <= low <= statistics.probability_of_improvement(RUNS, OTHER) <= high <= 1
    assert low < high
    assert statistics.probability_of_improvement_interval([5, 6], [1, 2]) == (1, 1)


def test_the_profile_is_the_share_of_runs_above_each_threshold():
    assert statistics.performance_profile([[0, 2], [1, 3]], [-1, 0, 1.5, 3]) == [1, 0.75, 0.5, 0]


def test_one_missing_score_makes_every_comparison_nan():
    scores = [[1.0, None], [2.0, 3.0]]
    assert math.isnan(statistics.stratified_interval(scores)[0])
    assert math.isnan(statistics.probability_of_improvement(scores, scores))
    assert math.isnan(statistics.probability_of_improvement_interval(scores, scores)[1])
    assert math.isnan(statistics.performance_profile(scores, [0])[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.stratified_interval([]), "must be .runs, tasks."),
        (lambda: statistics.stratified_interval([1.0], "iqr"), "no statistic goes by 'iqr'"),
        (lambda: statistics.stratified_interval([1.0], confidence=95), "confidence is 95"),
        (lambda: statistics.probability_of_improvement(RUNS, [1, 2]), "4 tasks against 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
