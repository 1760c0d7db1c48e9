"""Objects in Ray actors, and what happens when one dies. The only file here that imports ray.

Invariant: a cluster that was running before is never shut down; one that was started here is ended
with the last fleet that uses it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from algorithms.core.specs.spec import AlgorithmSpec
from tunerl import registry
from tunerl.errors import InvalidInput

log = logging.getLogger(__name__)

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

_users = 0
_started = False


@dataclass(frozen=True)
class Gone:
    """An actor that did not answer: it died, or took longer than it may."""

    why: str
    hung: bool = False


def connect() -> Any:
    """Ray, connected: to the cluster of ``RAY_ADDRESS``, else to one started on this machine."""
    global _users, _started
    import ray

    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS") or "local"
        local = {"include_dashboard": False} if address == "local" else {}
        before = dict(os.environ)
        try:
            for name, value in QUIET.items():
                os.environ.setdefault(name, value)
            ray.init(
                address=address,
                namespace="tunerl",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **local,
            )
        finally:
            for name in QUIET.keys() - before.keys():
                del os.environ[name]
        _started = True
    _users += 1
    return ray


def disconnect() -> None:
    """The end of one use of `connect`."""
    global _users, _started
    import ray

    _users -= 1
    if _users == 0 and _started:
        _started = False
        ray.shutdown()


class Recipe:
    """How an actor's object is made: `kind` called with what `arguments(index)` gives.

    `spec`: the algorithm that it needs; it gets there by its name or as a whole, beside all that
    was registered in this process.
    """

    def __init__(
        self, kind: type, arguments: Callable[[int], Mapping[str, Any]], spec: AlgorithmSpec | None
    ) -> None:
        self.kind, self.arguments = kind, arguments
        self.spec: Any = None
        if spec is not None:
            own = registry.importable(spec)
            self.spec = spec.name if own else (type(spec), dict(vars(spec)))


def _actor(kind: type) -> type:
    """`kind`, made where nothing is known yet of what was registered here."""

    class Actor(kind):  # type: ignore[misc]
        def __init__(self, carried: Mapping[tuple[str, str], Any], spec: Any, options: Any) -> None:
            for (what, name), thing in carried.items():
                registry.receive(what, name, thing)
            if isinstance(spec, str):
                spec = registry.trainable(spec)
            elif spec is not None:
                cls, state = spec
                spec = object.__new__(cls)
                spec.__dict__.update(state)
            super().__init__(**({} if spec is None else {"spec": spec}), **options)

    Actor.__name__ = Actor.__qualname__ = kind.__name__
    return Actor


class Fleet:
    """`count` actors, numbered from 1. `restarts`: how often one may be made anew, in all."""

    def __init__(self, recipe: Recipe, count: int, *, cpus: float = 1.0, restarts: int = 0) -> None:
        self.recipe, self.restarts_left, self.restarts = recipe, restarts, 0
        self.ray = connect()
        self._options = {"num_cpus": self._cpus(cpus, count), "max_restarts": 0}
        self._class = self.ray.remote(_actor(recipe.kind))
        self._carried = self.ray.put(self._portable())
        self.actors: dict[int, Any] = {}
        self._flights: dict[Any, int] = {}
        self._stopped = False
        for index in range(1, count + 1):
            self._start(index)

    def _cpus(self, cpus: float, count: int) -> float:
        """What each actor reserves: nothing where they would wait for each other for ever."""
        free = self.ray.available_resources().get("CPU", 0.0)
        if cpus * count <= free + 1e-9:
            return cpus
        log.warning("%d actors of %g CPUs share the %g that are free", count, cpus, free)
        return 0.0

    def _portable(self) -> dict[tuple[str, str], Any]:
        found = {}
        for key, thing in registry.carried().items():
            try:
                self.ray.put(thing)
            except Exception as error:
                log.warning("%s %r cannot be sent to actors: %s", *key, error)
            else:
                found[key] = thing
        return found

    def _start(self, index: int) -> None:
        options = dict(self.recipe.arguments(index))
        made = self._class.options(**self._options)
        self.actors[index] = made.remote(self._carried, self.recipe.spec, options)

    def put(self, value: Any) -> Any:
        """A reference to a value that goes to several actors but is sent once."""
        return self.ray.put(value)

    def call(
        self,
        method: str,
        *args: Any,
        each: Mapping[int, tuple[Any, ...]] | None = None,
        only: Iterable[int] | None = None,
        timeout: float | None = None,
    ) -> dict[int, Any]:
        """What a method of each actor (of those in `only`) returned, or `Gone`, by number.

        `each`: further arguments by number. Raises what the method raises.
        """
        numbers = list(self.actors if only is None else only)
        more = each or {}
        sent = {
            number: getattr(self.actors[number], method).remote(*args, *more.get(number, ()))
            for number in numbers
        }
        references = list(sent.values())
        if not references:
            return {}
        ready = set(self.ray.wait(references, num_returns=len(references), timeout=timeout)[0])
        late = Gone(f"no answer within {timeout or 0:g} s", hung=True)
        return {n: self._result(ref) if ref in ready else late for n, ref in sent.items()}

    def send(self, method: str, *args: Any, only: Iterable[int] | None = None) -> int:
        """Call without waiting; `fetch` has the answers. How many were called."""
        numbers = list(self.actors if only is None else only)
        for number in numbers:
            self._flights[getattr(self.actors[number], method).remote(*args)] = number
        return len(numbers)

    def fetch(self, timeout: float | None = 0.0) -> list[tuple[int, Any]]:
        """Answers to `send` that are there, (number, result or `Gone`) each; after `timeout`."""
        flights = list(self._flights)
        if not flights:
            return []
        self.ray.wait(flights, num_returns=1, timeout=timeout)
        ready, _ = self.ray.wait(flights, num_returns=len(flights), timeout=0)
        return [(self._flights.pop(reference), self._result(reference)) for reference in ready]

    def in_flight(self) -> dict[int, int]:
        """How many calls each actor has yet to answer."""
        numbers = list(self._flights.values())
        return {number: numbers.count(number) for number in self.actors}

    def _result(self, reference: Any) -> Any:
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except errors.RayError as error:
            return Gone(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")

    def restart(self, index: int) -> bool:
        """Make an actor anew; False where that was done too often already."""
        self.ray.kill(self.actors[index], no_restart=True)
        self._flights = {ref: number for ref, number in self._flights.items() if number != index}
        if self.restarts_left <= 0:
            return False
        self.restarts_left -= 1
        self.restarts += 1
        self._start(index)
        return True

    def stop(self) -> None:
        """End the actors. Twice is no error."""
        if self._stopped:
            return
        self._stopped = True
        if self.ray.is_initialized():
            for actor in self.actors.values():
                self.ray.kill(actor, no_restart=True)
        self.actors.clear()
        disconnect()


def check_count(name: str, value: int) -> int:
    """`value` if it is a count; else `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{name} must be an integer from 0, got {value!r}")
    return value
