"""Successive halving over seeds: every configuration begins on one, survivors are given more.

Invariant: trials are compared at the same time and on the same number of seeds.
"""

from __future__ import annotations

from tunerl.errors import InvalidSpec
from tunerl.schedulers.asha import AsyncHyperBandScheduler
from tunerl.schedulers.base import Decision, Widen
from tunerl.schedulers.rungs import Rung
from tunerl.schedulers.timed import is_number, whole


class SeedHalvingScheduler(AsyncHyperBandScheduler):
    """At each rung the best 1/`reduction_factor` go on, on `reduction_factor` times as many seeds.

    The rungs have 1, f, f^2, ... seeds up to `max_seeds`, and are evenly spaced from `grace_period`
    (by default half of `max_t`) to `max_t`, where whoever has come so far ends. A trial is paused
    at its rung until it is known to be among the best, as in the promotion variant of ASHA; its new
    replicas train from their beginning to that point, and all go on together. Give the experiment
    ``num_seeds=1``: a trial that has more keeps them. Raises `InvalidSpec`.
    """

    name, title = "seed_halving", "halving over seeds"

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 100,
        grace_period: float | None = None,
        reduction_factor: int = 2,
        max_seeds: int = 8,
    ) -> None:
        found = [*whole("max_seeds", max_seeds, 2), *whole("reduction_factor", reduction_factor, 2)]
        if found:
            raise InvalidSpec(found)
        if grace_period is None:
            grace_period = max_t / 2 if is_number(max_t) else 1.0
        super().__init__(
            time_attr, metric, mode, max_t, grace_period, reduction_factor, variant="promotion"
        )
        self.max_seeds = self.most_seeds = max_seeds
        self.ladder = [1]
        while self.ladder[-1] < max_seeds:
            self.ladder.append(min(self.ladder[-1] * reduction_factor, max_seeds))
        last = len(self.ladder) - 1
        step = (max_t - grace_period) / last
        times = [grace_period + step * k for k in range(last)] + [max_t]
        self.rungs = [[Rung(time) for time in times]]

    def _passed(self, trial: int, rung: Rung) -> list[Decision]:
        place = self.rungs[0].index(rung)
        return [Widen(trial, seeds) for seeds in self.ladder[place + 1 : place + 2]]
