"""What a confirmation found: the leaders ranked on seeds that nobody tuned on.

Invariant: everything is read from the store; the ranking uses confirming runs alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tunerl import statistics
from tunerl.errors import InvalidInput
from tunerl.results.grid import ResultGrid
from tunerl.results.result import Result, number
from tunerl.trial import Config, Status

if TYPE_CHECKING:
    import pandas as pd

    from tunerl.store import Store

RESAMPLES = 2000


@dataclass(frozen=True)
class Leader:
    """One configuration. `trial`: its number in the experiment that was tuned; `tuned`: what it had
    reached there. `iqm` with its 95 % bootstrap interval, of the objective under each confirming
    seed (`values`; NaN where that run failed). `improvement`: the probability that one run of it
    beats one of the next in rank, with its interval; NaN for the last."""

    rank: int
    trial: int
    config: Config
    tuned: float
    values: list[float]
    iqm: float
    low: float
    high: float
    improvement: float
    improvement_low: float
    improvement_high: float


class Confirmation:
    """The confirming experiment `experiment_id`. `results`: its ResultGrid, with a trial for each
    leader and seed, numbered anew. Raises `InvalidInput` for one that is no confirmation."""

    def __init__(self, store: Store, experiment_id: str) -> None:
        self.results = ResultGrid(store, experiment_id)
        self._origin = self.results.spec.get("origin") or {}
        if self._origin.get("kind") != "confirm":
            raise InvalidInput(f"{experiment_id} is no confirmation; make one with Tuner.confirm")

    @property
    def seeds(self) -> list[int]:
        """The confirming seeds."""
        return list(self.results.spec["seeds"])

    @property
    def best(self) -> Leader:
        """The first in rank."""
        return self.ranking[0]

    @property
    def ranking(self) -> list[Leader]:
        """Best IQM first; who has none, as a run of it failed or gave NaN, comes last."""
        store, tuned, configs = self.results.store, {}, {}
        numbers = self._origin["trials"]
        for each in numbers:
            record = store.trial(self._origin["experiment"], each)
            configs[each] = record.config
            tuned[each] = math.nan if record.objective is None else record.objective
        sign = 1.0 if self.results.spec["mode"] == "max" else -1.0
        scored = []
        count = len(self.seeds)
        for place, each in enumerate(numbers):
            runs = self.results[place * count : (place + 1) * count]
            values = [self._value(run) for run in runs] + [math.nan] * (count - len(runs))
            iqm = statistics.iqm(values)
            worst = math.inf if math.isnan(iqm) else -sign * iqm
            scored.append((worst, place, each, configs[each], values))
        scored.sort(key=lambda entry: entry[:2])
        return [
            self._leader(rank, entry, scored[rank][4] if rank < len(scored) else None, sign, tuned)
            for rank, entry in enumerate(scored, start=1)
        ]

    def _value(self, run: Result) -> float:
        found = number(run.metrics.get(str(self.results.metric)), nan=True)
        return math.nan if found is None or run.status is not Status.TERMINATED else found

    def _leader(
        self,
        rank: int,
        entry: tuple[float, int, int, Config, list[float]],
        runner_up: list[float] | None,
        sign: float,
        tuned: dict[int, float],
    ) -> Leader:
        _, _, number, config, values = entry
        low, high = statistics.bootstrap_interval(values, "iqm", resamples=RESAMPLES)
        improvement, between = math.nan, (math.nan, math.nan)
        if runner_up is not None:
            ours, theirs = [sign * value for value in values], [sign * v for v in runner_up]
            improvement = statistics.probability_of_improvement(ours, theirs)
            between = statistics.probability_of_improvement_interval(
                ours, theirs, resamples=RESAMPLES
            )
        return Leader(
            rank,
            number,
            config,
            tuned[number],
            values,
            statistics.iqm(values),
            low,
            high,
            improvement,
            *between,
        )

    def to_json(self) -> list[dict[str, Any]]:
        """The ranking as plain data."""
        return [asdict(leader) for leader in self.ranking]

    def get_dataframe(self) -> pd.DataFrame:
        """One row a leader; its configuration as ``config/...``."""
        import pandas as pd

        from tunerl.metrics import flatten

        rows = []
        for entry in self.to_json():
            config = flatten(entry.pop("config"))
            rows.append({**entry, **{f"config/{key}": value for key, value in config.items()}})
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        """The ranking as a table, for notebooks."""
        from tunerl.results.html import ranking

        return ranking(self)

    def __repr__(self) -> str:
        lines = [
            f"{leader.rank}. trial {leader.trial}: IQM {leader.iqm:.6g} "
            f"[{leader.low:.6g}, {leader.high:.6g}] on {len(leader.values)} fresh seeds "
            f"(tuned {leader.tuned:.6g})"
            for leader in self.ranking
        ]
        return "\n".join(lines)
