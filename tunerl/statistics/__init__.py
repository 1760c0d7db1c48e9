"""Statistics of replicas: summaries of one trial, comparisons of several."""

from __future__ import annotations

from tunerl.statistics.comparing import (
    performance_profile,
    probability_of_improvement,
    probability_of_improvement_interval,
    stratified_interval,
)
from tunerl.statistics.summaries import (
    AGGREGATES,
    aggregate,
    bootstrap_interval,
    iqm,
    lower_quartile,
    maximum,
    mean,
    median,
    minimum,
    quantile,
    statistic,
    std,
    summarize,
)

__all__ = [
    "AGGREGATES",
    "aggregate",
    "bootstrap_interval",
    "iqm",
    "lower_quartile",
    "maximum",
    "mean",
    "median",
    "minimum",
    "performance_profile",
    "probability_of_improvement",
    "probability_of_improvement_interval",
    "quantile",
    "statistic",
    "std",
    "stratified_interval",
    "summarize",
]
