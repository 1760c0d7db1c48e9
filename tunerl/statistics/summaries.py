"""Summaries of a few numbers (one per replica): mean, IQM, bootstrap intervals.

Invariant: where one of the numbers is missing (None) or NaN, so is every summary of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunerl.errors import InvalidSpec, Problem, nearest

Values = Sequence[float | None]
Statistic = Callable[[Values], float]


def as_array(values: Values) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _apply(values: Values, statistic: Callable[..., Any]) -> float:
    array = as_array(values)
    if array.size == 0 or np.isnan(array).any():
        return math.nan
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and says so
        return float(statistic(array))


def _iqm(array: NDArray[np.float64], axis: int = -1) -> Any:
    count = array.shape[axis]
    cut = int(0.25 * count)
    kept = np.sort(array, axis=axis).take(range(cut, count - cut), axis=axis)
    return kept.mean(axis=axis)


def _lower_quartile(array: NDArray[np.float64], axis: int = -1) -> Any:
    return np.percentile(array, 25, axis=axis)


def mean(values: Values) -> float:
    """The arithmetic mean; NaN of nothing."""
    return _apply(values, np.mean)


def median(values: Values) -> float:
    """The middle value, or the mean of the two middle ones."""
    return _apply(values, np.median)


def iqm(values: Values) -> float:
    """The interquartile mean: the mean of the middle half (Agarwal et al., arXiv 2108.13264).

    As rliable and ``scipy.stats.trim_mean(values, 0.25)``: ``int(n / 4)`` values go from each end,
    without fractional weights; so for fewer than four values it is the mean.
    """
    return _apply(values, _iqm)


def lower_quartile(values: Values) -> float:
    """The 25th percentile, by linear interpolation."""
    return _apply(values, _lower_quartile)


def quantile(values: Values, share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by linear interpolation."""
    return _apply(values, lambda array: np.quantile(array, share))


def minimum(values: Values) -> float:
    return _apply(values, np.min)


def maximum(values: Values) -> float:
    return _apply(values, np.max)


def std(values: Values, ddof: int = 1) -> float:
    """The standard deviation with ``n - ddof`` in the denominator; 0 for a single value."""
    if len(values) <= ddof:
        return 0.0 if len(values) and not math.isnan(mean(values)) else math.nan
    return _apply(values, lambda array: np.std(array, ddof=ddof))


VECTORISED: Mapping[str, Callable[..., Any]] = {
    "mean": np.mean,
    "median": np.median,
    "iqm": _iqm,
    "min": np.min,
    "max": np.max,
    "lower_quartile": _lower_quartile,
}
AGGREGATES: Mapping[str, Statistic] = {
    "mean": mean,
    "median": median,
    "iqm": iqm,
    "min": minimum,
    "max": maximum,
    "lower_quartile": lower_quartile,
}


def statistic(how: str) -> Statistic:
    """The aggregate of that name: a key of `AGGREGATES`, or ``quantile:<share>``, such as
    ``quantile:0.1``. Raises `InvalidSpec` for another."""
    word, colon, share = how.partition(":")
    if word == "quantile" and colon:
        try:
            number = float(share)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            message = f"{how!r} given; a quantile is written 'quantile:0.25', with 0 to 1 after ':'"
            raise InvalidSpec(Problem("aggregate", message))
        return lambda values: quantile(values, number)
    if how not in AGGREGATES:
        hint = nearest(how, [*AGGREGATES, "quantile:0.25"])
        raise InvalidSpec(Problem("aggregate", f"no aggregate goes by {how!r}; {hint}"))
    return AGGREGATES[how]


def aggregate(values: Values, how: str) -> float:
    """One number for several; `how` as `statistic` takes it, raising `InvalidSpec` as it does."""
    return statistic(how)(values)


def check_bootstrap(confidence: float, resamples: int) -> None:
    """Raise `ValueError` for a share of confidence or a number of draws that cannot be."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be 1 or more")


def bootstrap_interval(
    values: Values,
    statistic: str | Statistic = "mean",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of a statistic of `values`.

    A function of its arguments: the same `seed` gives the same interval, and the one that
    ``scipy.stats.bootstrap(method="percentile")`` gives for it. One value gives (value, value).
    """
    check_bootstrap(confidence, resamples)
    if isinstance(statistic, str) and statistic not in VECTORISED:
        raise ValueError(f"no statistic goes by {statistic!r}; " + nearest(statistic, VECTORISED))
    array = as_array(values)
    if array.size == 0 or np.isnan(array).any():
        return math.nan, math.nan
    picks = np.random.default_rng(seed).integers(0, array.size, (resamples, array.size))
    if isinstance(statistic, str):
        drawn = VECTORISED[statistic](array[picks], axis=-1)
    else:
        drawn = np.array([statistic(row) for row in array[picks]])
    return interval_of(drawn, confidence)


def interval_of(drawn: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The middle `confidence` of what a bootstrap drew."""
    tail = 100 * (1 - confidence) / 2
    ends = [tail, 100 - tail]
    with np.errstate(invalid="ignore"):  # between two infinities there is nothing to interpolate
        limits = np.percentile(drawn, ends)
        nearby = np.percentile(drawn, ends, method="nearest")
    low, high = np.where(np.isnan(limits), nearby, limits)
    return float(low), float(high)


def summarize(values: Values, seed: int = 0) -> dict[str, Any]:
    """Everything about a few numbers, as the results show it.

    ``{mean, iqm, median, std, min, max, low, high, n, values}``; `low` and `high` are the 95 %
    bootstrap interval of the IQM; `std` is the sample's (ddof 1).
    """
    low, high = bootstrap_interval(values, "iqm", seed=seed)
    return {
        "mean": mean(values),
        "iqm": iqm(values),
        "median": median(values),
        "std": std(values),
        "min": minimum(values),
        "max": maximum(values),
        "low": low,
        "high": high,
        "n": len(values),
        "values": [float(value) for value in as_array(values)],
    }
