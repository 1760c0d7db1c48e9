"""Optuna as a searcher: any of its samplers, on a study that is rebuilt from the history.

Invariant: a suggestion is a function of (seed, number, history). Each is made by a fresh copy of
the sampler, seeded from the number; what is kept between suggestions only saves time.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.searchers.base import History, Observation, Wait
from tunerl.searchers.constraints import parse_constraints
from tunerl.searchers.given import (
    LearningSearcher,
    check_limit,
    fix_points,
    generator,
    read_points,
    seed_of,
)
from tunerl.searchers.optuna_samplers import EXHAUSTIVE, NOTELESS, build, parse_sampler
from tunerl.searchers.optuna_space import Adapter, FunctionAdapter, TreeAdapter, suggest
from tunerl.searchers.optuna_study import NAME, HistoryStorage, frozen, reseed, salt
from tunerl.searchers.optuna_told import CONSTRAINT, Teller, check_several, listed, objectives_of
from tunerl.space import Grid, Space
from tunerl.space.space import unflatten
from tunerl.trial import Config


class OptunaSearch(LearningSearcher):
    """Suggests with one of Optuna's samplers; TPE by default.

    `space`: a define-by-run function (or a dict of Optuna's distributions) instead of the
    experiment's domains. `sampler`: a name ("tpe", "random", "cmaes", "gp", "qmc", "nsgaii",
    "nsgaiii", "partialfixed", "grid", "bruteforce"), a dict ``{"name": "tpe", ...options}``, or an
    Optuna sampler; its random numbers come from `seed` (else the experiment's), the trial's number
    and its own seed. `points_to_evaluate` (whole or in part) come first; with `evaluated_rewards`
    they are not run but count as done. Trials stopped early are told as pruned with their values so
    far, failed ones and those whose value is NaN as failed; running ones are known to the sampler.
    Of several objectives the Pareto front is sought. `constraints` on further metrics, such as
    ``{"memory": "<= 5"}``: the sampler heeds by how much a trial breaks them; one that does not
    report such a number counts as failed. `max_concurrent`: at most so many unfinished trials, 0
    for no limit; by default a quarter of `num_samples` and at least 8 (32 when endless), so that
    there are results to learn from.
    """

    name = "optuna"

    def __init__(
        self,
        space: Callable[[Any], Mapping[str, Any] | None]
        | Mapping[str, BaseDistribution]
        | None = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        sampler: BaseSampler | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        evaluated_rewards: Sequence[Any] | None = None,
        max_concurrent: int | None = None,
        constraints: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(space, Mapping) and "python" in space:
            raise InvalidSpec(
                Problem(
                    "searcher.space",
                    f"{space['python']} is Python and cannot come from JSON; use param_space",
                )
            )
        self.own_space, self.own_metric, self.own_mode = space, listed(metric), listed(mode)
        self._constraints = parse_constraints(constraints)
        self.constraints = dict(constraints or {})
        self._objectives: dict[str, str] = {}
        self.points = read_points(points_to_evaluate)
        self.rewards = None if evaluated_rewards is None else list(evaluated_rewards)
        self.sampler = parse_sampler(sampler)
        self.own_seed = seed_of(seed)
        self.limit = None if max_concurrent is None else check_limit(max_concurrent)
        if self.rewards is not None and len(self.rewards) != len(self.points):
            raise InvalidSpec(
                Problem(
                    "searcher.evaluated_rewards",
                    f"{len(self.rewards)} rewards for {len(self.points)} points; give one for each",
                )
            )

    def pursue(self, objectives: Mapping[str, str]) -> None:
        self._objectives = dict(objectives)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        objectives = objectives_of(
            [*self._objectives.items()] or [(self.metric, self.mode)],
            self.own_metric,
            self.own_mode,
        )
        if len(objectives) > 1:
            check_several(self.sampler)
        self._adapter = self._adapt(space)
        own = isinstance(self._adapter, FunctionAdapter)
        self._prototype = self._build(None if own else space)
        self._salt = salt(self._prototype)
        kind = type(self._prototype).__name__
        self._exhaustive = kind in EXHAUSTIVE
        constrained = getattr(self._prototype, "_constraints_func", None) is not None
        self._notes = kind not in NOTELESS or constrained
        self._teller = Teller(list(objectives), self._constraints)
        self._storage = HistoryStorage(
            [StudyDirection[f"{mode.upper()}IMIZE"] for mode in objectives.values()]
        )
        self._presets = [] if self.rewards is not None else self.points
        self._storage.trials = [
            self._evaluated(number, point, reward)
            for number, (point, reward) in enumerate(
                zip(self.points, self.rewards or [], strict=False)
            )
        ]
        self._known = len(self._storage.trials)  # that do not belong to the experiment
        self._open: dict[int, tuple[int, Config]] = {}  # unfinished: version and config last seen
        self._seen: set[str] = set()
        self._noted: list[dict[str, Any]] = []  # the study's attributes after each replayed trial

    def learn(self, earlier: History) -> None:
        """See `Searcher.learn`; what does not lie in the space teaches nothing."""
        place = len(self._storage.trials)
        told = [self._freeze(place + index, seen) for index, seen in enumerate(earlier)]
        self._storage.trials += told
        self._known += len(told)

    def _adapt(self, space: Space) -> Adapter:
        if self.own_space is not None:
            if not space.constant:
                raise InvalidSpace(
                    [
                        Problem(path, "OptunaSearch was given a space of its own; drop one of them")
                        for path in space.domains
                    ]
                )
            function = self.own_space
            if isinstance(function, Mapping):
                function = _define_by_run(function)
            return FunctionAdapter(function, space.tree)
        grids = [path for path, domain in space.domains.items() if isinstance(domain, Grid)]
        if grids:
            raise InvalidSpace(
                [
                    Problem(
                        path,
                        "grid_search cannot be combined with Optuna; use choice here, "
                        "or the random searcher",
                    )
                    for path in grids
                ]
            )
        space.check(self.num_samples)
        fix_points(space, self.points)
        return TreeAdapter(space)

    def _build(self, space: Space | None) -> BaseSampler:
        if isinstance(self.sampler, BaseSampler):
            return self.sampler
        return build(self.sampler, space, self.seed % 2**32)

    def _evaluated(self, number: int, point: Config, reward: Any) -> FrozenTrial:
        try:
            params, kinds = self._adapter.read(unflatten(point))
        except InvalidSpace as error:
            raise InvalidSpace(
                [
                    Problem(f"points_to_evaluate[{number}].{problem.path}", problem.message)
                    for problem in error.problems
                ]
            ) from error
        values = reward if isinstance(reward, list | tuple) else [reward]
        if len(values) != len(self._teller.objectives):
            message = f"{reward!r} given for {len(self._teller.objectives)} objectives"
            raise InvalidSpec(Problem(f"searcher.evaluated_rewards[{number}]", message))
        if any(value is None or math.isnan(value) for value in values):
            return frozen(number, TrialState.FAIL, params, kinds)
        return frozen(number, TrialState.COMPLETE, params, kinds, [float(v) for v in values])

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        self._sync(number, history)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            if self._notes:
                self._replay(self._known + number)
            point = self._presets[number] if number < len(self._presets) else {}
            trial = self._ask(self._known + number, self._sampler(self._known + number))
            config = self._adapter.propose(trial, point, generator(self.seed, number))
        self._storage.show(0)
        if self._exhaustive and _key(config) in self._seen:
            return None
        return config

    def _sync(self, number: int, history: History) -> None:
        """Bring the storage up to date: new trials, and unfinished ones that have changed.

        A finished trial is not looked at again.
        """
        changed = [
            index
            for index, (version, _) in self._open.items()
            if index < number and history[index].version != version
        ]
        for index in (*changed, *range(len(self._storage.trials) - self._known, number)):
            seen, place = history[index], self._known + index
            fresh = self._freeze(place, seen)
            if place == len(self._storage.trials):
                self._storage.trials.append(fresh)
                self._seen.add(_key(seen.config))
            elif fresh.state != TrialState.RUNNING or seen.config != self._open[index][1]:
                self._storage.trials[place] = fresh
                del self._noted[place:]
            self._open.pop(index, None)
            if not fresh.state.is_finished():
                self._open[index] = seen.version, seen.config

    def _freeze(self, place: int, seen: Observation) -> FrozenTrial:
        try:
            params = self._adapter.read(seen.config)
        except InvalidSpace:
            return self._teller.tell(place, seen, None)
        return self._teller.tell(place, seen, params)

    def _sampler(self, place: int) -> BaseSampler:
        sampler = copy.deepcopy(self._prototype)
        reseed(sampler, [self.seed % 2**64, place, *self._salt])
        return sampler

    def _ask(self, place: int, sampler: BaseSampler) -> optuna.Trial:
        self._storage.show(place)
        study = optuna.load_study(
            study_name=NAME, storage=self._storage, sampler=sampler, pruner=NopPruner()
        )
        return study.ask()

    def _replay(self, count: int) -> None:
        """Let the sampler write its notes on each known trial, as if they had come one by one."""
        storage = self._storage
        for place in range(len(self._noted), count):
            storage.attrs = self._noted[place - 1] if place else {}
            sampler = self._sampler(place)
            trial = self._ask(place, sampler)
            _ = trial.relative_params  # asked for lazily; this is where notes are written
            told = storage.trials[place]
            told.system_attrs = {
                **{k: v for k, v in told.system_attrs.items() if k.startswith(CONSTRAINT)},
                **storage.get_trial(place).system_attrs,
            }
            if told.state.is_finished() and not self._exhaustive:
                storage.show(place + 1)
                sampler.after_trial(trial.study, told, told.state, told.values)
            self._noted.append(storage.attrs)
        storage.attrs = self._noted[count - 1] if count else {}

    def to_json(self) -> dict[str, object]:
        named = isinstance(self.sampler, dict)
        space = None if self.own_space is None else {"python": repr(self.own_space)}
        return {
            "type": self.name,
            "space": space,
            "metric": self.own_metric,
            "mode": self.own_mode,
            "points_to_evaluate": self.points,
            "sampler": self.sampler if named else {"python": type(self.sampler).__name__},
            "seed": self.own_seed,
            "evaluated_rewards": self.rewards,
            "max_concurrent": self.limit,
            "constraints": self.constraints,
        }


def _key(config: Config) -> str:
    return json.dumps(config, sort_keys=True, default=repr)


def _define_by_run(kinds: Mapping[str, BaseDistribution]) -> Callable[[Any], None]:
    def function(trial: Any) -> None:
        for name, kind in kinds.items():
            suggest(trial, name, kind)

    return function
