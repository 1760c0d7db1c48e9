"""Summaries of a few numbers, against scipy on the same numbers."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tunerl import statistics
from tunerl.errors import InvalidSpec

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@settings(deadline=None)
@given(numbers)
def test_summaries_agree_with_scipy_and_numpy(values):
    assert statistics.iqm(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))
    assert statistics.mean(values) == pytest.approx(np.mean(values))
    assert statistics.median(values) == pytest.approx(np.median(values))
    assert statistics.lower_quartile(values) == pytest.approx(np.percentile(values, 25))
    if len(values) > 1:
        assert statistics.std(values) == pytest.approx(np.std(values, ddof=1))
        assert statistics.std(values, ddof=0) == pytest.approx(np.std(values))


def test_iqm_cuts_whole_values_from_each_end():
    assert statistics.iqm([1, 2, 3, 100]) == 2.5
    assert statistics.iqm([1, 2, 30]) == 11
    assert statistics.iqm([0, 0, 1, 2, 3, 4, 99, 99]) == 2.5


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mean", np.mean),
        ("median", np.median),
        ("iqm", lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis)),
    ],
)
def test_bootstrap_interval_is_scipys(name, function):
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    theirs = scipy.stats.bootstrap(
        (values,),
        function,
        n_resamples=500,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    ours = statistics.bootstrap_interval(values, name, confidence=0.9, resamples=500, seed=7)
    assert ours == pytest.approx((theirs.low, theirs.high))
    by_function = statistics.bootstrap_interval(
        values, statistics.AGGREGATES[name], confidence=0.9, resamples=500, seed=7
    )
    assert by_function == pytest.approx(ours)


def test_bootstrap_interval_depends_on_the_seed_alone():
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    assert statistics.bootstrap_interval(values, seed=1) == statistics.bootstrap_interval(
        values, seed=1
    )
    assert statistics.bootstrap_interval([2.0]) == (2.0, 2.0)


@pytest.mark.parametrize("bad", [None, math.nan])
def test_one_missing_number_makes_every_summary_nan(bad):
    values = [1.0, bad, 3.0]
    for how in statistics.AGGREGATES:
        assert math.isnan(statistics.aggregate(values, how))
    summary = statistics.summarize(values)
    assert summary["n"] == 3
    assert summary["values"][0] == 1.0
    assert math.isnan(summary["values"][1])
    for name in ("mean", "iqm", "median", "std", "min", "max", "low", "high"):
        assert math.isnan(summary[name])


def test_nothing_summarises_to_nan_and_one_value_to_itself():
    assert math.isnan(statistics.mean([]))
    assert math.isnan(statistics.std([]))
    assert math.isnan(statistics.std([math.nan]))
    summary = statistics.summarize([4.0])
    assert {summary[name] for name in ("mean", "iqm", "median", "min", "max", "low", "high")} == {4}
    assert summary["std"] == 0


def test_infinities_do_not_warn():
    assert statistics.mean([1, math.inf]) == math.inf
    assert math.isnan(statistics.mean([-math.inf, math.inf]))
    summary = statistics.summarize([1, 2, math.inf])
    assert (summary["low"], summary["high"], summary["max"]) == (1, math.inf, math.inf)


def test_aggregates_by_name():
    values = [4.0, 1.0, 3.0, 2.0, 10.0]
    names = ["mean", "median", "iqm", "min", "max", "lower_quartile", "quantile:0.1"]
    assert {*names[:-1]} == set(statistics.AGGREGATES)
    found = [statistics.aggregate(values, how) for how in names]
    assert found == [4.0, 3.0, 3.0, 1.0, 10.0, 2.0, pytest.approx(1.4)]


@pytest.mark.parametrize("how", ["quantile:1.5", "quantile:x", "quantile:"])
def test_a_quantile_that_cannot_be_is_refused(how):
    with pytest.raises(InvalidSpec, match=r"a quantile is written 'quantile:0.25'"):
        statistics.aggregate([1.0], how)


def test_an_unknown_aggregate_names_the_nearest():
    with pytest.raises(InvalidSpec, match="did you mean 'median'"):
        statistics.aggregate([1.0], "medain")


@pytest.mark.parametrize("arguments", [{"confidence": 1}, {"resamples": 0}, {"statistic": "mode"}])
def test_impossible_intervals_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        statistics.bootstrap_interval([1.0, 2.0], **arguments)
