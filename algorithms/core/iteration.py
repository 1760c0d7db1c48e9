"""What surrounds an algorithm's own iteration: evaluation where it is due.

Invariant: what fails here fails one member; the others do not notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from algorithms.core.evaluation import evaluate_member, evaluation_environment
from tunerl.errors import Conflict
from tunerl.trainable import Failure
from tunerl.trial import Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.core.pack import AlgorithmPack

Reports = dict[ReplicaId, Metrics | Failure]


def advance(pack: AlgorithmPack) -> Reports:
    """One training iteration of every member of a pack; who fails has left it then."""
    with _busy(pack):
        reports = pack.iterate()
        for id, report in reports.items():
            if isinstance(report, Failure):
                continue
            try:
                report |= _evaluated(pack, id)
            except Exception as error:
                reports[id] = Failure.of(error)
                pack.leave(id)
    return reports


@contextmanager
def _busy(pack: AlgorithmPack) -> Iterator[None]:
    """While it holds nobody else makes the pack go on."""
    if pack.busy:
        raise Conflict("this agent is in the middle of an iteration; it cannot begin another one")
    pack.busy = True
    try:
        yield
    finally:
        pack.busy = False


def _evaluated(pack: AlgorithmPack, id: ReplicaId) -> Metrics:
    """What a member that is due for evaluation reached in it."""
    row = pack.ids.index(id)
    member = pack.members[row]
    interval = member.config["evaluation_interval"]
    nowhere = evaluation_environment(member.config)["env"] is None
    if nowhere or not interval or member.iteration % interval:
        return {}
    found = evaluate_member(pack, row, seed=member.seed)
    pack.evaluated(member, found)
    return {f"evaluation/{name}": value for name, value in found.items()}
