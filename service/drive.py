"""From a stored experiment to the controller that drives it."""

from __future__ import annotations

from service.settings import Settings
from tunerl import registry
from tunerl.controller import Controller
from tunerl.runtime.base import Runtime
from tunerl.spec import ExperimentSpec
from tunerl.store import Store
from tunerl.store.records import Experiment, Lease


def controller_of(
    store: Store, experiment: Experiment, lease: Lease, runtime: Runtime, settings: Settings
) -> Controller:
    """A controller for an experiment whose lease is held.

    Raises `InvalidSpec`, `NotFound` for what this process does not know.
    """
    spec = ExperimentSpec.from_json(experiment.spec)
    return Controller(
        store=store,
        lease=lease,
        spec=spec,
        trainable=registry.trainable(spec.trainable),
        runtime=runtime,
        root=f"{(spec.storage or settings.checkpoints).rstrip('/')}/{experiment.id}",
        parts=spec.parts(),
        lease_seconds=settings.lease_seconds,
    )
