"""From a stored experiment to the controller that drives it."""

from __future__ import annotations

from service.settings import Settings
from tunerl import registry
from tunerl import runtime as runtimes
from tunerl import spec as specs
from tunerl.control.controller import Controller
from tunerl.runtime.base import Runtime
from tunerl.store import Store
from tunerl.store.records import Experiment, Lease
from tunerl.warming import warm


def runtime_of(settings: Settings) -> Runtime:
    """Where packs run. Raises what keeps it from starting."""
    if settings.runtime == "local":
        return runtimes.create("local", slots=settings.local_slots)
    return runtimes.create(settings.runtime, patience_s=settings.nodes_patience_seconds)


def controller_of(
    store: Store, experiment: Experiment, lease: Lease, runtime: Runtime, settings: Settings
) -> Controller:
    """A controller for an experiment whose lease is held.

    Raises `InvalidSpec`, `NotFound` for what this process does not know.
    """
    spec = specs.from_json(experiment.spec)
    trainable = registry.trainable(spec.trainable)
    parts = specs.build(spec, trainable=trainable)
    if settings.runtime == "ray":
        warm(trainable, spec, parts)
    return Controller(
        store=store,
        lease=lease,
        spec=spec,
        trainable=trainable,
        runtime=runtime,
        root=f"{(spec.storage or settings.checkpoints).rstrip('/')}/{experiment.id}",
        parts=parts,
        lease_seconds=settings.lease_seconds,
    )
