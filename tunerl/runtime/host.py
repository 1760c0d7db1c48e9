"""Carries out orders on one pack, inside the worker.

Invariant: nothing that user code raises leaves `execute`; it is a `Failure` of the replica it
befell, and that replica has left.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunerl.errors import CorruptCheckpoint, StorageFull, TrainableError
from tunerl.metrics import counters, flatten
from tunerl.runtime.base import (
    Configure,
    Copy,
    Join,
    Leave,
    Order,
    Relay,
    Report,
    Save,
    Saved,
    Step,
)
from tunerl.trainable import Failure, Pack, State, TrainableSpec
from tunerl.trial import Config, Metrics, ReplicaId

log = logging.getLogger(__name__)


@dataclass
class _Clock:
    """What a replica has behind it.

    `counters`: as its pack counts them, which is as old as its state. `ahead`: by how much what it
    reports differs from that, since its state came from another trial.
    """

    counters: dict[str, float] = field(default_factory=dict)
    ahead: dict[str, float] = field(default_factory=dict)

    @property
    def reported(self) -> dict[str, float]:
        return self.shift(dict(self.counters))

    def shift(self, metrics: Metrics) -> Metrics:
        """Count on from where the replica was (in place)."""
        for name, ahead in self.ahead.items():
            if name in metrics:
                whole = isinstance(metrics[name], int)
                metrics[name] += round(ahead) if whole else ahead
        return metrics

    def heir(self, counters: Mapping[str, float]) -> _Clock:
        """The clock of a replica that has come to `counters` and takes over this one's state."""
        own = {name: value - self.counters.get(name, 0) for name, value in counters.items()}
        return _Clock(dict(self.counters), own)

    def to_json(self) -> dict[str, Any]:
        counters, ahead = self.reported, {n: v for n, v in self.ahead.items() if v}
        names = ("training_iteration", "time_total_s")
        return {name: counters.pop(name, 0) for name in names} | {
            "counters": counters,
            "ahead": ahead,
        }

    @classmethod
    def from_json(cls, meta: Mapping[str, Any]) -> _Clock:
        names = ("training_iteration", "time_total_s")
        counters = {name: meta.get(name, 0) for name in names} | meta.get("counters", {})
        ahead = meta.get("ahead", {})
        made = cls(counters, {name: -value for name, value in ahead.items()})
        return cls(made.reported, dict(ahead))


class PackHost:
    """One pack and its members. `own_process`: nobody else uses this process's global random
    generators, so a replica that is alone in its pack gets them seeded."""

    def __init__(self, spec: TrainableSpec, config: Config, *, own_process: bool = False) -> None:
        self._spec, self._config, self._own_process = spec, config, own_process
        self._pack: Pack | None = None
        self._members: dict[ReplicaId, _Clock] = {}
        self._next: deque[Join] = deque()  # of a relay; emptied by `break_off` too
        self._report = Report("")

    def open(self) -> Pack:
        """The pack, opened at the first call. Raises what the spec raises."""
        if self._pack is None:
            self._pack = self._spec.open(self._config)
        return self._pack

    def execute(self, pack: str, orders: Sequence[Order]) -> Report:
        """Carry out `orders` in their order. Orders for a replica that failed are passed over."""
        report = self._report = Report(pack)
        for order in orders:
            if isinstance(order, Step):
                self._step(report)
                continue
            if isinstance(order, Relay):
                self._relay(order, report)
                continue
            id = order.target if isinstance(order, Copy) else order.id
            if id not in report.failures:
                self._try(order, report)
        return report

    def break_off(self) -> Report:
        """What has come of a `Relay` so far; nobody else has a turn. From another thread."""
        report, waiting = self._report, []
        with contextlib.suppress(IndexError):
            while True:
                waiting.append(self._next.popleft().id)
        left = list(report.left)
        ended = {id: report.results[id] for id in left}
        return Report(report.pack, ended, dict(report.failures), left=left, waiting=waiting)

    def close(self) -> None:
        """Close the pack. What its code raises is logged: its replicas are no longer asked for."""
        pack, self._pack = self._pack, None
        self._members.clear()
        if pack is not None:
            _quietly(pack.close, "closing the pack")

    def _try(self, order: Join | Leave | Save | Copy | Configure, report: Report) -> None:
        try:
            self._carry_out(order, report)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code may raise anything
            id = order.target if isinstance(order, Copy) else order.id
            self._fail(id, Failure.of(error), report)

    def _carry_out(self, order: Order, report: Report) -> None:
        match order:
            case Join():
                self._join(order, report)
            case Leave(id):
                self._member(id)
                del self._members[id]
                self.open().leave(id)
            case Save():
                self._save(order, report)
            case Copy(source=source, target=target):
                clock = self._member(source)
                self._member(target)
                self.open().copy(source, target)
                own = clock.reported if order.counters is None else order.counters
                self._members[target] = clock.heir(own)
            case Configure(id, config):
                self._member(id)
                self.open().configure(id, config)
            case Step() | Relay():
                raise TypeError("a step is no order for one replica")

    def _join(self, order: Join, report: Report) -> None:
        pack = self.open()
        state, clock = None, _Clock()
        if order.checkpoint is not None:
            found = self._load(order.checkpoint, order.id, report)
            if found is not None:
                state, clock = found
        if order.counters is not None:
            clock = clock.heir(order.counters)
        if self._own_process and pack.capacity == 1:
            random.seed(order.seed)
            np.random.seed(order.seed % 2**32)
        pack.join(order.id, order.config, order.seed, state)
        self._members[order.id] = clock

    def _load(self, uri: str, id: ReplicaId, report: Report) -> tuple[State, _Clock] | None:
        """The state at `uri`, or of the newest good checkpoint before it, or None: from scratch."""
        from tunerl import checkpoints

        try:
            state, meta = checkpoints.load(uri)
        except CorruptCheckpoint as error:
            log.warning("%s: %s", id, error)
            older = _before(uri)
            report.fell_back[id] = older
            if older is None:
                return None
            state, meta = checkpoints.load(older)
        return state, _Clock.from_json(meta)

    def _save(self, order: Save, report: Report) -> None:
        from tunerl import checkpoints

        clock = self._member(order.id)
        state = self.open().read(order.id)
        try:
            saved = checkpoints.save(state, order.uri, clock.to_json() | dict(order.meta))
        except StorageFull as error:
            report.storage_full = str(error)
            return
        report.saved.append(Saved(order.id, order.uri, saved.size, saved.sha256))

    def _step(self, report: Report) -> None:
        if not self._members:
            return
        start = time.perf_counter()
        try:
            outcomes = self.open().step()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the pack as a whole is broken
            failure = Failure.of(error)
            for id in list(self._members):
                self._fail(id, failure, report)
            self.close()
            return
        elapsed = time.perf_counter() - start
        for id, outcome in outcomes.items():
            self._take(id, outcome, elapsed, report)

    def _relay(self, order: Relay, report: Report) -> None:
        until = time.perf_counter() + order.seconds
        begun = set[ReplicaId]()
        self._next.extend(order.joins)
        while self._next and time.perf_counter() < until and self._make_room(report):
            with contextlib.suppress(IndexError):  # it was broken off this very moment
                join = self._next.popleft()
                begun.add(join.id)
                self._try(join, report)
                self._step(report)
        self._next.clear()
        report.waiting += [join.id for join in order.joins if join.id not in begun]

    def _make_room(self, report: Report) -> bool:
        """Let whoever has ended leave; whether nobody is here then."""
        for id in list(self._members):
            metrics = report.results.get(id, {})
            if metrics.get("done") is not True or metrics.get("should_checkpoint"):
                return False
            del self._members[id]
            report.left.append(id)
            _quietly(functools.partial(self.open().leave, id), f"replica {id} leaving")
        return not self._members

    def _take(
        self, id: ReplicaId, outcome: Metrics | Failure, elapsed: float, report: Report
    ) -> None:
        if isinstance(outcome, Failure):
            self._members.pop(id, None)
            report.failures[id] = outcome
            return
        try:
            metrics = flatten(outcome)
        except Exception as error:
            self._fail(id, Failure.of(error), report)
            return
        clock = self._members[id]
        before = clock.counters
        metrics.setdefault("training_iteration", before.get("training_iteration", 0) + 1)
        metrics.setdefault("time_this_iter_s", elapsed)
        so_far = before.get("time_total_s", 0.0) + metrics["time_this_iter_s"]
        metrics.setdefault("time_total_s", so_far)
        clock.counters = counters(metrics)
        report.results[id] = clock.shift(metrics)

    def _fail(self, id: ReplicaId, failure: Failure, report: Report) -> None:
        report.failures[id] = failure
        report.results.pop(id, None)
        if self._members.pop(id, None) is not None and self._pack is not None:
            pack = self._pack
            gone = (KeyError,)  # what failed may have left by itself
            _quietly(lambda: pack.leave(id), f"replica {id} leaving", gone)

    def _member(self, id: ReplicaId) -> _Clock:
        if id not in self._members:
            raise TrainableError(f"replica {id} is not in this pack; it has left or never joined")
        return self._members[id]


def _quietly(
    call: Callable[[], None], what: str, expected: tuple[type[Exception], ...] = ()
) -> None:
    """Call user code whose failure changes nothing any more; only the unexpected is logged."""
    try:
        call()
    except KeyboardInterrupt:
        raise
    except expected:
        pass
    except BaseException:
        log.warning("%s raised", what, exc_info=True)


def _before(uri: str) -> str | None:
    """The newest good checkpoint of the replica older than the one at `uri`; None too where `uri`
    does not lie among a trial's checkpoints."""
    from tunerl import checkpoints

    trial, iteration, index = ("", *uri.rstrip("/").rsplit("/", 2))[-3:]
    number = iteration.removeprefix("checkpoint_")
    if not (trial and number.isdecimal() and index.isdecimal()):
        return None
    return checkpoints.latest_good(trial, int(index), int(number) - 1)
