"""Which checkpoints of a trial may go. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunerl.errors import InvalidInput
from tunerl.spec import CheckpointSpec
from tunerl.store.records import CheckpointRecord

ORDERS = ("max", "min")


@dataclass(frozen=True)
class Retention:
    """Ray Tune's rule: the `num_to_keep` best of each trial stay, and its newest besides.

    Best by score under `order` when `scored`, else newest first; equal scores: the newer one. NaN
    is worse than any number, no score worse still. The newest of a trial that may go on is kept
    even where it is not among the best (then there is one more than `num_to_keep`). What is pinned
    stays. `num_to_keep` None: everything stays.
    """

    num_to_keep: int | None = None
    scored: bool = False
    order: str = "max"

    def __post_init__(self) -> None:
        if self.num_to_keep is not None and self.num_to_keep < 1:
            raise InvalidInput(
                f"num_to_keep={self.num_to_keep}; it must be at least 1, or None for all"
            )
        if self.order not in ORDERS:
            raise InvalidInput(f"score_order={self.order!r}; it must be one of {ORDERS}")

    @classmethod
    def of(cls, spec: CheckpointSpec) -> Retention:
        """The rule of an experiment."""
        return cls(spec.num_to_keep, spec.score_attribute is not None, spec.score_order)

    def surplus(
        self, records: Sequence[CheckpointRecord], running: bool = True
    ) -> list[CheckpointRecord]:
        """Which of `records` (of any trials) to delete, oldest first.

        `running`: their trials may still go on, so the newest of each stays.
        """
        if self.num_to_keep is None:
            return []
        gone = []
        for trial in sorted({record.trial for record in records}):
            own = sorted((r for r in records if r.trial == trial), key=lambda r: r.iteration)
            kept = sorted(own, key=self._rank)[-self.num_to_keep :]
            if running:
                kept.append(own[-1])
            gone += [record for record in own if record not in kept and not record.pins]
        return gone

    def _rank(self, record: CheckpointRecord) -> tuple[int, float, int]:
        """The higher, the better."""
        score = record.score if self.scored else 0.0
        if score is None:
            return (0, 0.0, record.iteration)
        if math.isnan(score):
            return (1, 0.0, record.iteration)
        return (2, score if self.order == "max" else -score, record.iteration)
