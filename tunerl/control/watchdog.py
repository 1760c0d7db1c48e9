"""Looks after packs that say nothing: ends those that hang, takes back those without a place.

Invariant: a pack is held to its time only from when it has its place; what it ends is a `Lost`, as
if its worker had died.
"""

from __future__ import annotations

import time

from tunerl.control.fleet import Fleet
from tunerl.control.pack import PackInPlay
from tunerl.errors import InvalidSpec, Problem
from tunerl.runtime.base import Lost, Runtime
from tunerl.spec import FailureSpec

NO_PLACE_S = 30.0  # how long a worker may take to get its place until a person is told
SILENT_S = 600.0  # likewise for a report


class Watchdog:
    """`limits`: how long an advance may take, how much memory a worker may hold; None: no limit."""

    def __init__(self, runtime: Runtime, fleet: Fleet, limits: FailureSpec) -> None:
        self._runtime, self._fleet, self._limit_s = runtime, fleet, limits.hang_timeout_s
        self._memory = limits.memory_limit_bytes
        self._placeless: dict[str, float] = {}  # packs, and since when

    def check(self) -> None:
        """Set the runtime's limits. Raise `InvalidSpec` for limits where nothing can be ended."""
        given = {
            "hang_timeout_s": (self._limit_s, "hangs"),
            "memory_limit_bytes": (self._memory, "grows"),
        }
        problems = [
            Problem(
                f"failure.{name}",
                f"{limit:g} given, but packs run in this very process, which cannot end what "
                f"{what}; leave it out, or take the runtime 'ray'",
            )
            for name, (limit, what) in given.items()
            if limit is not None and not self._runtime.killable
        ]
        if problems:
            raise InvalidSpec(problems)
        self._runtime.memory_limit = self._memory

    def look(self) -> list[Lost]:
        """The packs that were given up just now."""
        now, busy = time.monotonic(), [pack for pack in self._fleet.packs.values() if pack.busy]
        placeless = [p for p in busy if not p.up and not self._runtime.working(p.name)]
        self._placeless = {p.name: self._placeless.get(p.name, now) for p in placeless}
        for pack in placeless:
            pack.since = now  # it has not begun
        lost = [self._take_back(pack) for pack in self._too_many(placeless)]
        if self._limit_s is not None:
            over = [pack for pack in busy if now - pack.since > self._limit_s]
            lost += [self._end(pack, self._limit_s) for pack in over]
        return lost

    def why(self) -> str | None:
        """What a person should know of packs that say nothing, once it takes long."""
        now = time.monotonic()
        waiting = [since for since in self._placeless.values() if now - since > NO_PLACE_S]
        if waiting:
            return (
                f"{len(waiting)} packs wait for a place: the nodes could hold them, but are "
                "occupied; see `ray status`"
            )
        silent = [p for p in self._fleet.packs.values() if p.busy and now - p.since > SILENT_S]
        if silent and self._limit_s is None:
            return (
                f"{len(silent)} packs have not reported for more than {SILENT_S / 60:g} min; "
                "FailureConfig(hang_timeout_s=...) would end what hangs"
            )
        return None

    def _too_many(self, placeless: list[PackInPlay]) -> list[PackInPlay]:
        """Packs without a place for which no place is left since nodes have gone; newest first."""
        room = self._fleet.room
        used = sum(room.share(pack.needs) for pack in self._fleet.packs.values() if pack.opened)
        found = []
        for pack in reversed(placeless):
            if used <= 1 + 1e-9:
                break
            used -= room.share(pack.needs)
            found.append(pack)
        return found

    def _take_back(self, pack: PackInPlay) -> Lost:
        self._runtime.close(pack.name)
        return Lost(pack.name, "no node has a place for it any more", "node")

    def _end(self, pack: PackInPlay, limit_s: float) -> Lost:
        self._runtime.close(pack.name)
        reason = f"it has not reported for {limit_s:g} s (hang_timeout_s) and was ended"
        return Lost(pack.name, reason, "hang")
