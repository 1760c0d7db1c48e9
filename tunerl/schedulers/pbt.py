"""Population based training (Jaderberg et al., arXiv 1711.09846), asynchronous and synchronous.

Invariant: a member's decisions follow from the seed, its number, how often it was looked at and
the results recorded before; who takes over another one's state has no score until it reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tunerl.errors import InvalidInput, InvalidSpace, InvalidSpec, Problem
from tunerl.schedulers.base import Decision, Exploit
from tunerl.schedulers.explore import (
    Perturbed,
    Step,
    explore,
    missing,
    overlay,
    paths_of,
)
from tunerl.schedulers.mutations import read, written
from tunerl.schedulers.population import Population
from tunerl.space import Space
from tunerl.space.domains import Grid, SampleFrom
from tunerl.trial import Config


class PopulationBasedTraining(Population):
    """Every `perturbation_interval` a member among the worst `quantile_fraction` takes over state
    and configuration of one among the best, and changes what `hyperparam_mutations` names.

    Ray Tune's signature. `time_attr`: what time is measured in; by anything but wall time a sweep
    is repeated exactly by its seed. `burn_in_period`: no exploits before. `hyperparam_mutations`:
    domains by name (nested; a list is a choice; a function only from Python); None: all that
    `param_space` searches and a trial can change. A parameter is drawn anew with
    `resample_probability`, else multiplied by one of `perturbation_factors` within its bounds; an
    option moves to a neighbour. `custom_explore_fn`: ``config -> config``, called last.
    `require_attrs`: a result without metric or time is an error, else it is passed over.
    `synch`: all members wait for one another at each interval; else who is two intervals ahead of
    the last waits for it, so that a population larger than its places trains in turns.
    Raises `InvalidSpec` for impossible values.
    """

    name = "pbt"

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        perturbation_interval: float = 60.0,
        burn_in_period: float = 0.0,
        hyperparam_mutations: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: tuple[float, float] = (1.2, 0.8),
        custom_explore_fn: Callable[[Config], Config] | None = None,
        require_attrs: bool = True,
        synch: bool = False,
    ) -> None:
        self.time_attr, self.metric, self.mode = time_attr, metric, mode
        self.perturbation_interval, self.burn_in_period = perturbation_interval, burn_in_period
        self.quantile_fraction = quantile_fraction
        self.resample_probability = resample_probability
        self.perturbation_factors = perturbation_factors
        self.custom_explore_fn = custom_explore_fn
        self.require_attrs, self.synch = require_attrs, synch
        problems = list(self._problems())
        self.mutations: dict[str, Any] | None = None
        if hyperparam_mutations is not None:
            try:
                self.mutations = read(hyperparam_mutations, self.option)
            except InvalidInput as error:
                problems += error.problems
        if problems:
            raise InvalidSpec(problems)
        self.begin(0)

    option = "hyperparam_mutations"

    def _problems(self) -> Iterable[Problem]:
        for name, low, high in (
            ("perturbation_interval", 0.0, math.inf),
            ("burn_in_period", 0.0, math.inf),
            ("quantile_fraction", 0.0, 0.5),
            ("resample_probability", 0.0, 1.0),
        ):
            value = getattr(self, name)
            wrong = isinstance(value, bool) or not isinstance(value, int | float)
            if wrong or not low <= value <= high or value == math.inf:
                yield Problem(
                    f"scheduler.{name}", f"{value!r} given; it must be a number in [{low}, {high}]"
                )
            elif name == "perturbation_interval" and value == 0:
                yield Problem(f"scheduler.{name}", "0 given; it must be above 0")
        factors: Any = self.perturbation_factors
        numbers = isinstance(factors, list | tuple) and len(factors) == 2
        if not numbers or not all(isinstance(f, int | float) for f in factors):
            yield Problem(
                "scheduler.perturbation_factors", f"{factors!r} given; two numbers, as (1.2, 0.8)"
            )
        elif not 0 < min(factors) < 1 < max(factors) < math.inf:
            yield Problem(
                "scheduler.perturbation_factors",
                f"{factors!r} given; one must be above 1, the other between 0 and 1",
            )
        for name, kind in (("time_attr", str), ("require_attrs", bool), ("synch", bool)):
            if not isinstance(value := getattr(self, name), kind):
                yield Problem(f"scheduler.{name}", f"{value!r} given; it must be a {kind.__name__}")
        given: Any = self.custom_explore_fn
        if given is not None and not callable(given):
            yield Problem("scheduler.custom_explore_fn", f"{given!r} given; it must be a function")
        if self.mode not in (None, "min", "max"):
            yield Problem("scheduler.mode", f"{self.mode!r} given; allowed: 'min', 'max'")

    def begin(self, seed: int) -> None:
        super().begin(seed)
        self._tree: Any = {}
        self._mutated: list[str] = []

    def complete(self, space: Space) -> Space:
        """As in Ray Tune a mutated parameter that `param_space` lacks is drawn from its domain."""
        if self.mutations is None:
            return space
        return Space(missing(space.tree, self.mutations))

    def introduce(
        self, space: Space, trials: int | None, structural: Callable[[Space], set[str]]
    ) -> None:
        where = f"scheduler.{self.option}"
        try:
            explored = Space(overlay(space.tree, self.mutations or {}))
        except InvalidSpace as error:
            below = [Problem(f"{where}.{p.path}".rstrip("."), p.message) for p in error.problems]
            raise InvalidSpec(below) from error
        fixed = structural(explored)
        if self.mutations is None:
            self._mutated = [p for p in explored.searched if self._changeable(explored, p, fixed)]
            if not self._mutated and self.custom_explore_fn is None:
                raise InvalidSpec(
                    Problem(
                        where,
                        "is missing, and param_space searches nothing that a trial can change "
                        'while it trains; name domains, as in {"lr": {"loguniform": [1e-5, 0.1]}}',
                    )
                )
        else:
            self._mutated = paths_of(self.mutations)
        found = [p for p in self._mutated if p in fixed]
        if found:
            raise InvalidSpec([self._refusal(where, path) for path in found])
        self._tree, self.trials = explored.tree, trials

    def _changeable(self, space: Space, path: str, fixed: set[str]) -> bool:
        return path not in fixed and not isinstance(space.domains.get(path), Grid | SampleFrom)

    def _refusal(self, where: str, path: str) -> Problem:
        return Problem(
            f"{where}.{path.replace('/', '.')}",
            "is structural (fixed): a trial cannot change it while it trains; leave it to "
            "param_space, where each trial draws its own",
        )

    def exploit(self, trial: int, upper: list[int]) -> list[Decision]:
        target = self.members[trial]
        assert target.score is not None
        better = [n for n in upper if _higher(self.members[n].score, target.score)]
        if not better:
            return []
        key = [self.seed % 2**64, trial, target.looks]
        rng = np.random.default_rng(np.random.SeedSequence(key))
        source = better[int(rng.integers(len(better)))]
        config = self.explored(trial, source, rng)
        if self.custom_explore_fn is not None:
            config = self.custom_explore_fn(config)
            if not isinstance(config, Mapping):
                raise InvalidSpec(
                    Problem(
                        "scheduler.custom_explore_fn",
                        f"returned {config!r}; it must return a configuration, a dict",
                    )
                )
        self.taken(trial, source)
        target.score, target.config = None, dict(config)
        return [Exploit(trial, source, dict(config))]

    def explored(self, trial: int, source: int, rng: np.random.Generator) -> Config:
        """The source's configuration, changed for the target."""
        one, other = self.perturbation_factors
        step = Step((one, other), self.resample_probability)
        config = self.members[source].config
        return explore(self._tree, Perturbed(config, self._mutated, rng, step))

    def taken(self, trial: int, source: int) -> None:
        """A member takes over another one's state; for subclasses."""

    def to_json(self) -> dict[str, Any]:
        explore_fn = self.custom_explore_fn
        return {
            "type": self.name,
            "time_attr": self.time_attr,
            "metric": self.metric,
            "mode": self.mode,
            "perturbation_interval": self.perturbation_interval,
            "burn_in_period": self.burn_in_period,
            "hyperparam_mutations": written(self.mutations),
            "quantile_fraction": self.quantile_fraction,
            "resample_probability": self.resample_probability,
            "perturbation_factors": list(self.perturbation_factors),
            "custom_explore_fn": None if explore_fn is None else repr(explore_fn),
            "require_attrs": self.require_attrs,
            "synch": self.synch,
        }


def _higher(score: float | None, than: float) -> bool:
    return score is not None and score > than
