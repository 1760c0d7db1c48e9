"""Which trials of a stored experiment are run again, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunerl import checkpoints
from tunerl.store.records import Change, Lease, Tick, TrialRecord
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store


@dataclass(frozen=True)
class Resume:
    """Ray Tune's three switches. See `tunerl.tuner.Tuner.restore`."""

    unfinished: bool = True
    errored: bool = False
    restart_errored: bool = False

    def prepare(self, store: Store, lease: Lease) -> None:
        """Put the trials back, or aside, in one transaction. The lease is held."""
        tick = Tick()
        restarted = set()
        for status in self._concerned:
            for record in store.trials(lease.experiment_id, status=status):
                tick.changes.append(self._change(record))
                if record.status is Status.ERROR and self.restart_errored:
                    restarted.add(record.number)
        gone = [r.uri for r in store.checkpoints(lease.experiment_id) if r.trial in restarted]
        tick.forgotten = gone
        if tick:
            store.commit(lease, tick)
        for uri in gone:
            if f"/{lease.experiment_id}/" in uri:  # else of the experiment it was forked from
                checkpoints.delete(uri)

    @property
    def _concerned(self) -> list[Status]:
        """The statuses of trials that may be put back, or aside."""
        failed = [Status.ERROR] if self.errored or self.restart_errored else []
        live = [Status.CANCELED] if self.unfinished else [s for s in Status if not s.finished]
        return failed + live

    @staticmethod
    def _change(record: TrialRecord) -> Change:
        if record.status is Status.ERROR:
            return Change(record.number, Status.PENDING, failures=0, error="")
        if record.status is Status.CANCELED:
            return Change(record.number, Status.PENDING)
        return Change(record.number, Status.CANCELED, Reason.USER)
