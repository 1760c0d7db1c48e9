"""What surrounds an algorithm's own iteration: how often it is gone through before something is
reported, evaluation where it is due, callbacks.

Invariant: what fails here fails one member; the others do not notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from algorithms.core.packs.evaluation import evaluate_member, evaluation_environment
from algorithms.core.packs.own_evaluation import FIELD, evaluate_by
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
            reports |= _iterations(pack)
        for id in list(pack.ids):
            _attempt(pack, id, reports, lambda id: _finish(pack, id, reports))
    return reports


COUNTED = (
    "env_runners/num_env_steps_sampled",
    "env_runners/num_episodes",
    "time_this_iter_s",
)
"""What a report counts of its iteration; everything else is as it is at the end."""


def _iterations(pack: AlgorithmPack) -> Reports:
    """As many of the algorithm's own iterations as the settings ask for, reported as one."""
    started = time.perf_counter()
    reports, done = pack.iterate(), 1
    while pack.members and (done < pack.rounds() or _early(pack, started)):
        for member in pack.members:
            member.iteration -= 1
        for id, report in pack.iterate().items():
            before = reports[id]
            if not isinstance(report, Failure) and not isinstance(before, Failure):
                sums = {name: before[name] + report[name] for name in COUNTED if name in report}
                report = report | sums
            reports[id] = report
        done += 1
    return reports


def _early(pack: AlgorithmPack, started: float) -> bool:
    """Whether the time that an iteration is to take is not over."""
    least = max(member.config.get("min_time_s_per_iteration") or 0 for member in pack.members)
    return time.perf_counter() - started < least


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
    return evaluation_environment(config)["env"] is not None or config[FIELD] is not None


def evaluate(
    pack: AlgorithmPack, id: ReplicaId, *, seed: int, function: Any = None, **given: Any
) -> Metrics:
    """What a member reaches, its callbacks told: by `function`, its `custom_evaluation_function`,
    or (and wherever something is `given`) by `evaluate_member`. Raises what these do."""
    if pack.hooks is not None:
        pack.hooks.call(id, "on_evaluate_start")
    row = pack.ids.index(id)
    given = {name: value for name, value in given.items() if value is not None}
    own = pack.members[row].config[FIELD] if function is None and not given else function
    if own is not None:
        found = evaluate_by(pack, id, own, seed)
    else:
        found = evaluate_member(pack, row, seed=seed, **given)
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
