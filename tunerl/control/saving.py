"""When trials are saved, and what is known of their checkpoints.

Invariant: a checkpoint is recorded only when all replicas of its trial are on disk, at the same
iteration; it is deleted only after the store has forgotten it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tunerl import checkpoints
from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run
from tunerl.control.objects import Objects
from tunerl.errors import CheckpointError
from tunerl.runtime.base import Save, Saved
from tunerl.spec import CheckpointSpec
from tunerl.store.records import CheckpointRecord
from tunerl.trial import ReplicaId

if TYPE_CHECKING:
    from tunerl.store import Store

log = logging.getLogger(__name__)


@dataclass
class _Pending:
    """A checkpoint that is being written."""

    uri: str
    iteration: int
    score: float | None
    packs: frozenset[str]
    passing: bool = False
    parts: dict[int, Saved] = field(default_factory=dict)


class Saver:
    """The checkpoints of one experiment; `root` is its own directory or URL."""

    def __init__(
        self,
        spec: CheckpointSpec,
        *,
        root: str,
        trainable: str,
        stateful: bool,
        store: Store,
        ledger: Ledger,
        fleet: Fleet,
        objects: Objects,
    ) -> None:
        self._spec, self._root, self._trainable = spec, root, trainable
        self._store, self._ledger, self._fleet = store, ledger, fleet
        self._objects = objects
        self._retention = checkpoints.Retention.of(spec)
        self.stateful = stateful
        self.at_end = stateful if spec.at_end is None else spec.at_end
        self._pending: dict[int, _Pending] = {}
        self._kept: dict[int, list[CheckpointRecord]] = {}
        self._passing: set[tuple[int, int]] = set()  # made for an exploit: trial, iteration

    def restore(
        self, records: Iterable[CheckpointRecord], passing: Iterable[tuple[int, int]] = ()
    ) -> None:
        """Take up what the store knows; by trial and iteration. Raises `CheckpointError` where
        nothing can be written: before anything was trained in vain."""
        if self.at_end or self._spec.frequency:
            checkpoints.prepare(self._root)
        self._passing.update(passing)
        for record in records:
            self._kept.setdefault(record.trial, []).append(record)
            run = self._ledger.trials[record.trial]
            run.checkpoint, run.checkpoint_iteration = record.uri, record.iteration

    def due(self, run: Run, iteration: int, asked: bool) -> bool:
        """Whether a trial that stands at `iteration` is saved now. `asked`: by the trainable."""
        if iteration <= run.checkpoint_iteration or run.number in self._pending:
            return False
        every = self._spec.frequency
        return asked or bool(every and iteration % every == 0)

    def saving(self, run: Run) -> bool:
        """Whether a trial's checkpoint is being written."""
        return run.number in self._pending

    def upcoming(self, run: Run) -> int | None:
        """The iteration of the checkpoint that is being written."""
        pending = self._pending.get(run.number)
        return None if pending is None else pending.iteration

    def passing(self, run: Run) -> bool:
        """Whether a trial's newest checkpoint was made for an exploit only."""
        return (run.number, run.checkpoint_iteration) in self._passing

    def save(
        self, run: Run, iteration: int, metrics: Mapping[str, Any], *, passing: bool = False
    ) -> None:
        """Order a checkpoint of all replicas, which stand at `iteration`.

        `passing`: it is for an exploit, and goes as soon as the trial has a newer one.
        """
        storage, _, experiment = self._root.rstrip("/").rpartition("/")
        of = (storage, experiment, run.number, iteration)
        uri = checkpoints.iteration_uri(*of)
        packs = frozenset(run.packs.values())
        score = self._score(metrics)
        self._pending[run.number] = _Pending(uri, iteration, score, packs, passing)
        for index, seed in enumerate(run.seeds):
            meta: dict[str, object] = {
                "trainable": self._trainable,
                "experiment": self._ledger.experiment_id,
                "trial": run.number,
                "replica": index,
                "seed": seed,
                "config": self._objects.freeze(run.resolved),
            }
            id = ReplicaId(run.number, index)
            self._fleet.order(run, index, Save(id, checkpoints.replica_uri(*of, index), meta))

    def _score(self, metrics: Mapping[str, Any]) -> float | None:
        """What retention goes by; None where the metric is missing, which is worst of all."""
        value = metrics.get(self._spec.score_attribute or "")
        return float(value) if isinstance(value, int | float) else None

    def saved(self, part: Saved) -> Run | None:
        """One replica is on disk; the trial, once all of its replicas are."""
        pending, run = self._pending.get(part.id.trial), self._ledger.trials[part.id.trial]
        if pending is None or part.uri != f"{pending.uri}/{part.id.index}":
            return None
        pending.parts[part.id.index] = part
        if len(pending.parts) < len(run.seeds):
            return None
        del self._pending[run.number]
        self._record(run, pending)
        return run

    def _record(self, run: Run, pending: _Pending) -> None:
        parts = [pending.parts[index] for index in range(len(run.seeds))]
        record = CheckpointRecord(
            trial=run.number,
            iteration=pending.iteration,
            uri=pending.uri,
            size=sum(part.size for part in parts),
            sha256=_together([part.sha256 for part in parts]),
            score=pending.score,
        )
        run.checkpoint, run.checkpoint_iteration = pending.uri, pending.iteration
        kept = [r for r in self._kept.get(run.number, []) if r.iteration != record.iteration]
        at = (run.number, record.iteration)
        (self._passing.add if pending.passing else self._passing.discard)(at)
        self._ledger.checkpoint(record)
        self._kept[run.number] = self._thin_out([*kept, record])

    def release(self, run: Run, uri: str) -> None:
        """Take a pin away from one of a trial's checkpoints, and forget it if nothing else keeps
        it."""
        self._ledger.pin(uri, -1)
        if records := self._kept.get(run.number):
            self._kept[run.number] = self._thin_out(records, released=uri)

    def _thin_out(
        self, records: list[CheckpointRecord], released: str | None = None
    ) -> list[CheckpointRecord]:
        """Forget what retention gives up, and what was for an exploit; but for what somebody has
        pinned."""
        if released is None and not self._surplus(records):
            return records
        stored = self._store.checkpoints(self._ledger.experiment_id, records[0].trial)
        pins = {record.iteration: record.pins - (record.uri == released) for record in stored}
        records = [replace(record, pins=pins.get(record.iteration, 0)) for record in records]
        surplus = self._surplus(records)
        for record in surplus:
            self._ledger.forget(record.uri)
        return [record for record in records if record not in surplus]

    def _surplus(self, records: list[CheckpointRecord]) -> list[CheckpointRecord]:
        """`records`: of one trial, the newest last."""
        over = [r for r in records[:-1] if (r.trial, r.iteration) in self._passing and not r.pins]
        rest = [record for record in records if record not in over]
        return over + self._retention.surplus(rest)

    def lost(self, pack: str) -> list[int]:
        """The trials whose checkpoint was being written in a pack that is gone."""
        return [number for number, pending in self._pending.items() if pack in pending.packs]

    def delete(self, uris: Iterable[str]) -> None:
        """Remove what the store has forgotten, unless it is of the experiment that this one was
        forked from. A failure leaves files behind, nothing worse."""
        for uri in uris:
            if not uri.startswith(f"{self._root.rstrip('/')}/"):
                continue
            try:
                checkpoints.delete(uri)
            except CheckpointError as error:
                log.warning("%s", error)

    def drop(self, run: Run) -> None:
        """Give up a checkpoint that will never be complete."""
        self._pending.pop(run.number, None)


def _together(digests: list[str]) -> str:
    """One digest for several; of a single one that one itself."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
