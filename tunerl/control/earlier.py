"""The trials of stored experiments as a searcher sees them, for a warm start and for importances.

Invariant: what a searcher learned from is pinned by an event when the experiment begins; so one
that is taken up again learns the same, whatever has become of the earlier experiments since.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunerl.control.ledger import Ledger
from tunerl.control.objects import Objects
from tunerl.errors import InvalidSpace, InvalidSpec, NotFound, Problem
from tunerl.searchers.base import Observation
from tunerl.spec import ExperimentSpec
from tunerl.store.records import Event, ResultRecord
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.searchers.base import Searcher
    from tunerl.store import Store

LEARNED = "searcher.learned"
PAGE = 5000
Pin = tuple[int, int, str, str | None]  # a trial's number, iteration, status and reason


def check_warm_start(store: Store, spec: ExperimentSpec) -> list[str]:
    """The ids of the experiments to learn from. Raises `InvalidSpec` for one that is not there, or
    that was after something else."""
    problems, ids = [], []
    for index, name in enumerate(spec.warm_start):
        try:
            found = store.get_experiment(name)
        except NotFound as error:
            problems.append(Problem(f"warm_start[{index}]", str(error)))
            continue
        theirs = {found.spec.get("metric"): found.spec.get("mode")}
        theirs |= found.spec.get("more_objectives") or {}
        if list(theirs.items()) != list(spec.objectives.items()):
            message = f"{name!r} was after {theirs}, this experiment is after {spec.objectives}"
            problems.append(Problem(f"warm_start[{index}]", message))
        ids.append(found.id)
    if problems:
        raise InvalidSpec(problems)
    return ids


def learn(
    store: Store, ledger: Ledger, spec: ExperimentSpec, searcher: Searcher, objects: Objects
) -> None:
    """Tell the searcher of the experiments that `spec.warm_start` names.

    Raises `InvalidSpec`, and `NotFound` where one was deleted after this experiment had begun.
    """
    if not spec.warm_start:
        return
    pinned = _pinned(store, ledger.experiment_id)
    if not pinned:
        for id in check_warm_start(store, spec):
            pins = [
                (r.number, r.iteration, str(r.status), None if r.reason is None else str(r.reason))
                for r in store.trials(id)
                if r.status.finished
            ]
            pinned.append((id, pins))
            message = f"the searcher knows {len(pins)} trials of {id}"
            ledger.event(LEARNED, message, experiment=id, trials=[list(pin) for pin in pins])
    earlier = [seen for id, pins in pinned for seen in observations(store, id, pins)]
    for place, seen in enumerate(earlier):
        seen.number, seen.closed = place, place + 1
        with contextlib.suppress(InvalidSpace):  # such a one lies outside of the space
            seen.config = objects.thaw(seen.config)
    searcher.learn(earlier)


def _pinned(store: Store, id: str) -> list[tuple[str, list[Pin]]]:
    return [
        (event.data["experiment"], [(n, i, s, r) for n, i, s, r in event.data["trials"]])
        for event in events(store, id)
        if event.kind == LEARNED
    ]


def observations(store: Store, id: str, pins: Sequence[Pin]) -> list[Observation]:
    """The pinned trials as they stood then, with all their values."""
    records = {record.number: record for record in store.trials(id)}
    found = {
        number: Observation(
            number,
            records[number].config,
            Status(status),
            None if reason is None else Reason(reason),
            closed=number + 1,
        )
        for number, _, status, reason in pins
    }
    latest = {number: iteration for number, iteration, _, _ in pins}
    for result in recorded(store, id):
        seen = found.get(result.trial)
        if seen is None or result.iteration > latest[result.trial]:
            continue
        if result.objective is not None:
            seen.values.append((result.iteration, result.objective))
            seen.arrivals.append(result.trial + 1)
        if result.iteration == latest[result.trial]:
            seen.last = result.metrics
    return list(found.values())


def ended(store: Store, id: str) -> list[Observation]:
    """Every trial that has ended, with its last result only."""
    return [
        Observation(
            record.number,
            record.config,
            record.status,
            record.reason,
            [] if record.objective is None else [(record.iteration, record.objective)],
            last=record.last,
        )
        for record in store.trials(id)
        if record.status.finished
    ]


def events(store: Store, id: str) -> Iterator[Event]:
    """All of an experiment's events, oldest first."""
    after = 0
    while page := store.events(id, after=after, limit=PAGE):
        yield from page
        after = page[-1].id


def recorded(store: Store, id: str) -> Iterator[ResultRecord]:
    """All of an experiment's results, in order of arrival."""
    after = 0
    while page := store.results(id, after=after, limit=PAGE):
        yield from page
        after = page[-1].id
