"""Runs packs on a Ray cluster, one actor a pack.

Invariant: whatever happens to an actor is a `Lost`, never an exception; a pack's worker outlives
its pack and serves the next one that needs the same resources.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunerl import registry
from tunerl.errors import Conflict, InvalidInput, InvalidSpec
from tunerl.runtime.base import Lost, Order, Report, Runtime
from tunerl.runtime.ray_cluster import (
    ask_for_node,
    connect,
    left_for,
    patience_of,
    why_lost,
    word_of,
)
from tunerl.runtime.ray_worker import Payload, Worker
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config

log = logging.getLogger(__name__)

LINGER_S = 0.002  # what comes in so soon after a report is taken in together with it
_KEPT_PAYLOADS = 8  # of specs used last; they may be large

Key = tuple[tuple[str, float], ...]  # resources


@dataclass
class _Seat:
    """An actor and the resources it occupies. `begun`: a reference that is ready once it has its
    place. `up`: it has reported once. `node`: the machine it is on, once that is known."""

    actor: Any
    key: Key
    begun: Any
    up: bool = False
    node: str | None = None


class RayRuntime(Runtime):
    """`address`: of a running cluster, by default ``RAY_ADDRESS``; without both a cluster is
    started on this machine with `num_cpus` CPUs (all by default), and ended by `shutdown`.

    `patience_s`: for how long a cluster elsewhere may still grow, by default
    ``TUNERL_NODES_PATIENCE_SECONDS`` or 300 s."""

    killable = True
    relays = True

    def __init__(
        self,
        address: str | None = None,
        num_cpus: int | None = None,
        patience_s: float | None = None,
    ) -> None:
        import ray

        address = address or os.environ.get("RAY_ADDRESS") or "local"
        if num_cpus is not None and address != "local":
            raise InvalidInput(
                f"num_cpus={num_cpus} is for a cluster that is started here, but the address is "
                f"{address!r}; leave one of them out"
            )
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            connect(address, num_cpus)
        elif num_cpus is not None:
            raise InvalidInput(
                f"num_cpus={num_cpus} comes too late: this process is connected to Ray already"
            )
        self.patience_s = patience_of(patience_s)
        self._asked = False
        self._actor_class = ray.remote(Worker)
        self._seats: dict[str, _Seat] = {}  # by pack
        self._idle: list[_Seat] = []
        self._flights: dict[Any, str] = {}  # packs by reference of their report
        self._payloads: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def slots(self, resources: dict[str, float]) -> int:
        asked = {name: amount for name, amount in resources.items() if amount > 0}
        if not asked:
            raise InvalidInput(f"a pack needs something of a node, not {resources}")
        return sum(
            min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in asked.items())
            for node in self._nodes()
        )

    def why(self, resources: dict[str, float]) -> str:
        nodes = [
            ", ".join(
                f"{name}: {amount:g}"
                for name, amount in sorted(node.items())
                if ":" not in name and not name.endswith("memory")
            )
            for node in self._nodes()
        ]
        offers = "; ".join(node for node in nodes if node) or "nothing"
        return (
            f"a pack needs {resources} on one node; the nodes offer {offers}; ask for "
            "less, as in with_resources(trainable, {...}), or add a node that has it"
        )

    def ask_for(self, resources: Mapping[str, float]) -> None:
        ask_for_node(resources)
        self._asked = True

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def prewarm(self, spec: TrainableSpec, config: Config, n: int) -> None:
        """Start up to `n` workers for packs of `config`, importing what `spec` needs. Returns at
        once; the next `open` finds them starting or started."""
        resources = dict(spec.resources(config))
        key, payload = _key(resources), self._payload(spec)
        ready = sum(seat.key == key for seat in self._idle)
        free = self.slots(resources) - sum(seat.key == key for seat in self._seats.values())
        for _ in range(min(n, free) - ready):
            self._idle.append(self._start(key, payload))

    def open(
        self,
        pack: str,
        spec: TrainableSpec,
        config: Config,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        if pack in self._seats:
            raise Conflict(f"pack {pack!r} is open already")
        key, payload = _key(resources or spec.resources(config)), self._payload(spec)
        seat = next((seat for seat in self._idle if seat.key == key), None)
        if seat is not None:
            self._idle.remove(seat)
        else:
            self._dismiss()  # they hold what the new one needs
            seat = self._start(key, payload)
        try:
            seat.actor.open.remote(pack, payload, config, self.memory_limit)
        except Exception as error:
            self._kill(seat)
            raise InvalidSpec(
                f"a configuration of {spec.name!r} cannot be sent to a worker: {error}"
            ) from error
        self._seats[pack] = seat

    def working(self, pack: str) -> bool:
        seat = self._seats[pack]
        return seat.up or bool(self._ray.wait([seat.begun], timeout=0)[0])

    def so_far(self, pack: str) -> Report | None:
        flights = [reference for reference, flown in self._flights.items() if flown == pack]
        return left_for(flights[0].task_id().hex()) if flights else None

    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        if pack not in self._seats:
            raise Conflict(f"pack {pack!r} is not open")
        if pack in self._flights.values():
            raise Conflict(f"pack {pack!r} is advancing already; wait for its report")
        reference = self._seats[pack].actor.advance.remote(pack, list(orders))
        self._flights[reference] = pack

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        references = list(self._flights)
        if not references:
            return []
        ready, _ = self._ray.wait(references, num_returns=1, timeout=timeout)
        if ready and len(references) > 1:
            ready, _ = self._ray.wait(references, num_returns=len(references), timeout=LINGER_S)
        return [self._land(reference) for reference in ready]

    def _land(self, reference: Any) -> Report | Lost:
        pack = self._flights[reference]
        seat = self._seats[pack]
        try:
            report: Report | Lost = self._ray.get(reference)
            if not seat.up:
                seat.up, seat.node = True, self._ray.get(seat.begun)
        except Exception as error:  # actor, node or memory gone
            self._kill(self._seats.pop(pack))
            self._dismiss()  # they may have been on the same node
            gone = seat.node is not None and seat.node not in self._alive()
            word = word_of(seat.actor._actor_id.hex()) if self.memory_limit is not None else None
            report = Lost(pack, *why_lost(error, node_gone=gone, word=word))
        del self._flights[reference]
        return report

    def close(self, pack: str) -> None:
        seat = self._seats.pop(pack, None)
        if seat is None:
            return
        for reference in [ref for ref, flown in self._flights.items() if flown == pack]:
            del self._flights[reference]
            self._kill(seat)  # it is busy, nobody knows for how long
            return
        if self.memory_limit is None and all(other.up for other in self._seats.values()):
            seat.actor.close.remote(pack)
            self._idle.append(seat)
        else:  # another one may wait for its place; no other pack is to answer for its memory
            self._kill(seat)

    def shutdown(self) -> None:
        if self._ray.is_initialized():
            if self._asked:
                ask_for_node(None)
            for seat in [*self._seats.values(), *self._idle]:
                self._kill(seat)
            if self._started:
                self._ray.shutdown()
        self._seats, self._idle, self._flights, self._payloads = {}, [], {}, {}

    def _start(self, key: Key, payload: Any) -> _Seat:
        resources = dict(key)
        threads = max(1, int(resources.get("CPU", 1.0)))
        options: dict[str, Any] = {"max_restarts": 0}
        for name, option in (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("memory", "memory")):
            if name in resources:
                options[option] = resources.pop(name)
        options.setdefault("num_cpus", 0)
        actor = self._actor_class.options(**options, resources=resources).remote(threads, payload)
        return _Seat(actor, key, actor.begin.remote())

    def _dismiss(self) -> None:
        """End the workers that have no pack."""
        for seat in self._idle:
            self._kill(seat)
        self._idle.clear()

    def _kill(self, seat: _Seat) -> None:
        self._ray.kill(seat.actor, no_restart=True)

    def _payload(self, spec: TrainableSpec) -> Any:
        """A reference to what a worker must know, put into the object store once a spec."""
        carried = registry.carried()
        key = (id(spec), *((name, id(carried[name])) for name in sorted(carried)))
        if key not in self._payloads:
            pickled = None if registry.importable(spec) else self._pickled(spec)
            payload = Payload(spec.name, pickled, tuple(self._registered(carried)))
            self._payloads[key] = (self._ray.put(payload), (spec, carried))  # keeps ids unique
            while len(self._payloads) > _KEPT_PAYLOADS:
                self._payloads.pop(next(iter(self._payloads)))
        return self._payloads[key][0]

    def _pickled(self, spec: TrainableSpec) -> bytes:
        try:
            data: bytes = self._ray.cloudpickle.dumps(spec)
        except Exception as error:
            raise InvalidSpec(
                f"trainable {spec.name!r} cannot be sent to a worker ({error}); build what it "
                "holds (locks, files, connections) in setup(), or register it by entry point"
            ) from error
        return data

    def _registered(self, carried: dict[tuple[str, str], Any]) -> Iterator[tuple[str, str, bytes]]:
        for (kind, name), thing in carried.items():
            try:
                yield kind, name, self._ray.cloudpickle.dumps(thing)
            except Exception as error:
                log.warning("%s %r cannot be sent to workers: %s", kind, name, error)


def _key(resources: Any) -> Key:
    return tuple(sorted((name, float(amount)) for name, amount in resources.items() if amount > 0))
