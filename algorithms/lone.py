"""`LonePack`: one agent whose class says itself what an iteration is (its own `training_step`).

Nothing is known of such a step, so nothing can be shared: it is a pack of one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from algorithms.results import ResultDict
from tunerl.errors import Conflict
from tunerl.metrics import flatten
from tunerl.trainable import Failure, Pack, State
from tunerl.trial import Config, Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm


class LonePack(Pack):
    """Gives an agent of `kind` the verbs of a pack."""

    capacity = 1

    def __init__(self, kind: type[Algorithm]) -> None:
        self._kind = kind
        self._id: ReplicaId | None = None
        self._algorithm: Algorithm | None = None

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        if self._algorithm is not None:
            raise ValueError(f"the pack is full (1 member); {id} cannot join")
        algorithm = self._kind(config, seed=seed)
        algorithm.in_sweep = True
        try:
            if state is not None:
                algorithm.take(state)
        except BaseException:
            algorithm.stop()
            raise
        self._id, self._algorithm = id, algorithm

    def leave(self, id: ReplicaId) -> None:
        self._of(id).stop()
        self._id = self._algorithm = None

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        if self._algorithm is None or self._id is None:
            return {}
        id = self._id
        try:
            return {id: self._algorithm.train().flat()}
        except Exception as error:
            failure = self._algorithm.failure or Failure.of(error)
            self.leave(id)
            return {id: failure}

    def read(self, id: ReplicaId) -> State:
        state: State = self._of(id).get_state()["state"]
        return state

    def write(self, id: ReplicaId, state: State) -> None:
        self._of(id).take(state)

    def configure(self, id: ReplicaId, config: Config) -> None:
        self._of(id).reset_config(config)

    def close(self) -> None:
        if self._id is not None:
            self.leave(self._id)

    def _of(self, id: ReplicaId) -> Algorithm:
        if self._algorithm is None or id != self._id:
            raise KeyError(f"replica {id} is not in this pack")
        return self._algorithm


def counted(algorithm: Algorithm) -> ResultDict:
    """One call of a class's own `training_step`; its metrics among those that every agent has.

    Raises what the step raises, and `MetricError` for what are no metrics.
    """
    before, started = algorithm.record.iteration, time.perf_counter()
    least = algorithm.config["min_time_s_per_iteration"] or 0.0
    given: Any = algorithm.training_step()
    while algorithm.record.iteration == before and time.perf_counter() - started < least:
        given = algorithm.training_step()
    found = flatten(given if given is not None else {})
    found.pop("config", None)
    member = algorithm.record
    if member.iteration == before:  # it did not go through the algorithm's own step
        elapsed = time.perf_counter() - started
        member.iteration += 1
        member.time_total_s += elapsed
        found.setdefault("time_this_iter_s", elapsed)
    elif member.iteration != before + 1:
        raise Conflict(
            f"{type(algorithm).__name__}.training_step made {member.iteration - before} "
            "iterations; call super().training_step() at most once in it"
        )
    known: Mapping[str, Any] = member.episodes.metrics() | {
        "training_iteration": member.iteration,
        "num_env_steps_sampled_lifetime": member.env_steps,
        "time_total_s": member.time_total_s,
    }
    return ResultDict.nested(found | {n: v for n, v in known.items() if n not in found})
