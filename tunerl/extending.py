"""Changes an experiment that was made: its stop rule, its budget, its space; and it goes on.

Invariant: what was recorded stays; schedulers and searchers are shown it again as though the new
rules had been there from the beginning, and decide anew from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunerl import spec as specs
from tunerl.control.earlier import recorded
from tunerl.errors import InvalidSpec, Problem, nearest
from tunerl.spec import Custom, ExperimentSpec
from tunerl.store.records import Change, Lease, Tick
from tunerl.trainable import TrainableSpec
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store

CHANGEABLE = (
    "max_concurrent_trials",
    "num_samples",
    "param_space",
    "stop",
    "stopper",
    "time_budget_s",
)


def amended(
    spec: ExperimentSpec, changes: Mapping[str, Any], trainable: TrainableSpec, custom: Custom
) -> ExperimentSpec:
    """The spec with `changes` (fields of `CHANGEABLE`, and `python`), checked.

    Raises `InvalidSpec` for another field, and for all that the changed spec makes wrong.
    """
    problems = [
        Problem(name, f"cannot be changed; {nearest(name, CHANGEABLE)}")
        for name in changes
        if name not in (*CHANGEABLE, "python")
    ]
    if problems:
        raise InvalidSpec(problems)
    return specs.check(replace(spec, **changes), trainable, custom)


@dataclass(frozen=True)
class Extension:
    """From one spec to another. `custom`: what of the new one is Python. `stopped`: the stop rule
    is another one."""

    before: ExperimentSpec
    after: ExperimentSpec
    custom: Custom
    stopped: bool

    def apply(self, store: Store, lease: Lease) -> None:
        """Record the change and let trials go on that the new rules no longer end; in one
        transaction. The lease is held."""
        names = [n for n in CHANGEABLE if getattr(self.before, n) != getattr(self.after, n)]
        reasons = {Reason.BUDGET} if "time_budget_s" in names else set()
        if self.stopped:
            reasons |= {Reason.STOP_RULE}
        ended = {
            record.number
            for record in store.trials(lease.experiment_id, status=Status.TERMINATED)
            if record.reason in reasons
        }
        if ended:
            ended -= self._over(store, lease.experiment_id)
        tick = Tick(changes=[Change(number, Status.PENDING) for number in sorted(ended)])
        what = ", ".join(names) or "stop"
        message = f"goes on with another {what}; {len(ended)} trials go on"
        store.amend(lease, self.after.to_json(), message, tick)

    def _over(self, store: Store, id: str) -> set[int]:
        """Trials that the new rules would have ended by now."""
        rules = specs.build(self.after, self.custom).rules
        return {r.trial for r in recorded(store, id) if rules.reached(r.trial, r.metrics)}
