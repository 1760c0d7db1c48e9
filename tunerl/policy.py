"""Who took over from whom, and with which settings: read from the store's events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tunerl.errors import NotFound
from tunerl.trial import Config

if TYPE_CHECKING:
    from tunerl.store import Store
    from tunerl.store.records import Event

EXPLOIT = "trial.exploit"
PAGE = 1000


@dataclass(frozen=True)
class Change:
    """Trial `target`, at its `iteration`, went on from `source` as that was at `source_iteration`,
    with `config` instead of `old`. The source is the target where only settings changed."""

    target: int
    source: int
    iteration: int
    source_iteration: int
    old: Config
    config: Config
    at: datetime | None = None


def policy_log(store: Store, experiment: str) -> list[Change]:
    """All exploits of an experiment (id or name), in their order. Raises `NotFound`."""
    id = store.get_experiment(experiment).id
    return [
        Change(
            event.trial,
            event.data["source"],
            event.data["iteration"],
            event.data["source_iteration"],
            event.data["old"],
            event.data["config"],
            event.created_at,
        )
        for event in _events(store, id)
        if event.kind == EXPLOIT and event.trial is not None
    ]


def policy_of(store: Store, experiment: str, trial: int) -> list[tuple[int, Config]]:
    """The settings under which a trial's state came to be, from its first ancestor on.

    ``[(iterations behind it, configuration), ...]``, as `PopulationBasedTrainingReplay` takes it.
    Raises `NotFound`.
    """
    id = store.get_experiment(experiment).id
    if trial not in {record.number for record in store.trials(id)}:
        raise NotFound(f"experiment {id} has no trial {trial}")
    log = policy_log(store, id)
    first = {change.target: change.old for change in reversed(log)}
    found: list[tuple[int, Config]] = []
    number, until = trial, None
    changes: list[Change] = []
    for change in reversed(log):
        late = until is not None and change.iteration > until
        if change.target == number and not late:
            changes.insert(0, change)
            number, until = change.source, change.source_iteration
    config = first.get(number, store.trial(id, number).config)
    found.append((0, config))
    age, began = 0, 0
    for change in changes:
        age += change.source_iteration - began
        began = change.iteration
        if found[-1][0] == age:
            found.pop()
        found.append((age, change.config))
    return found


def _events(store: Store, id: str) -> Iterator[Event]:
    after = 0
    while page := store.events(id, after=after, limit=PAGE):
        yield from page
        after = page[-1].id
