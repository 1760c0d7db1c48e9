"""Judges a sweep that has ended by what was recorded: whatever the order in which results came.

Invariant: a sweep passes only if no result is missing, doubled or another than its trial's, and all
that scheduler and searcher decided follows from the results in their recorded order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.support.sweeps import custom_of, spec_of, trainable_of
from tunerl import spec as specs
from tunerl.control.ledger import Ledger
from tunerl.control.referee import Referee
from tunerl.control.replay import _Replay
from tunerl.schedulers.base import Stop
from tunerl.searchers.base import Observation
from tunerl.store import Store
from tunerl.store.records import Event, Lease, TrialRecord
from tunerl.trainable import State
from tunerl.trial import Config, Reason, ReplicaId, Status


def judge(url: str, scenario: str) -> None:
    """Raise `AssertionError` for what cannot be right in the newest experiment."""
    with Store(url) as store:
        id = store.list_experiments()[0][0].id
        life = Life(scenario, store.trials(id), store.events(id, limit=10_000))
        seen: dict[int, int] = {}
        for result in store.results(id):
            seen[result.trial] = seen.get(result.trial, 0) + 1
            assert result.iteration == seen[result.trial], f"{result.trial}: lost or doubled"
            for index, metrics in enumerate(result.replicas or [result.metrics]):
                possible = life.scores(result.trial, index, result.iteration)
                assert metrics["score"] in possible, (result.trial, result.iteration)
        for trial in store.trials(id):
            assert trial.iteration == seen.get(trial.number, 0)
        _decisions(store, id, scenario)


class Life:
    """What each replica must go through, by its configurations and the exploits recorded."""

    def __init__(self, scenario: str, trials: list[TrialRecord], events: list[Event]) -> None:
        self.trainable, self.trials = trainable_of(scenario), trials
        self.exploits: dict[int, list[dict[str, Any]]] = {trial.number: [] for trial in trials}
        for event in events:
            if event.trial is None:
                continue
            if event.kind == "trial.exploit":
                self.exploits[event.trial].append({**event.data, "done": True})
            elif event.kind == "trial.exploit_failed":
                self.exploits[event.trial][-1]["done"] = False
        self._known: dict[tuple[int, int, int], list[tuple[State | None, float | None]]] = {}

    def scores(self, trial: int, index: int, iteration: int) -> list[float | None]:
        return [score for _, score in self._at(trial, index, iteration)]

    def _at(self, trial: int, index: int, iteration: int) -> list[tuple[State | None, Any]]:
        """State and score after so many iterations, before an exploit at it. More than one where a
        state was taken from a trial that took over another one's at the same iteration."""
        if iteration == 0:
            return [(None, None)]
        key = (trial, index, iteration)
        if key not in self._known:
            begins = self._begins(trial, index, iteration - 1)
            config, seed = self._config(trial, iteration - 1), self.trials[trial].seeds[index]
            self._known[key] = [self._step(config, seed, state) for state in begins]
        return self._known[key]

    def _begins(self, trial: int, index: int, iteration: int) -> list[State | None]:
        """The states from which a trial goes on from an iteration."""
        here = [e for e in self.exploits[trial] if e["iteration"] == iteration and e["done"]]
        own = [state for state, _ in self._at(trial, index, iteration)]
        for exploit in here:
            source, at = exploit["source"], exploit["source_iteration"]
            if source != trial:
                own = [state for state, _ in self._at(source, index, at)]
                if any(e["iteration"] == at for e in self.exploits[source]):
                    own += self._begins(source, index, at)
        return own

    def _config(self, trial: int, iteration: int) -> Config:
        known = self.exploits[trial]
        before = [e["config"] for e in known if e["iteration"] <= iteration]
        first = known[0]["old"] if known else self.trials[trial].config
        return before[-1] if before else first

    def _step(self, config: Config, seed: int, state: State | None) -> tuple[State, float]:
        pack, id = self.trainable.open(config), ReplicaId(0, 0)
        pack.join(id, config, seed, state)
        outcome = pack.step()[id]
        assert isinstance(outcome, Mapping)
        return pack.read(id), outcome["score"]


class _Judge(_Replay):
    """A replay that remembers who was stopped, and after which of its results."""

    def run(self) -> None:
        self.stopped: dict[int, int] = {}
        super().run()

    def _apply(self, decisions: list[Any]) -> None:
        for decision in decisions:
            if isinstance(decision, Stop):
                at = self._ledger.trials[decision.trial].iteration
                self.stopped.setdefault(decision.trial, at)
        super()._apply(decisions)


def _decisions(store: Store, id: str, scenario: str) -> None:
    spec, _ = spec_of(scenario)
    parts = specs.build(spec, custom_of(scenario), trainable_of(scenario))
    ledger = Ledger(store, Lease(id, "the judge", 0))
    referee = Referee(parts.scheduler, parts.rules)
    judged = _Judge(store, ledger, referee, spec.mode, parts.objects)
    judged.run()
    assert not judged.undone, "exploits that were never written down"
    recorded = {number: len(found) for number, found in judged.exploits.decided.items()}
    assert recorded == dict(judged._exploited), "exploits that nothing called for"
    for trial in store.trials(id):
        early = trial.reason is Reason.SCHEDULER
        assert early <= (trial.number in judged.stopped), f"{trial.number} stopped by nobody"
        if trial.number in judged.stopped:
            beyond = trial.iteration - judged.stopped[trial.number]
            assert 0 <= beyond <= 1, f"{trial.number} went on after its end"
    if any(run.widths for run in ledger.trials.values() if len(run.widths) > 1):
        return  # a searcher sees when such a trial was put aside, which nobody writes down
    for trial in store.trials(id):
        past = [_as_of(seen, trial.number) for seen in ledger.history[: trial.number]]
        first = judged.exploits.decided.get(trial.number)
        config = first[0]["old"] if first else trial.config
        suggested = parts.searcher.suggest(trial.number, past)
        assert parts.objects.freeze(suggested) == config, f"{trial.number}: another suggestion"


def _as_of(seen: Observation, number: int) -> Observation:
    """What was known of a trial when trial `number` was made."""
    known = [at <= number for at in seen.arrivals]
    over = seen.closed is not None and seen.closed <= number
    return replace(
        seen,
        status=seen.status if over else Status.RUNNING,
        reason=seen.reason if over else None,
        closed=seen.closed if over else None,
        values=[value for value, there in zip(seen.values, known, strict=True) if there],
        arrivals=[at for at, there in zip(seen.arrivals, known, strict=True) if there],
    )
