"""PB2, population based bandits (Parker-Holder et al., arXiv 2002.02518; options: 2106.15883).

Invariant: like `PopulationBasedTraining`, but for where an exploited member goes: where a Gaussian
process, of how much settings gained for a member at that score and time, has its upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpec, Problem
from tunerl.schedulers.explore import Changed, explore, paths_of
from tunerl.schedulers.gaussian import Floats, Points, fit
from tunerl.schedulers.pbt import PopulationBasedTraining
from tunerl.schedulers.population import Member
from tunerl.space import Space
from tunerl.space.codec import WORDS
from tunerl.space.domains import Choice, SampleFrom
from tunerl.space.numeric import Integer, Numeric, Real
from tunerl.space.space import look_up, unflatten
from tunerl.space.tree import join, pick
from tunerl.trial import Config

MOST = 200  # of the newest gains that are learnt from
CANDIDATES = 512


@dataclass(frozen=True)
class _Gain:
    """What a member gained in a unit of time, with which settings, from which score on."""

    time: float
    score: float
    config: Config
    value: float


class _Chosen(Changed):
    """The mutated parameters at given places: numbers in the unit interval, options by index."""

    def __init__(
        self,
        config: Config,
        numbers: dict[str, float],
        options: dict[str, int],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(config, [*numbers, *options], rng)
        self.numbers, self.options = numbers, options

    def new_number(self, path: str, domain: Numeric, old: Any) -> Any:
        return domain.from_unit(self.numbers[path]) if path in self.numbers else old

    def new_option(self, path: str, domain: Choice, index: int) -> int:
        return self.options.get(path, index)


class PB2(PopulationBasedTraining):
    """Ray Tune's signature. `hyperparam_bounds`: ``{name: [low, high]}``, on the scale that
    `param_space` has for it, or domains by name (log scales, whole numbers, choices); None: all
    that `param_space` searches and a trial can change. The rest as for `PopulationBasedTraining`.
    """

    name = "pb2"
    option = "hyperparam_bounds"

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        perturbation_interval: float = 60.0,
        hyperparam_bounds: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        burn_in_period: float = 0.0,
        custom_explore_fn: Callable[[Config], Config] | None = None,
        require_attrs: bool = True,
        synch: bool = False,
    ) -> None:
        self.hyperparam_bounds = hyperparam_bounds
        super().__init__(
            time_attr,
            metric,
            mode,
            perturbation_interval,
            burn_in_period,
            _domains(hyperparam_bounds),
            quantile_fraction,
            custom_explore_fn=custom_explore_fn,
            require_attrs=require_attrs,
            synch=synch,
        )
        self._check_functions()

    def _check_functions(self) -> None:
        for path in paths_of(self.mutations or {}):
            if isinstance(look_up(self.mutations, path), SampleFrom):
                message = "is a function; PB2 needs bounds, as [low, high], or a domain"
                raise InvalidSpec(Problem(f"scheduler.{self.option}.{path}", message))

    def begin(self, seed: int) -> None:
        super().begin(seed)
        self._gains: list[_Gain] = []
        self._since: dict[int, tuple[float, float]] = {}  # time and score at the last look

    def complete(self, space: Space) -> Space:
        for path in _bounds(self.hyperparam_bounds or {}):
            own, bound = space.domains.get(path), look_up(self.mutations, path)
            *parents, key = path.split("/")
            box: Any = look_up(self.mutations, "/".join(parents)) if parents else self.mutations
            if isinstance(own, Integer) and own.step == 1:
                box[key] = replace(own, lower=math.ceil(bound.lower), upper=int(bound.upper) + 1)
            elif isinstance(own, Real):
                box[key] = replace(own, lower=bound.lower, upper=bound.upper)
        return super().complete(space)

    def noted(self, trial: int, member: Member) -> None:
        before, score = self._since.get(trial), member.score
        if score is None or not math.isfinite(score):
            self._since.pop(trial, None)
            return
        self._since[trial] = (member.time, score)
        if before is not None and member.time > before[0]:
            gain = (score - before[1]) / (member.time - before[0])
            self._gains.append(_Gain(before[0], before[1], member.config, gain))

    def taken(self, trial: int, source: int) -> None:
        score = self.members[source].score
        assert score is not None
        self._since[trial] = (self.members[trial].time, score)

    def explored(self, trial: int, source: int, rng: np.random.Generator) -> Config:
        """Where the upper confidence bound of the gain is highest, for a member at the source's
        score; what the others are trying now counts as known."""
        old = self.members[source].config
        found = {p: d for p in self._mutated if (d := self._domain(p)) is not None}
        numbers = [p for p, d in found.items() if isinstance(d, Numeric)]
        options = [p for p, d in found.items() if isinstance(d, Choice)]
        places = rng.random((CANDIDATES, len(numbers)))
        sizes = [len(d.options) for d in found.values() if isinstance(d, Choice)]
        picks = rng.integers(sizes, size=(CANDIDATES, len(sizes)), dtype=np.int64)
        best, gains = 0, self._gains[-MOST:]
        if len(gains) >= 2:
            score = self.members[source].score
            assert score is not None
            time = self.members[trial].time
            scores = np.array([gain.score for gain in gains])
            center, spread = scores.mean(), scores.std() or 1.0
            units = _Units(self, numbers, options, center, spread)
            known = units.points([(g.time, g.score, g.config) for g in gains])
            process = fit(known, np.array([gain.value for gain in gains]), rng)
            others = [
                (at, start, self.members[n].config)
                for n, (at, start) in sorted(self._since.items())
                if n != trial and self.members[n].live
            ]
            process = process.besides(units.points(others))
            asked = units.rows(time, score, places, picks)
            mean, deviation = process.at(asked)
            beta = 0.2 + max(0.0, math.log(0.4 * len(gains)))
            best = int(np.argmax(mean + math.sqrt(beta) * deviation))
        chosen = dict(zip(numbers, map(float, places[best]), strict=True))
        picked = dict(zip(options, map(int, picks[best]), strict=True))
        return explore(self._tree, _Chosen(old, chosen, picked, rng))

    def _domain(self, path: str) -> Numeric | Choice | None:
        found = self._space.domains.get(path)
        return found if isinstance(found, Numeric | Choice) else None

    @property
    def _space(self) -> Space:
        if self._seen is None or self._seen.tree is not self._tree:
            self._seen = Space(self._tree)
        return self._seen

    _seen: Space | None = None

    def to_json(self) -> dict[str, Any]:
        found = super().to_json()
        for name in ("hyperparam_mutations", "resample_probability", "perturbation_factors"):
            written = found.pop(name)
            if name == "hyperparam_mutations":
                found["hyperparam_bounds"] = self._written(written)
        return found

    def _written(self, domains: Any) -> Any:
        """Bounds as they were given."""
        for path in _bounds(self.hyperparam_bounds or {}):
            *parents, key = path.split("/")
            box = look_up(domains, "/".join(parents)) if parents else domains
            box[key] = list(look_up(unflatten(self.hyperparam_bounds or {}), path))
        return domains


class _Units:
    """Settings as points for the process."""

    def __init__(
        self, pb2: PB2, numbers: list[str], options: list[str], center: float, spread: float
    ) -> None:
        self.pb2, self.numbers, self.options = pb2, numbers, options
        self.center, self.spread = center, spread

    def points(self, settings: Sequence[tuple[float, float, Config]]) -> Points:
        """Each of (time, score, configuration)."""
        places = np.full((len(settings), len(self.numbers)), 0.5)
        picks = np.full((len(settings), len(self.options)), -1, np.int64)
        for row, (_, _, config) in enumerate(settings):
            for column, path in enumerate(self.numbers):
                value, domain = _value(config, path), self.pb2._domain(path)
                if isinstance(domain, Numeric) and isinstance(value, int | float):
                    places[row, column] = domain.to_unit(value)
            for column, path in enumerate(self.options):
                value, domain = _value(config, path), self.pb2._domain(path)
                index = pick(domain, value) if isinstance(domain, Choice) else None
                picks[row, column] = -1 if index is None else index
        times = np.array([time for time, _, _ in settings], dtype=np.float64)
        scores = np.array([score for _, score, _ in settings], dtype=np.float64)
        return self._points(times, scores, places, picks)

    def rows(self, time: float, score: float, places: Floats, picks: Any) -> Points:
        count = len(places)
        return self._points(np.full(count, time), np.full(count, score), places, picks)

    def _points(self, times: Floats, scores: Floats, places: Floats, picks: Any) -> Points:
        scaled = 0.25 * (scores - self.center) / self.spread
        numbers = np.concatenate([scaled[:, None], places], 1)
        return Points(times / self.pb2.perturbation_interval, numbers, picks)


def _value(config: Config, path: str) -> Any:
    try:
        return look_up(config, path)
    except LookupError:
        return None


def _is_bound(given: Any) -> bool:
    return (
        isinstance(given, list | tuple)
        and len(given) == 2
        and all(isinstance(end, int | float) and not isinstance(end, bool) for end in given)
    )


def _bounds(given: Any, path: str = "") -> list[str]:
    """Paths of what was given as two numbers."""
    if _is_bound(given):
        return [path]
    if not _nested(given):
        return []
    return [found for name, inner in given.items() for found in _bounds(inner, join(path, name))]


def _domains(given: Any) -> Any:
    if _is_bound(given):
        return Real(*given)
    return {name: _domains(one) for name, one in given.items()} if _nested(given) else given


def _nested(given: Any) -> bool:
    """Whether it is a dict of parameters, and not a domain in JSON."""
    return isinstance(given, Mapping) and not (len(given) == 1 and set(given) <= WORDS)
