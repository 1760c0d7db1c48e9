"""Runs packs in this process, one advance after the other: for tests and for debugging.

Invariant: what happens depends only on the order of the calls; `wait` carries out one advance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from tunerl.errors import Conflict, InvalidInput
from tunerl.runtime.base import Lost, Order, Report, Runtime
from tunerl.runtime.host import PackHost
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config


class LocalRuntime(Runtime):
    """`slots`: how many packs may be open at once, whatever resources they name."""

    ordered = True

    def __init__(self, slots: int = 1) -> None:
        if slots < 1:
            raise InvalidInput(f"slots is {slots}; a local runtime needs at least 1")
        self._slots = slots
        self._hosts: dict[str, PackHost] = {}
        self._queue: deque[tuple[str, list[Order]]] = deque()

    def slots(self, resources: dict[str, float]) -> int:
        return self._slots

    def open(
        self,
        pack: str,
        spec: TrainableSpec,
        config: Config,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        if pack in self._hosts:
            raise Conflict(f"pack {pack!r} is open already")
        self._hosts[pack] = PackHost(spec, config)

    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        if pack not in self._hosts:
            raise Conflict(f"pack {pack!r} is not open")
        if any(queued == pack for queued, _ in self._queue):
            raise Conflict(f"pack {pack!r} is advancing already; wait for its report")
        self._queue.append((pack, list(orders)))

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        if not self._queue:
            return []
        pack, orders = self._queue.popleft()
        return [self._hosts[pack].execute(pack, orders)]

    def close(self, pack: str) -> None:
        host = self._hosts.pop(pack, None)
        if host is not None:
            self._queue = deque(entry for entry in self._queue if entry[0] != pack)
            host.close()

    def shutdown(self) -> None:
        for pack in list(self._hosts):
            self.close(pack)
