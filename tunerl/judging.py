"""Experiments made from an experiment: its leaders on fresh seeds, random search on its budget.

Invariant: no seed of a confirmation was ever tuned on; which experiment it came from is in its
spec's `origin`. Nothing is run here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tunerl import spec as specs
from tunerl.control.earlier import LEARNED, events
from tunerl.control.stopping import Rule
from tunerl.errors import InvalidInput, InvalidSpec, NotFound, Problem
from tunerl.space import Choice, Space, from_json, to_json
from tunerl.space.domains import When
from tunerl.spec import ExperimentSpec
from tunerl.stoppers import CombinedStopper, ExperimentPlateauStopper, NoopStopper
from tunerl.stoppers.base import Stopper, TrialsOnly
from tunerl.trial import Reason, Status

if TYPE_CHECKING:
    from tunerl.store import Store
    from tunerl.store.records import Experiment, TrialRecord

MOST_SEEDS, MOST_RUNS = 10_000, 100_000  # of a confirmation
CONFIRMING, BASELINE = 0xC0F1, 0xBA5E  # keys of what is drawn anew
SCOPES = ("last", "all")


def confirmation(
    store: Store,
    experiment: Experiment,
    top_k: int = 3,
    seeds: int | Sequence[int] = 10,
    scope: str = "last",
) -> ExperimentSpec:
    """The spec of the experiment that runs the leaders of `experiment` again on fresh seeds.

    `top_k`: how many different configurations, the best by their last objective (`scope` "last")
    or their best one ("all"). `seeds`: how many, drawn from the experiment's seed, or which. All
    leaders run to the end of the stop rule, without a scheduler, one trial for each seed. A leader
    of PBT runs with the configuration it had at the end. Raises `InvalidSpec` for seeds that were
    tuned on, and for an experiment without leaders.
    """
    if scope not in SCOPES:
        raise InvalidSpec(Problem("scope", f"{scope!r} given; allowed: 'last', 'all'"))
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InvalidSpec(Problem("top_k", f"{top_k!r} given; it must be at least 1"))
    spec = specs.from_json(experiment.spec)
    trials = store.trials(experiment.id)
    leaders = _leaders(trials, spec, scope)[:top_k]
    if not leaders:
        message = f"no trial of {experiment.name} has a number of {spec.metric!r} to be a leader by"
        raise InvalidSpec(Problem("experiment", message))
    tuned = tuning_seeds(store, experiment.id)
    fresh = _fresh(spec.seed, seeds, tuned)
    if len(leaders) * len(fresh) > MOST_RUNS:
        what = f"{len(leaders)} leaders on {len(fresh)} seeds each; at most {MOST_RUNS:,} runs"
        raise InvalidSpec(Problem("top_k", what))
    return replace(
        spec,
        name=f"{experiment.name}-confirm",
        searcher={"type": "points", "configs": [c.config for c in leaders for _ in fresh]},
        scheduler={"type": "fifo"},
        stop=_full_length(spec, trials),
        stopper=_of_trials(spec.stopper),
        num_samples=len(leaders) * len(fresh),
        num_seeds=1,
        seeds=fresh,
        warm_start=(),
        time_budget_s=None,
        python=_kept(spec),
        origin={
            "kind": "confirm",
            "experiment": experiment.id,
            "trials": [leader.number for leader in leaders],
            "tuning_seeds": len(tuned),
        },
    )


def baseline(store: Store, experiment: Experiment) -> ExperimentSpec:
    """The spec of a random search over the same space, on the budget that `experiment` has spent.

    The budget is counted in environment steps, or in iterations where nobody reports steps; it is
    divided by the longest trial's length, as every random trial runs to the end of the stop rule.
    Its configurations and seeds are others. Raises `InvalidSpec` for an experiment not begun.
    """
    spec = specs.from_json(experiment.spec)
    trials = store.trials(experiment.id)
    unit = "steps" if any(trial.steps for trial in trials) else "iteration"
    lengths = [int(getattr(trial, unit)) for trial in trials]
    if not any(lengths):
        message = f"{experiment.name} has no results yet, so its budget is not known"
        raise InvalidSpec(Problem("experiment", message))
    if "param_space" in spec.python:
        space = spec.param_space
    else:
        space = to_json(space_without_grids(Space(from_json(spec.param_space))).tree)
    return replace(
        spec,
        name=f"{experiment.name}-random",
        param_space=space,
        searcher={"type": "random"},
        scheduler={"type": "fifo"},
        stop=_full_length(spec, trials),
        stopper=_of_trials(spec.stopper),
        num_samples=max(1, round(sum(lengths) / max(lengths))),
        seed=int(np.random.SeedSequence([spec.seed % 2**64, BASELINE]).generate_state(1)[0]),
        warm_start=(),
        time_budget_s=None,
        python=_kept(spec),
        origin={
            "kind": "baseline",
            "experiment": experiment.id,
            "budget": sum(lengths),
            "unit": "steps" if unit == "steps" else "iterations",
        },
    )


def tuning_seeds(store: Store, id: str) -> set[int]:
    """All seeds that an experiment, and those that it was warm-started from, were tuned on."""
    found: set[int] = set()
    for each in _ancestors(store, id, set()):
        found |= {seed for trial in store.trials(each) for seed in trial.seeds}
    return found


def _ancestors(store: Store, id: str, seen: set[str]) -> Iterator[str]:
    if id in seen:
        return
    seen.add(id)
    try:
        store.get_experiment(id)
    except NotFound:  # deleted since; nothing is known of it any more
        return
    yield id
    for event in events(store, id):
        if event.kind == LEARNED:
            yield from _ancestors(store, event.data["experiment"], seen)


def _leaders(trials: list[TrialRecord], spec: ExperimentSpec, scope: str) -> list[TrialRecord]:
    scored: list[tuple[float, TrialRecord]] = []
    for trial in trials:
        value = trial.objective if scope == "last" else trial.best_objective
        if trial.status is not Status.ERROR and value is not None and math.isfinite(value):
            scored.append((-value if spec.mode == "max" else value, trial))
    scored.sort(key=lambda entry: (entry[0], entry[1].number))
    different: dict[str, TrialRecord] = {}
    for _, trial in scored:
        different.setdefault(json.dumps(trial.config, sort_keys=True), trial)
    return list(different.values())


def _fresh(seed: int, given: int | Sequence[int], tuned: set[int]) -> tuple[int, ...]:
    if isinstance(given, int):
        if not 1 <= given <= MOST_SEEDS:
            raise InvalidSpec(Problem("seeds", f"{given} given; 1 to {MOST_SEEDS:,}"))
        words = np.random.SeedSequence([seed % 2**64, CONFIRMING])
        drawn = (int(word) >> 1 for word in words.generate_state(given + len(tuned) + 64))
        return tuple(dict.fromkeys(word for word in drawn if word not in tuned))[:given]
    chosen = tuple(given)
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        message = f"{list(given)} given; a number of seeds, or different whole numbers from 0 on"
        raise InvalidSpec(Problem("seeds", message))
    again = sorted(set(chosen) & tuned)
    if again:
        message = f"{again} were tuned on; a configuration is confirmed on seeds it has never seen"
        raise InvalidSpec(Problem("seeds", message))
    return chosen


def _full_length(spec: ExperimentSpec, trials: list[TrialRecord]) -> dict[str, float]:
    """A stop rule that does not need the scheduler."""
    stop, longest = dict(spec.stop), spec.scheduler.get("max_t")
    if isinstance(longest, int | float):
        stop.setdefault(str(spec.scheduler.get("time_attr", "training_iteration")), longest)
    itself = any(trial.reason is Reason.DONE for trial in trials)
    if not stop and not itself and "stop" not in spec.python:
        stop["training_iteration"] = max(trial.iteration for trial in trials)
    return stop


def stop_of_trials(stop: Rule | None) -> Rule | None:
    """What of a stop rule that is Python ends trials, not the whole experiment; it forgets what it
    was shown."""
    if stop is None or not hasattr(stop, "stop_all"):
        return stop
    if isinstance(stop, CombinedStopper):
        parts = [part for part in map(stop_of_trials, stop.stoppers) if isinstance(part, Stopper)]
        return CombinedStopper(*parts)
    if type(stop).__name__ == ExperimentPlateauStopper.__name__:  # Ray Tune's too
        return NoopStopper()
    return TrialsOnly(stop)


def _of_trials(stopper: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of a stopper ends trials, not the whole experiment."""
    kind = (stopper or {}).get("type")
    if stopper is not None and kind == "combined":
        parts = [part for part in map(_of_trials, stopper["stoppers"]) if part is not None]
        return {**stopper, "stoppers": parts} if parts else None
    return stopper if kind in ("maximum_iteration", "trial_plateau") else None


def _kept(spec: ExperimentSpec) -> tuple[str, ...]:
    return tuple(name for name in spec.python if name in ("param_space", "stop"))


def _without_grids(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_grids(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_grids(value) for value in node]
    if isinstance(node, When):
        return When(node.path, node.values, _without_grids(node.then))
    if isinstance(node, Choice):
        return Choice(tuple(_without_grids(option) for option in node.options))
    return node


def space_without_grids(space: Space) -> Space:
    """The same space with each grid as a choice."""
    return Space(_without_grids(space.tree))


def check_service(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec, if any worker can run it. Raises `InvalidInput` for one that needs Python."""
    if spec.python:
        names = ", ".join(spec.python)
        raise InvalidInput(f"{names} of this experiment is Python; use tunerl.Tuner in a program")
    return spec
