"""Begins, before an experiment runs, what its first packs would wait for."""

from __future__ import annotations

import logging
import os

from tunerl.errors import TuneRLError
from tunerl.kinds import Kinds
from tunerl.spec import ExperimentSpec, Parts
from tunerl.trainable import TrainableSpec

log = logging.getLogger(__name__)


def warm(trainable: TrainableSpec, spec: ExperimentSpec, parts: Parts) -> None:
    """Let the trainable prepare for its first pack, where all trials will be of one kind.

    For packs on this machine, which share its disk; not on a cluster (``RAY_ADDRESS``). It is only
    about time: whatever goes wrong will go wrong again, and be told, where it matters.
    """
    if os.environ.get("RAY_ADDRESS") or type(trainable).warm is TrainableSpec.warm:
        return
    try:
        kinds = Kinds(trainable, spec, parts)
        if len(kinds.counts) == 1:
            replicas = kinds.replicas(kinds.samples[0])
            planned = trainable.plan(kinds.samples[0], replicas=replicas, stop=spec.stop)
            trainable.warm(planned, replicas=replicas)
    except (TuneRLError, OSError) as error:
        log.debug("nothing was prepared: %s", error)
