"""Makes new trials: asks the searcher while there is room, finds out what each trial needs.

Invariant: a trial's configuration and seeds follow from the experiment's seed, the trial's number
and the history; never from the clock.
"""

from __future__ import annotations

from tunerl.control.fleet import Fleet
from tunerl.control.ledger import Ledger, Run, replica_seeds
from tunerl.control.recorder import Recorder
from tunerl.errors import InvalidConfig, InvalidSpec, Problem
from tunerl.kinds import Kinds
from tunerl.searchers.base import Wait
from tunerl.spec import ExperimentSpec, Parts
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config, Status

MAX_REFUSED = 100  # invalid configurations from the beginning on, until the space is to blame


class Proposer:
    """`exhausted`: the searcher has no more."""

    def __init__(
        self,
        spec: ExperimentSpec,
        trainable: TrainableSpec,
        parts: Parts,
        ledger: Ledger,
        fleet: Fleet,
        recorder: Recorder,
    ) -> None:
        self._spec, self._trainable, self._parts = spec, trainable, parts
        self._ledger, self._fleet, self._recorder = ledger, fleet, recorder
        self._kinds: Kinds | None = None
        self.exhausted = False

    def fill(self) -> bool:
        """Make trials while there is room; whether any was made."""
        before = len(self._ledger.history)
        while self._has_room() and self._suggest():
            self._check_refusals()
        return len(self._ledger.history) > before

    def _check_refusals(self) -> None:
        """Raise `InvalidSpec` where it seems that every configuration is refused."""
        trials, refused = len(self._ledger.history), self._ledger.of[Status.ERROR]
        if trials == len(refused) == MAX_REFUSED:
            error = self._ledger.trials[trials - 1].error
            raise InvalidSpec(
                Problem("param_space", f"the first {trials} trials failed, the last with: {error}")
            )

    def _has_room(self) -> bool:
        """Whether another trial should be made now.

        A searcher that looks at no results is asked ahead, for as many as could run besides, so
        that like meets like.
        """
        if self.exhausted:
            return False
        pending, running = self._ledger.of[Status.PENDING], self._ledger.of[Status.RUNNING]
        unfinished = len(pending) + sum(
            run.intent is None or run.intent.end is None for run in running.values()
        )
        limits = (self._spec.max_concurrent_trials, self._parts.searcher.max_concurrent)
        if any(limit is not None and unfinished >= limit for limit in limits):
            return False
        made = reversed(self._ledger.trials.values())
        latest = next((run for run in made if run.resources), None)
        if latest is None:  # what was refused, or finished before a restart, tells nothing
            return True
        room = max(1, self._fleet.slots(latest) * latest.capacity // self._spec.num_seeds)
        return len(pending) < room if self._parts.searcher.blind else unfinished < room

    def _suggest(self) -> bool:
        """Make the next trial; False when there is none (for now)."""
        number = len(self._ledger.history)
        suggestion = self._parts.searcher.suggest(number, self._ledger.history)
        if suggestion is None or isinstance(suggestion, Wait):
            self.exhausted = suggestion is None
            return False
        frozen = self._parts.objects.freeze(suggestion)
        config = self._parts.objects.thaw(frozen)
        seeds = self._seeds(number)
        run = self._ledger.add(config, seeds, frozen)
        self._recorder.apply(self._recorder.referee.added(number, config))
        self.prepare(run)
        return True

    def _seeds(self, number: int) -> tuple[int, ...]:
        given, count = self._spec.seeds, self._spec.num_seeds
        if not given:
            return replica_seeds(self._spec.seed, number, count)
        return tuple(given[(number * count + index) % len(given)] for index in range(count))

    def prepare(self, run: Run) -> None:
        """Find out what a trial needs; one whose configuration is refused ends at once."""
        try:
            run.resolved = self._planned(self._trainable.resolve(dict(run.config)))
            run.key = self._trainable.pack_key(run.resolved)
            run.capacity = self._trainable.capacity(run.resolved)
            run.resources = dict(self._trainable.resources(run.resolved))
        except InvalidConfig as error:
            self._recorder.refuse(run, str(error))
            return
        if run.capacity < 1:
            raise InvalidSpec(
                Problem("trainable", f"{self._trainable.name!r} has packs of {run.capacity}")
            )
        self._fleet.check(run, self._parts.scheduler.most_seeds)

    def _planned(self, config: Config) -> Config:
        if type(self._trainable).plan is TrainableSpec.plan:
            return config
        self._kinds = self._kinds or Kinds(self._trainable, self._spec, self._parts)
        replicas = self._kinds.replicas(config)
        return self._trainable.plan(config, replicas=replicas, stop=self._spec.stop)
