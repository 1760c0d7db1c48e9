"""Evens out packs while nobody waits: when a node joins, or when packs have emptied unevenly.

Invariant: a trial moves as a pause and a resume would move it, so its numbers do not change; and
only where what is left to train is clearly worth a checkpoint and a start elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunerl.control.decisions import Decisions
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run
from tunerl.control.saving import Saver
from tunerl.trial import Metrics, Status

WORTH_S = 60.0  # of training still to come, in a pack that is split
REST_S = 30.0  # between two moves, so that a node that comes and goes is not run after
FULL = 4  # a pack of fewer gains too little
CLEAR = 3  # how many times as full as where its members would go
WARM = 2  # iterations since it joined: the first waits for what is traced and compiled
_LIMITS = ("training_iteration", "num_env_steps_sampled_lifetime", "time_total_s")


@dataclass(frozen=True)
class Seated:
    """A trial in a pack. `left_s`: seconds that it will probably still train there."""

    trial: int
    replicas: int
    left_s: float


@dataclass(frozen=True)
class Load:
    """A pack and who may be moved out of it. `members`: all replicas in it; `share`: the part of
    all workers that it occupies."""

    name: str
    key: str
    members: int
    share: float
    seated: tuple[Seated, ...]


def relief(packs: Sequence[Load], worth_s: float) -> list[int]:
    """The trials that should be placed anew, out of the one pack that gains most; none where the
    gain is not clear. Pure.

    Where they would go: to a free worker, else to the emptiest pack of their key.
    """
    free = 1 - sum(pack.share for pack in packs)
    best: tuple[int, list[int]] | None = None
    for pack in packs:
        others = [p.members for p in packs if p.key == pack.key and p is not pack]
        if free + 1e-9 >= pack.share:
            others.append(0)
        if not others or pack.members < FULL or pack.members < CLEAR * min(others):
            continue
        if max((each.left_s for each in pack.seated), default=0.0) < worth_s:
            continue
        gap = pack.members - min(others)
        moved = _about(pack.seated, gap // 2)
        if moved and (best is None or gap > best[0]):
            best = (gap, moved)
    return best[1] if best else []


def _about(seated: Sequence[Seated], most: int) -> list[int]:
    """The youngest trials, up to `most` replicas together."""
    moved = []
    for each in sorted(seated, key=lambda each: -each.trial):
        if each.replicas <= most:
            moved.append(each.trial)
            most -= each.replicas
    return sorted(moved)


def left_s(metrics: Metrics, stop: Mapping[str, float]) -> float:
    """Seconds that a trial will still train, by the nearest of its stop rules and its last
    iteration; without one, as long as it has trained. Pure."""
    spent = _number(metrics.get("time_total_s"))
    shares = [
        _number(metrics.get(name)) / stop[name] for name in _LIMITS if stop.get(name, 0.0) > 0
    ]
    share = max(shares, default=0.0)
    if share <= 0:
        return spent
    pace = _number(metrics.get("time_this_iter_s")) * _number(metrics.get("training_iteration"))
    return pace * (1 / share - 1)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value == value else 0.0


class Balancer:
    """Looks at the packs of one experiment. `stop`: its rules."""

    def __init__(
        self,
        stop: Mapping[str, float],
        ledger: Ledger,
        fleet: Fleet,
        saver: Saver,
        decisions: Decisions,
    ) -> None:
        self._stop, self._ledger, self._fleet = stop, ledger, fleet
        self._saver, self._decisions = saver, decisions
        self._moved = -REST_S

    def look(self) -> None:
        """Have trials placed anew, if that is worth it now."""
        now, fleet = time.monotonic(), self._fleet
        if fleet.ordered or not self._saver.stateful or now - self._moved < REST_S:
            return
        running = self._ledger.of[Status.RUNNING].values()
        if self._ledger.of[Status.PENDING] or any(run.intent or run.takeover for run in running):
            return  # who waits comes first, and what is under way
        packs = [pack for pack in fleet.packs.values() if not pack.vacant]
        if any(not pack.up for pack in packs):
            return
        loads = [
            Load(pack.name, pack.key, len(pack.members), fleet.room.share(pack.needs),
                 () if pack.exclusive else self._seated({id.trial for id in pack.members}))
            for pack in packs
        ]  # fmt: skip
        moved = [self._ledger.trials[number] for number in relief(loads, WORTH_S)]
        for run in moved:
            self._moved = now
            self._ledger.event("trial.moved", "goes on where there is more room", run.number)
            self._decisions.relocate(run)

    def _seated(self, trials: set[int]) -> tuple[Seated, ...]:
        runs = [self._ledger.trials[number] for number in sorted(trials)]
        return tuple(
            Seated(run.number, len(run.seeds), left_s(run.last, self._stop))
            for run in runs
            if self._movable(run)
        )

    def _movable(self, run: Run) -> bool:
        """Whether it is past what is recorded, for long enough to tell its pace."""
        settled = run.position >= run.iteration and not run.held
        warm = run.position - run.suspicion.since >= WARM
        return settled and warm and not self._saver.saving(run)
