"""Rows of a `ResultGrid`'s table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunerl import statistics

if TYPE_CHECKING:
    from tunerl.results.result import Result
    from tunerl.store.records import ResultRecord


def row(
    result: Result, metric: str | None, filter_metric: str | None, mode: str | None
) -> dict[str, Any] | None:
    """One trial as a row; None where a filter finds no result."""
    head: dict[str, Any] = {
        "trial": result.trial,
        "status": str(result.status),
        "reason": result.reason,
    }
    columns: dict[str, Any] = dict(_flat("config", result.config))
    record = _chosen(result.results, filter_metric, mode)
    if record is None:
        return None if filter_metric is not None else head | columns
    if metric is not None and len(record.replicas) > 1:
        values = [replica.get(metric) for replica in record.replicas]
        for name in ("mean", "iqm", "std"):
            columns[f"{metric}/{name}"] = getattr(statistics, name)(values)
    return head | record.metrics | columns


def _chosen(
    records: list[ResultRecord], metric: str | None, mode: str | None
) -> ResultRecord | None:
    """The last of a trial's results, or the one with the best value of `metric`."""
    if metric is None:
        return records[-1] if records else None
    with_value = [record for record in records if _is_number(record.metrics.get(metric))]
    if not with_value:
        return None
    pick = max if mode == "max" else min
    return pick(with_value, key=lambda record: float(record.metrics[metric]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        return [(prefix, value)]
    return [entry for key, inner in value.items() for entry in _flat(f"{prefix}/{key}", inner)]
