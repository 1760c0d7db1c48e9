"""The packs in play: who sits where, which orders go out next, which packs may step.

Invariant: one advance a pack is in flight; a pack in which somebody waits for a sibling elsewhere
does not step, so the replicas of a trial are never more than one iteration apart.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Iterable

from tunerl.control import relays, suspects
from tunerl.control.ledger import Run
from tunerl.control.level import Level
from tunerl.control.pack import PackInPlay
from tunerl.control.packing import Open, Waiting, place
from tunerl.control.room import Room
from tunerl.metrics import counters
from tunerl.runtime.base import (
    Configure,
    Copy,
    Join,
    Leave,
    Lost,
    Order,
    Relay,
    Report,
    Runtime,
    Save,
    Step,
)
from tunerl.trainable import TrainableSpec
from tunerl.trial import ReplicaId


def counters_of(run: Run, index: int) -> dict[str, float]:
    """How far a replica's own counters have come."""
    last = run.replicas_last[index] if index < len(run.replicas_last) else {}
    return counters(last) | {"training_iteration": run.iteration}


class Fleet:
    """The open packs of one experiment on a runtime."""

    def __init__(
        self, runtime: Runtime, spec: TrainableSpec, prefix: str, relayed: bool = False
    ) -> None:
        """`relayed`: trials may follow each other in a pack unseen."""
        self._runtime, self._spec, self.relayed = runtime, spec, relayed
        self._names = (f"{prefix}.{number:05d}" for number in itertools.count())
        self.room = Room(runtime)
        self.packs: dict[str, PackInPlay] = {}
        self.level = Level(runtime.ordered)

    @property
    def ordered(self) -> bool:
        """Whether reports come in a fixed order."""
        return self._runtime.ordered

    @property
    def busy(self) -> bool:
        """Whether a report is still to come."""
        return any(pack.busy for pack in self.packs.values())

    def place(self, waiting: Iterable[Run], most: int | None = None) -> list[Run]:
        """Give places to waiting trials and note their joins; returns those that got one. `most`:
        how many may get one of their own, and not behind others."""
        runs = {run.number: run for run in self.level.eligible(waiting)}
        placed = {run.number: run for run in runs.values() if run in self.level and self._seat(run)}
        asked = [
            Waiting(
                run.number,
                run.key,
                len(run.seeds),
                run.capacity,
                suspects.order(run),
                self.room.share(run.resources),
            )
            for run in runs.values()
            if run.number not in placed
        ]
        packs = [
            Open(p.name, p.key, len(p.members), p.capacity, self.room.share(p.needs), p.exclusive)
            for p in self._in_use
        ]
        made: dict[int, PackInPlay] = {}
        for placement in place(asked[:most], packs):
            run = runs[placement.trial]
            if isinstance(placement.pack, str):
                pack = self.packs[placement.pack]
            else:
                pack = made.get(placement.pack) or self._new(run)
                made[placement.pack] = pack
            for index in placement.indices:
                self._join(pack, run, index)
            placed[run.number] = run
        left = [run for run in runs.values() if run.number not in placed]
        for taker, run in relays.deal(self._in_use, left):
            taker.members.add(ReplicaId(run.number, 0))
            run.packs[0] = taker.name
            taker.ahead.append(Join(ReplicaId(run.number, 0), run.resolved, run.seeds[0]))
            placed[run.number] = run
        return list(placed.values())

    @property
    def ahead(self) -> int:
        """How many trials could go out now behind others."""
        return relays.room(self.packs.values()) if self.relayed else 0

    @property
    def behind(self) -> int:
        """How many trials of those that were placed wait behind others."""
        return relays.behind(self.packs.values()) if self.relayed else 0

    @property
    def _in_use(self) -> list[PackInPlay]:
        """The packs that are not vacant, by number."""
        used = [pack for pack in self.packs.values() if not pack.vacant]
        return sorted(used, key=lambda pack: pack.number)

    def _new(self, run: Run, number: int | None = None) -> PackInPlay:
        """A pack in which nobody sits: an open one, else one more."""
        used = {pack.number for pack in self._in_use}
        if number is None:
            number = next(n for n in itertools.count() if n not in used)
        for pack in self.packs.values():
            if pack.vacant and pack.key == run.key:
                pack.number = number
                return pack
        name = next(self._names)
        pack = PackInPlay(name, number, run.key, run.capacity, run.resources, run.resolved)
        pack.resources = run.allocated
        self.packs[pack.name] = pack
        return pack

    def _seat(self, run: Run) -> bool:
        """Put the replicas of a trial where they sat before an interruption, if that is known."""
        if len(run.seats) != len(run.seeds):
            return False
        used = {pack.number: pack for pack in self._in_use}
        seats = list(run.seats)
        for number in set(seats) & used.keys():
            pack = used[number]
            if pack.key != run.key or len(pack.members) + seats.count(number) > pack.capacity:
                return False
        for index, number in enumerate(seats):
            if number not in used:
                used[number] = self._new(run, number)
            self._join(used[number], run, index)
        return True

    def _join(self, pack: PackInPlay, run: Run, index: int) -> None:
        pack.exclusive = len(run.seeds) > run.capacity
        pack.members.add(ReplicaId(run.number, index))
        run.packs[index] = pack.name
        if index < run.saved < len(run.seeds) and not run.heir:
            run.held.add(index)
        else:
            self._send(pack, run, index)

    def seats(self, run: Run) -> tuple[int, ...]:
        """In which packs the replicas of a trial sit, by number; nothing where any other would do
        as well: because a pack holds one, or the order of what comes in is free anyway."""
        if not self.ordered or run.capacity == 1:
            return ()
        return tuple(self.packs[run.packs[index]].number for index in sorted(run.packs))

    def _send(self, pack: PackInPlay, run: Run, index: int) -> None:
        uri = f"{run.checkpoint}/{index}" if index < run.saved else None
        own: dict[str, float] | None = None
        if run.heir and run.takeover is not None:
            uri, own = f"{run.takeover.uri}/{index}", counters_of(run, index)
        id = ReplicaId(run.number, index)
        pack.orders.append(Join(id, run.resolved, run.seeds[index], uri, own))

    def admit(self, run: Run) -> None:
        """Let the replicas of a trial that were held join."""
        for index in sorted(run.held):
            self._send(self.packs[run.packs[index]], run, index)
        run.held.clear()

    def leave(self, run: Run, but: Collection[ReplicaId] = ()) -> None:
        """Take a trial's replicas out of their packs; those in `but` have left already."""
        for index, name in run.packs.items():
            pack, id = self.packs.get(name), ReplicaId(run.number, index)
            if pack is None or id not in pack.members:
                continue
            pack.members.discard(id)
            joins = [o for o in pack.orders if isinstance(o, Join) and o.id == id]
            behind = [join for join in pack.ahead if join.id == id]
            if joins:  # it was never sent
                pack.orders.remove(joins[0])
            elif behind:
                pack.ahead.remove(behind[0])
            elif id not in but and index not in run.held:
                pack.orders.append(Leave(id))
        run.packs.clear()
        run.held.clear()

    def order(self, run: Run, index: int, order: Order) -> None:
        """Send `order` with the next advance of the pack of one of a trial's replicas."""
        self.packs[run.packs[index]].orders.append(order)

    def unsend(self, run: Run) -> bool:
        """Take back the saves of a trial that were not sent; whether there were any."""
        ids, found = set(run.replicas), False
        for pack in self.packs.values():
            kept = [o for o in pack.orders if not (isinstance(o, Save) and o.id in ids)]
            found, pack.orders = found or len(kept) < len(pack.orders), kept
        return found

    def copy(self, source: Run, target: Run) -> None:
        """The target takes over state and configuration of its neighbour, replica by replica."""
        for index, name in target.packs.items():
            one, other = ReplicaId(source.number, index), ReplicaId(target.number, index)
            orders = self.packs[name].orders
            if source is not target:
                orders.append(Copy(one, other, counters_of(target, index)))
            orders.append(Configure(other, target.resolved))

    def idle(self, run: Run) -> bool:
        """Whether none of a trial's packs is under way."""
        return not any(self.packs[name].busy for name in run.packs.values())

    def stands(self, run: Run) -> bool:
        """Whether all replicas are at the trial's last recorded iteration, none under way, and
        none still to join from another trial's checkpoint."""
        there = not run.reported and run.position >= run.iteration and self.idle(run)
        return there and not (run.heir and self._joins(run))

    def _joins(self, run: Run) -> bool:
        """Whether a join of the trial was not sent yet."""
        orders = [order for name in run.packs.values() for order in self.packs[name].orders]
        return any(isinstance(order, Join) and order.id.trial == run.number for order in orders)

    def dispatch(self, runs: dict[int, Run], *, step: bool = True) -> None:
        """Send every idle pack its orders and let it step; close those that nobody needs."""
        held = bool(self.level)
        sent = self._send_all(runs, step=step)
        if held and not sent and not self.busy:
            self.level.give_up()
            self._send_all(runs, step=step)

    def wait(self, timeout: float) -> list[Report | Lost]:
        """What has come in. On a runtime that keeps the order of reports: of all that are under
        way, so that what was committed never has to be told from what would have come next."""
        reports = self._runtime.wait(timeout)
        while self.ordered and (more := self._runtime.wait()):
            reports += more
        return reports

    def _send_all(self, runs: dict[int, Run], *, step: bool) -> bool:
        sent = False
        for pack in list(self.packs.values()):
            if pack.busy:
                continue
            if pack.vacant:
                self.close(pack.name)
                continue
            orders, pack.orders = pack.orders, []
            if step and pack.members and not self._waits(pack, runs):
                orders.append(Step())
                if pack.ahead:
                    orders.append(Relay(tuple(pack.ahead), relays.SECONDS))
                    pack.ahead, pack.asked = [], time.monotonic()
            if not orders:
                continue
            if not pack.opened:
                self._runtime.open(pack.name, self._spec, pack.config, pack.resources)
                pack.opened = True
            pack.busy = sent = True
            pack.since = time.monotonic()
            self._runtime.advance(pack.name, orders)
        return sent

    def _waits(self, pack: PackInPlay, runs: dict[int, Run]) -> bool:
        """Whether a member has finished the iteration that its siblings elsewhere are still at, or
        everybody is held."""
        if all(id.index in runs[id.trial].held for id in pack.members):
            return True
        for id in pack.members:
            run = runs[id.trial]
            if id.index in run.reported or (pack.exclusive and id.index in run.done):
                return True
            if self.level.holds(run):
                return True
        return False

    def heard(self, report: Report) -> None:
        """A pack has reported."""
        pack = self.packs[report.pack]
        pack.busy, pack.up, pack.asked = False, True, math.inf
        if self.relayed:
            pack.depth = relays.depth(pack.depth, report, time.monotonic() - pack.since)
            gone = {*report.left, *report.waiting}
            pack.orders = [o for o in pack.orders if not (isinstance(o, Leave) and o.id in gone)]

    def so_far(self) -> list[Report]:
        """What has come of relays in which somebody takes long; their packs are under way yet."""
        now, found = time.monotonic(), []
        for pack in self.packs.values() if self.relayed else ():
            if now - pack.asked > relays.ASK_S:
                report = self._runtime.so_far(pack.name)
                pack.asked = now if report is None else math.inf
                found += [] if report is None else [report]
        return found

    def lost(self, name: str) -> list[int]:
        """Forget a pack whose worker is gone; the trials that had replicas in it."""
        self.room.forget()
        pack = self.packs.pop(name)
        return sorted({id.trial for id in pack.members})

    def close(self, name: str) -> None:
        pack = self.packs.pop(name)
        if pack.opened:
            self._runtime.close(name)

    def close_all(self) -> None:
        for name in list(self.packs):
            self.close(name)
