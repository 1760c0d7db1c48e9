"""How an experiment stands when its controller leaves it."""

from __future__ import annotations

from dataclasses import dataclass

from tunerl.control.ledger import Ledger
from tunerl.trial import ExperimentStatus, Status


@dataclass(frozen=True)
class Outcome:
    """A status, and why."""

    status: ExperimentStatus
    reason: str | None = None


REQUESTED = {
    "cancel": Outcome(ExperimentStatus.CANCELED, "canceled by the user"),
    "pause": Outcome(ExperimentStatus.PAUSED, "paused by the user"),
}
"""What the requests of a user make of an experiment."""


def verdict(ledger: Ledger) -> Outcome:
    """When all is done: completed, unless not one trial came to something."""
    trials, errors = len(ledger.trials), ledger.of[Status.ERROR]
    if trials and len(errors) == trials:
        lines = (errors[min(errors)].error or "").strip().splitlines()
        text = f"all {trials} trials failed, the first with: {lines[-1] if lines else '?'}"
        return Outcome(ExperimentStatus.ERROR, text)
    reason = f"{len(errors)} of {trials} trials failed" if errors else None
    return Outcome(ExperimentStatus.COMPLETED, reason)
