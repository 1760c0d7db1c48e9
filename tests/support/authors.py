"""What an author wrote, driven as a worker drives it."""

from __future__ import annotations

from typing import Any

from tunerl.registry import trainable
from tunerl.trainable import Failure, Pack
from tunerl.trial import Metrics, ReplicaId

ID = ReplicaId(3, 1)


def joined(target: Any, config: dict[str, Any] | None = None, seed: int = 7) -> Pack:
    pack = trainable(target).open({})
    pack.join(ID, config or {}, seed)
    return pack


def step(pack: Pack) -> Metrics:
    outcome = pack.step()[ID]
    assert not isinstance(outcome, Failure), outcome.traceback
    return outcome


def failure(pack: Pack) -> Failure:
    outcome = pack.step()[ID]
    assert isinstance(outcome, Failure)
    return outcome
