"""What a configuration needs in order to be trained: found out from the trainable.

Invariant: a function of the experiment's spec and the configuration alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunerl.errors import InvalidSpec, Problem
from tunerl.kinds import Kinds
from tunerl.spec import ExperimentSpec, Parts
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config


@dataclass(frozen=True)
class Needs:
    """`resolved`: with defaults and plan. `key`, `capacity`, `resources`: of its packs."""

    resolved: Config
    key: str
    capacity: int
    resources: dict[str, float]


class Assessor:
    """Tells what configurations of one experiment need."""

    def __init__(self, spec: ExperimentSpec, trainable: TrainableSpec, parts: Parts) -> None:
        self._spec, self._trainable, self._parts = spec, trainable, parts
        self._kinds: Kinds | None = None

    def of(self, config: Config) -> Needs:
        """Raises `InvalidConfig` for one that the trainable refuses, `InvalidSpec` for a trainable
        that cannot be right."""
        resolved = self._planned(self._trainable.resolve(dict(config)))
        capacity = self._trainable.capacity(resolved)
        if capacity < 1:
            raise InvalidSpec(
                Problem("trainable", f"{self._trainable.name!r} has packs of {capacity}")
            )
        key, resources = self._trainable.pack_key(resolved), self._trainable.resources(resolved)
        return Needs(resolved, key, capacity, dict(resources))

    def _planned(self, config: Config) -> Config:
        if type(self._trainable).plan is TrainableSpec.plan:
            return config
        self._kinds = self._kinds or Kinds(self._trainable, self._spec, self._parts)
        replicas = self._kinds.replicas(config)
        return self._trainable.plan(config, replicas=replicas, stop=self._spec.stop)
