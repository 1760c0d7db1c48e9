"""What the controller knows of its trials, and what it has yet to write: one `Tick` a turn.

Invariant: memory and store agree after every `commit`; each change of a trial goes through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tunerl.control.needs import Needs
from tunerl.control.suspects import Suspicion
from tunerl.searchers.base import Observation
from tunerl.store.records import Change, CheckpointRecord, Event, Lease, ResultRecord, Tick
from tunerl.trial import Config, Metrics, Reason, Status, Trial

if TYPE_CHECKING:
    from tunerl.store import Store


@dataclass(frozen=True)
class Intent:
    """What shall become of a running trial once all its replicas stand at the same iteration.

    `end`: why it ends; None: it is put aside (paused). `resume`: it was wanted again before it was
    put aside. `told`: the scheduler knows of the end. `seeds`: how many replicas it is given when
    it is put aside; 0: those it has.
    """

    end: Reason | None
    resume: bool = False
    told: bool = True
    seeds: int = 0


@dataclass
class Takeover:
    """An exploit that is not carried out yet: a trial is to go on from the state of `source`.

    `at`: the iteration of the source that counts; None: the source is to be looked at. `uri`: the
    source's checkpoint, pinned for this. `own`: whether the target keeps its own state, and takes
    nothing but `config`. `copying`: the orders are out; it is over once the target is saved.
    `blocked`: somebody still needs the target's old state.
    """

    source: int
    config: Config
    at: int | None = None
    uri: str | None = None
    own: bool = False
    copying: bool = False
    blocked: bool = False


@dataclass(slots=True)
class Run(Trial):
    """A trial as its controller sees it.

    `reported`: replicas (by index) that have finished the iteration in progress. `done`: those that
    said so, with their last metrics. `held`: those that wait, with a place but outside of their
    pack, until newer ones have come to the checkpoint that they go on from. `widths`: from which
    result on it had how many replicas. `seats`: the numbers of the packs in which its replicas sit
    or sat last, where that matters. `caught`: the iteration of the replicas for which others are
    held. `lag`: what was `remaining` when it was interrupted. `allocated`: what a pack of it
    occupies, where a scheduler says so, instead of what its trainable asks for; `kind`: its key
    without that, and without its ward.
    """

    resolved: Config = field(default_factory=dict)
    key: str = ""
    capacity: int = 1
    resources: dict[str, float] = field(default_factory=dict)
    intent: Intent | None = None
    reported: dict[int, Metrics] = field(default_factory=dict)
    done: dict[int, Metrics] = field(default_factory=dict)
    packs: dict[int, str] = field(default_factory=dict)  # by replica index
    position: int = 0  # the iteration at which all its replicas stand
    losses: int = 0  # workers lost in a row without a new result, that it had for itself
    suspicion: Suspicion = field(default_factory=Suspicion)
    held: set[int] = field(default_factory=set)
    widths: list[tuple[int, int]] = field(default_factory=list)
    kind: str = ""
    allocated: dict[str, float] | None = None
    takeover: Takeover | None = None
    replicas_last: list[Metrics] = field(default_factory=list)  # their own metrics in `last`
    seats: tuple[int, ...] = ()
    caught: int = 0
    lag: int = 0

    @property
    def remaining(self) -> int:
        """How many iterations it trains unrecorded, until it reports something new."""
        if self.status is Status.RUNNING:
            new = self.checkpoint_iteration - self.caught if self.held else 0
            return new + self.iteration - self.position
        if self.heir:
            return 0
        new = self.checkpoint_iteration if 0 < self.saved < len(self.seeds) else 0
        return new + self.iteration - self.checkpoint_iteration

    @property
    def behind(self) -> int:
        """How many of them it had gone through before it was interrupted."""
        return self.remaining - self.lag

    @property
    def heir(self) -> bool:
        """Whether it goes on from another trial's checkpoint."""
        return self.takeover is not None and self.takeover.uri is not None

    @property
    def waits(self) -> bool:
        """Whether it cannot be placed: the state that it is to take over is not there yet."""
        takeover = self.takeover
        if takeover is None or takeover.own:
            return False
        return takeover.uri is None or takeover.blocked

    def take(self, needs: Needs) -> None:
        """Take over what its configuration needs."""
        self.resolved, self.key, self.kind = needs.resolved, needs.key, needs.key
        self.capacity, self.resources = needs.capacity, needs.resources
        self.occupy()

    def reset(self) -> None:
        """Forget what its replicas did since they joined."""
        self.reported.clear()
        self.done.clear()
        self.packs.clear()
        self.held.clear()
        self.caught = 0

    def occupy(self) -> None:
        """Take over what has been allocated. Trials that occupy other amounts, or are kept apart,
        share no pack."""
        self.key = self.kind
        if self.allocated is not None:
            self.resources = self.allocated
            self.key += f" {sorted(self.allocated.items())}"
        if self.suspicion.ward:
            self.key += f" apart {self.suspicion.ward}"

    @property
    def saved(self) -> int:
        """How many of its replicas are in its checkpoint: as many as reported when it was made."""
        if self.checkpoint is None:
            return 0
        at = self.checkpoint_iteration
        return next((n for since, n in reversed(self.widths) if since <= at), len(self.seeds))


def replica_seeds(seed: int, trial: int, count: int) -> tuple[int, ...]:
    """The seeds of a trial's replicas: a function of the experiment's seed and the trial's number.

    They are tuning seeds: judge the winner on others.
    """
    words = np.random.SeedSequence([seed % 2**64, trial]).generate_state(count)
    return tuple(int(word) >> 1 for word in words)


class Ledger:
    """The trials of one experiment."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store, self._lease = store, lease
        self._tick = Tick()
        self.listener: Callable[[Tick], None] | None = None  # is told what was committed
        self.trials: dict[int, Run] = {}
        self.history: list[Observation] = []
        self.of: dict[Status, dict[int, Run]] = {status: {} for status in Status}
        self.results = 0  # recorded so far
        self.steps = 0  # environment steps, over all trials and replicas
        self.best: tuple[float, int] | None = None  # objective, trial

    @property
    def experiment_id(self) -> str:
        return self._lease.experiment_id

    @property
    def unfinished(self) -> list[Run]:
        """PENDING, RUNNING and PAUSED trials, by number."""
        live = self.of[Status.PENDING] | self.of[Status.RUNNING] | self.of[Status.PAUSED]
        return [live[number] for number in sorted(live)]

    def enter(self, run: Run) -> None:
        """Take up a trial that the store knows already."""
        assert run.number == len(self.history), "trials come in order of number, without gaps"
        self.trials[run.number] = run
        self.of[run.status][run.number] = run
        self.history.append(Observation(run.number, run.config, run.status, run.reason))

    def add(self, config: Config, seeds: tuple[int, ...], frozen: Config) -> Run:
        """A new PENDING trial; `frozen`: its configuration as JSON, for the store."""
        run = Run(len(self.history), config, seeds)
        self.enter(run)
        self._tick.new_trials.append((run.number, frozen, seeds))
        return run

    def move(self, run: Run, status: Status, reason: Reason | None = None, **columns: Any) -> None:
        """Change a trial's status by the table; `columns`: further ones of `Change`."""
        aside = Status.PAUSED in (run.status, status)
        del self.of[run.status][run.number]
        run.move(status, reason)
        self.of[status][run.number] = run
        for name, value in columns.items():
            setattr(run, name, value)
        self._tick.changes.append(Change(run.number, status, reason, **columns))
        if status.finished or aside:
            self.observe(run, status, reason)
        if status.finished:
            run.reset()

    def widen(self, run: Run, count: int, seed: int) -> None:
        """Give a trial that does not run replicas up to `count`; `seed`: the experiment's."""
        run.seeds += replica_seeds(seed, run.number, count)[len(run.seeds) :]
        self._tick.changes.append(Change(run.number, run.status, seeds=run.seeds))
        self.event("trial.widened", f"judged on {count} seeds from now on", run.number)

    def observe(self, run: Run, status: Status, reason: Reason | None) -> None:
        """Show the searcher where a trial stands."""
        seen = self.history[run.number]
        if (seen.status, seen.reason) != (status, reason):
            seen.status, seen.reason = status, reason
            seen.version += 1
        if status.finished:
            self.close(run.number)

    def close(self, number: int) -> None:
        """Note when a trial came to its end, counted in trials."""
        if self.history[number].closed is None:
            self.history[number].closed = len(self.history)

    def record(self, run: Run, result: ResultRecord, mode: str | None) -> None:
        """A new result, to be written with this turn's tick."""
        self._tick.results.append(result)
        self.remember(run, result, mode)

    def remember(self, run: Run, result: ResultRecord, mode: str | None) -> None:
        """Take note of a result that is, or will be, in the store."""
        count, before = len(result.replicas) or 1, run.widths[-1][1] if run.widths else 0
        self.steps += _steps(result.metrics) * count - _steps(run.last) * before
        if count != before:
            run.widths.append((result.iteration, count))
        run.iteration, run.last = result.iteration, result.metrics
        self.results += 1
        run.replicas_last = result.replicas or [result.metrics]
        seen, value = self.history[run.number], result.objective
        seen.last = result.metrics
        if value is None:
            return
        seen.values.append((result.iteration, value))
        seen.arrivals.append(len(self.history))
        seen.version += 1
        best = self.best[0] if self.best else None
        if value == value and (best is None or (value > best if mode == "max" else value < best)):
            self.best = (value, run.number)

    def checkpoint(self, record: CheckpointRecord) -> None:
        self._tick.checkpoints.append(record)

    def pin(self, uri: str, more: int) -> None:
        """Keep a checkpoint from being deleted (1), or no longer (-1)."""
        self._tick.pins.append((uri, more))

    def configure(self, run: Run, frozen: Config) -> None:
        """Write down another configuration of a trial, as JSON."""
        self._tick.changes.append(Change(run.number, run.status, config=frozen))

    def forget(self, uri: str) -> None:
        self._tick.forgotten.append(uri)

    def event(self, kind: str, message: str, trial: int | None = None, **data: Any) -> None:
        """Append to the experiment's log."""
        self._tick.events.append(Event(kind, message, trial, data))

    def commit(self) -> list[str]:
        """Write all of this turn in one transaction; the checkpoints that may be deleted now.

        Raises `Fenced` when the experiment has passed to another process.
        """
        tick, self._tick = self._tick, Tick()
        if tick:
            self._store.commit(self._lease, tick)
            if self.listener is not None:
                self.listener(tick)
        return tick.forgotten


def _steps(metrics: Metrics) -> int:
    value = metrics.get("num_env_steps_sampled_lifetime")
    return int(value) if isinstance(value, int | float) and value == value else 0
