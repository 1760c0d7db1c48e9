"""`MetricsLogger`: numbers that an author's callbacks log, each under a name, reduced to one.

Invariant: its state is JSON, so that what was saved and restored reports as what was not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunerl.errors import MetricError, nearest

EMA_COEFF = 0.01
REDUCTIONS = ("mean", "ema", "min", "max", "sum", "lifetime_sum", "item", "item_series")


class MetricsLogger:
    """RLlib's `log_value`, `log_dict` and `peek`. `prefix` stands before what is logged now."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._data: dict[str, dict[str, Any]] = {name: dict(e) for name, e in (data or {}).items()}
        self.prefix = ""

    def log_value(
        self,
        key: str | Sequence[str],
        value: Any,
        *,
        reduce: str | None = "mean",
        window: int | None = None,
        ema_coeff: float | None = None,
        clear_on_reduce: bool | None = None,
    ) -> None:
        """Take in one number under `key` (a name, or its parts).

        `reduce`: "mean" is that of the last `window` values, or, without it, an exponential moving
        average with weight `ema_coeff` (0.01) for each new one, as "ema" always is; "min", "max",
        "sum" are over the window, or all values; "lifetime_sum"; "item": the last one;
        "item_series" (or None): the list of them. `clear_on_reduce`: each result starts anew, as
        it does by default for sums and lists. Raises `MetricError`.
        """
        reduce = "item_series" if reduce is None else reduce
        if reduce not in REDUCTIONS:
            hint = nearest(str(reduce), REDUCTIONS)
            raise MetricError(f"reduce={reduce!r} of metric {key!r} is not known; {hint}")
        if window is not None and (window < 1 or ema_coeff is not None):
            raise MetricError(f"metric {key!r}: window is 1 or more, and excludes ema_coeff")
        name = self.prefix + (key if isinstance(key, str) else "/".join(map(str, key)))
        number = _number(name, value)
        if clear_on_reduce is None:
            clear_on_reduce = reduce in ("sum", "item_series") and window is None
        how = {"reduce": reduce, "window": window, "ema": ema_coeff, "clear": clear_on_reduce}
        entry = self._data.setdefault(name, {"how": how, "values": []})
        if entry["how"] != how:
            raise MetricError(f"metric {name!r} was logged as {entry['how']} before, now as {how}")
        entry["values"] = _merged([*entry["values"], number], how)

    def log_dict(self, value_dict: Mapping[str, Any], *, key: Any = None, **how: Any) -> None:
        """`log_value` for each entry, below `key`."""
        start = [] if key is None else [key] if isinstance(key, str) else list(key)
        for name, value in value_dict.items():
            self.log_value([*start, name], value, **how)

    def peek(self, key: str | Sequence[str], default: Any = None) -> Any:
        """What would be reported now."""
        name = self.prefix + (key if isinstance(key, str) else "/".join(map(str, key)))
        entry = self._data.get(name)
        return default if entry is None else _reduced(entry)

    def report(self) -> dict[str, Any]:
        """Everything, reduced; what is cleared with each result is gone then."""
        found = {name: _reduced(entry) for name, entry in self._data.items()}
        self._data = {n: entry for n, entry in self._data.items() if not entry["how"]["clear"]}
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            name: {"how": dict(e["how"]), "values": list(e["values"])}
            for name, e in self._data.items()
        }


def _number(name: str, value: Any) -> float | int:
    if callable(getattr(value, "item", None)):
        value = value.item() if getattr(value, "size", 1) == 1 else value
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float):
        raise MetricError(f"metric {name!r} is {value!r}; log a number")
    return value


def _merged(values: list[Any], how: Mapping[str, Any]) -> list[Any]:
    """No more values than the reduction needs."""
    reduce, window = how["reduce"], how["window"]
    if window is not None:
        return values[-window:]
    if reduce in ("mean", "ema") and len(values) > 1:
        weight = EMA_COEFF if how["ema"] is None else how["ema"]
        return [(1 - weight) * values[0] + weight * values[1]]
    if reduce in ("sum", "lifetime_sum"):
        return [sum(values)]
    if reduce in ("min", "max"):
        return [min(values) if reduce == "min" else max(values)]
    return values[-1:] if reduce == "item" else values


def _reduced(entry: Mapping[str, Any]) -> Any:
    reduce, values = entry["how"]["reduce"], entry["values"]
    if reduce == "item_series":
        return list(values)
    if not values:
        return math.nan
    if reduce == "mean":
        return float(np.mean(values))
    if reduce in ("min", "max"):
        return min(values) if reduce == "min" else max(values)
    return sum(values) if reduce in ("sum", "lifetime_sum") else values[-1]
