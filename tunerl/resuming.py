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
        for record in store.trials(lease.experiment_id):
            change = self._change(record)
            if change is not None:
                tick.changes.append(change)
            if record.status is Status.ERROR and self.restart_errored:
                restarted.add(record.number)
        gone = [r.uri for r in store.checkpoints(lease.experiment_id) if r.trial in restarted]
        tick.forgotten = gone
        if tick:
            store.commit(lease, tick)
        for uri in gone:
            if f"/{lease.experiment_id}/" in uri:  # else of the experiment it was forked from
                checkpoints.delete(uri)

    def _change(self, record: TrialRecord) -> Change | None:
        if record.status is Status.ERROR:
            again = self.errored or self.restart_errored
            back = Change(record.number, Status.PENDING, failures=0, error="")
            return back if again else None
        if record.status is Status.CANCELED:
            return Change(record.number, Status.PENDING) if self.unfinished else None
        if record.status.finished or self.unfinished:
            return None
        return Change(record.number, Status.CANCELED, Reason.USER)
