"""Who took over from whom, and with which settings: read from the store's events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
    return _log(store, store.get_experiment(experiment).id)


def mutations(
    log: Sequence[Change], configs: Mapping[int, Config]
) -> list[dict[str, tuple[Any, Any]]]:
    """Of each change, what it made different from the settings that it took over: flat name to
    (before, after). `log`: all changes, in order. `configs`: each trial's present configuration."""
    now = dict(configs)
    now |= {change.target: change.old for change in reversed(log)}
    found = []
    for change in log:
        before, after = flat_config(now[change.source]), flat_config(change.config)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        found.append({name: (before.get(name), after.get(name)) for name in names})
        now[change.target] = change.config
    return found


def flat_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration as ``/``-joined names and values; lists are values."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_config(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _log(store: Store, id: str) -> list[Change]:
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
        if event.trial is not None
    ]


def policy_of(store: Store, experiment: str, trial: int) -> list[tuple[int, Config]]:
    """The settings under which a trial's state came to be, from its first ancestor on.

    ``[(iterations behind it, configuration), ...]``, as `PopulationBasedTrainingReplay` takes it.
    Raises `NotFound`.
    """
    id = store.get_experiment(experiment).id
    if trial not in {record.number for record in store.trials(id)}:
        raise NotFound(f"experiment {id} has no trial {trial}")
    log = _log(store, id)
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
    while page := store.events(id, after=after, limit=PAGE, kind=EXPLOIT):
        yield from page
        after = page[-1].id
