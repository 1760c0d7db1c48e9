"""What surrounds an algorithm's own iteration: evaluation where it is due, callbacks.

Invariant: what fails here fails one member; the others do not notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from algorithms.core.packs.evaluation import evaluate_member, evaluation_environment
from tunerl.errors import Conflict
from tunerl.trainable import Failure
from tunerl.trial import Config, Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack

Reports = dict[ReplicaId, Metrics | Failure]


def advance(pack: AlgorithmPack) -> Reports:
    """One training iteration of every member of a pack; who fails has left it then."""
    reports: Reports = {}
    with _busy(pack):
        hooks = pack.hooks
        for id in list(pack.ids) if hooks is not None else ():
            _attempt(pack, id, reports, lambda id: hooks.begin(id) if hooks else None)
        with _iterating(pack):
            reports |= pack.iterate()
        for id in list(pack.ids):
            _attempt(pack, id, reports, lambda id: _finish(pack, id, reports))
    return reports


def _attempt(
    pack: AlgorithmPack, id: ReplicaId, reports: Reports, call: Callable[[ReplicaId], None]
) -> None:
    """What `call` raises is the failure of that member."""
    try:
        call(id)
    except Exception as error:
        reports[id] = Failure.of(error)
        pack.leave(id)


def _finish(pack: AlgorithmPack, id: ReplicaId, reports: Reports) -> None:
    report = reports[id]
    assert not isinstance(report, Failure)
    member = pack.members[pack.ids.index(id)]
    interval = member.config["evaluation_interval"]
    if interval and member.iteration % interval == 0 and _has_environment(member.config):
        found = evaluate(pack, id, seed=member.seed)
        pack.evaluated(member, found)
        report = report | {f"evaluation/{name}": value for name, value in found.items()}
    reports[id] = report if pack.hooks is None else pack.hooks.finished(id, report)


def _has_environment(config: Config) -> bool:
    return evaluation_environment(config)["env"] is not None


def evaluate(pack: AlgorithmPack, id: ReplicaId, **given: Any) -> Metrics:
    """`evaluate_member` of a member, its callbacks told. Raises what an environment or they do."""
    if pack.hooks is not None:
        pack.hooks.call(id, "on_evaluate_start")
    found = evaluate_member(pack, pack.ids.index(id), **given)
    if pack.hooks is None:
        return found
    return pack.hooks.changed(id, "on_evaluate_end", "evaluation_metrics", found)


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


@contextmanager
def _iterating(pack: AlgorithmPack) -> Iterator[None]:
    pack.iterating = True
    try:
        yield
    finally:
        pack.iterating = False
