"""What runs in an actor of the Ray runtime: a worker, and what it is told to begin with.

Invariant: a worker holds one pack at a time, and whatever goes wrong in one is in its report.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tunerl import registry
from tunerl.runtime.base import RELAY_S, Join, Order, Relay, Report
from tunerl.runtime.host import PackHost
from tunerl.runtime.memory import Guard
from tunerl.runtime.ray_cluster import current_task, leave_for, leave_word
from tunerl.trainable import Failure, TrainableSpec
from tunerl.trial import Config


@dataclass(frozen=True)
class Payload:
    """What a worker must know: a spec by its name or pickled, and what was registered in this
    process (environments, models, ...) by kind and name, pickled."""

    name: str
    spec: bytes | None
    registered: tuple[tuple[str, str, bytes], ...]


class Worker:
    """The actor. It holds one pack at a time and starts with nothing but what `payload` imports."""

    def __init__(self, threads: int, payload: Payload) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)  # read by torch when it is first imported
        self._specs: dict[Payload, TrainableSpec] = {}
        self._hosts: dict[str, PackHost] = {}
        self._problems: dict[str, Failure] = {}
        with contextlib.suppress(Exception):  # `open` will say it
            self._spec(payload)

    def begin(self) -> str:
        """The node it is on."""
        from ray import get_runtime_context

        node: str = get_runtime_context().get_node_id()
        return node

    def open(self, pack: str, payload: Payload, config: Config, limit: float | None) -> None:
        if limit is not None:
            Guard(limit, leave_word).start()
        try:
            host = PackHost(self._spec(payload), config, own_process=True)
        except Exception as error:
            self._problems[pack] = Failure.of(error)
            return
        self._hosts[pack] = host
        with contextlib.suppress(Exception):  # the first join tries again, and says it
            host.open()

    def advance(self, pack: str, orders: Sequence[Order]) -> Report:
        if pack in self._problems:
            problem = self._problems[pack]
            joins = [order for order in orders if isinstance(order, Join)]
            return Report(pack, failures={order.id: problem for order in joins})
        host = self._hosts[pack]
        if not any(isinstance(order, Relay) for order in orders):
            return host.execute(pack, orders)
        late = threading.Timer(RELAY_S, _break_off, (host, current_task()))
        late.daemon = True
        late.start()
        try:
            return host.execute(pack, orders)
        finally:
            late.cancel()

    def close(self, pack: str) -> None:
        self._problems.pop(pack, None)
        host = self._hosts.pop(pack, None)
        if host is not None:
            host.close()

    def _spec(self, payload: Payload) -> TrainableSpec:
        if payload not in self._specs:
            from ray import cloudpickle

            for kind, name, thing in payload.registered:
                registry.receive(kind, name, cloudpickle.loads(thing))
            if payload.spec is None:
                spec = registry.trainable(payload.name)
            else:
                spec = cloudpickle.loads(payload.spec)
            self._specs = {payload: spec}  # the last one only: it may carry large parameters
        return self._specs[payload]


def _break_off(host: PackHost, task: str) -> None:
    leave_for(task, host.break_off())
