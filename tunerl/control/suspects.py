"""Who may have killed the worker that several trials shared: they are kept apart until it is clear.

Invariant: after a second death in a row the members of a pack go on in two halves, which share no
pack with anybody else, and so on; so whoever kills its worker is soon alone, and the others are
free again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunerl.control.ledger import Run

LOST = "pack.lost"  # kind of the event that a replay reads
PATIENCE = 2  # deaths of a shared worker until its trials are kept apart
SURVIVAL = 2  # a trial is cleared once it has lived longer than the dead worker by this factor
FIRST = 1 << 40  # suspects come before all others, so that it is soon clear


@dataclass(slots=True)
class Suspicion:
    """What is held against one trial. `deaths`: of workers that it shared, since it was cleared;
    `danger`: the most iterations that it lived in them. `ward`: it shares packs only with trials
    of the same one. `since`: the iteration at which it got its place. `freed`: it was let out of a
    ward once; the next is for good. `guilty`: a worker died that it had for itself."""

    deaths: int = 0
    danger: int = 0
    ward: str = ""
    since: int = 0
    freed: bool = False
    guilty: bool = False


def died(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Note that a worker died under these trials; by their wards, if they are kept apart from now
    on."""
    for run in runs:
        case = run.suspicion
        case.deaths += 1
        case.danger = max(case.danger, run.position - case.since)
    if len(runs) == 1:
        runs[0].suspicion.guilty = True
        runs[0].losses += 1
        return {}
    if max((run.suspicion.deaths for run in runs), default=0) < PATIENCE:
        return {}
    order = sorted(runs, key=lambda run: (-run.suspicion.deaths, run.number))
    half = (len(order) + 1) // 2
    wards = {f"{part[0].number}.{part[0].attempt}": part for part in (order[:half], order[half:])}
    for ward, members in wards.items():
        for run in members:
            run.suspicion.ward = ward
            run.occupy()
    return wards


def survived(run: Run) -> bool:
    """Whether a trial, which stands at an iteration now, is cleared and may leave its ward."""
    case = run.suspicion
    if not case.deaths or run.position - case.since <= SURVIVAL * case.danger:
        return False
    case.deaths, case.danger = 0, 0
    if not case.ward or case.freed:
        return False
    case.ward, case.freed = "", True
    run.occupy()
    return True


def cases(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What is held against these trials, as plain data: for the event of the worker's death."""
    return [
        {
            **asdict(run.suspicion),
            "trial": run.number,
            "since": run.checkpoint_iteration,  # where it goes on from
            "losses": run.losses,
            "iteration": run.iteration,
        }
        for run in runs
    ]


def recall(run: Run, case: Mapping[str, Any]) -> None:
    """Hold against a trial, as a replay leaves it, what was held against it when its last worker
    died, unless its results since then clear it."""
    own = {name: value for name, value in case.items() if name in Suspicion.__annotations__}
    run.suspicion, run.losses = Suspicion(**own), case["losses"]
    if run.iteration > case["iteration"]:
        run.position, run.losses = run.iteration, 0
        survived(run)


def order(run: Run) -> int:
    """A trial's turn among those that wait."""
    case = run.suspicion
    return run.number - FIRST if case.ward and not case.guilty else run.number
