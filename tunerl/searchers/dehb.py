"""DEHB's searcher: differential evolution on the brackets of HyperBand (arXiv 2105.09821).

Invariant: a suggestion is a function of the seed, the number and the history. A slot of a
population holds the best of all finished trials that were made for it, so it does not matter in
which order they ended.
"""

from __future__ import annotations

import math

import numpy as np

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.schedulers import brackets
from tunerl.schedulers.brackets import Place, Plan
from tunerl.searchers.base import WAIT, History, Observation, Wait
from tunerl.searchers.cube import Cube
from tunerl.searchers.given import LearningSearcher, check_limit, generator, seed_of
from tunerl.space import Space
from tunerl.trial import Config, Status

PARENTS = 3  # that a mutant needs
VECTOR, SLOT = 1, 2  # words of keys, so that generators do not repeat one another


class DEHB(LearningSearcher):
    """Evolves a population of configurations for each training time of HyperBand's brackets.

    To be used with the scheduler ``dehb`` (`DEHBScheduler`) with the same `max_t`, `grace_period`
    and `reduction_factor`. The first bracket is successive halving: random configurations, the
    best of them again for longer. From then on a trial is a mutant (rand/1, binomial crossover) of
    the best of the next shorter time, or of its own population at a bracket's first rung, and takes
    the place of its target if it is better. Every trial is trained from the beginning.

    `mutation_factor`, `crossover_prob`: DEHB's F and CR. `max_concurrent`: at most so many
    unfinished trials, 0 for no limit; by default as for `TuneBOHB`. Raises `InvalidSpec`,
    `InvalidSpace`.
    """

    name = "dehb"

    def __init__(
        self,
        max_t: float = 81,
        grace_period: float = 1,
        reduction_factor: float = 3,
        mutation_factor: float = 0.5,
        crossover_prob: float = 0.5,
        seed: int | None = None,
        max_concurrent: int | None = None,
    ) -> None:
        self.max_t, self.grace_period, self.reduction_factor = max_t, grace_period, reduction_factor
        self.mutation_factor, self.crossover_prob = mutation_factor, crossover_prob
        self.own_seed = seed_of(seed)
        self.limit = None if max_concurrent is None else check_limit(max_concurrent)
        found = [
            Problem(problem.path.replace("scheduler.", "searcher."), problem.message)
            for problem in brackets.problems(max_t, grace_period, reduction_factor, "paper")
        ]
        for name, value, high in (
            ("mutation_factor", mutation_factor, 2),
            ("crossover_prob", crossover_prob, 1),
        ):
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not 0 < value <= high:
                text = f"{value!r} given; it must be a number above 0 and at most {high}"
                found.append(Problem(f"searcher.{name}", text))
        if found:
            raise InvalidSpec(found)
        self.plan = Plan(max_t, grace_period, reduction_factor)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        self.check_objective("DEHB")
        space.check(num_samples)
        self._cube = Cube(space, "DEHB")
        self._vectors: dict[int, tuple[Config, np.ndarray]] = {}

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        place, rng = self.plan.place(number), generator(self.seed, number)
        if place.round == 0 and place.bracket == 0:
            if place.rung == 0:
                return self.space.sample(rng)
            return self._promoted(number, place, history)
        return self._cube.draw(self._offspring(place, history[:number], rng), rng)

    def _promoted(self, number: int, place: Place, history: History) -> Config | Wait:
        """The first bracket's: the best of the rung below, once all of that has ended."""
        size = self.plan.rounds[0][place.rung - 1][0]
        first = number - place.index - size
        below = history[first : first + size]
        if not all(seen.status.finished for seen in below):
            return WAIT
        ranked = sorted(below, key=lambda seen: (self._loss(seen), seen.number))
        return ranked[place.index].config

    def _offspring(self, place: Place, history: History, rng: np.random.Generator) -> np.ndarray:
        """A point [D]: the target crossed with a mutant, which recombines three parents."""
        populations = self._populations(history)
        own = populations[place.level]
        if place.rung == 0:
            pool = own
        else:
            below = sorted(populations[place.level - 1].values())
            size = self.plan.rounds[place.bracket][place.rung][0]
            pool = dict(enumerate(below[:size]))
        parents = [number for _, number in pool.values()]
        others = [n for p in populations for _, n in p.values() if n not in parents]
        rng.shuffle(others)
        parents += others[: max(0, PARENTS - len(parents))]
        points = [self._vector(history[number]) for number in parents]
        points += [rng.random(self._cube.size) for _ in range(PARENTS - len(points))]
        a, b, c = (points[k] for k in rng.choice(len(points), PARENTS, replace=False))
        mutant = a + self.mutation_factor * (b - c)
        outside = (mutant < 0) | (mutant > 1)
        mutant[outside] = rng.random(int(outside.sum()))
        if place.slot in own:
            target = self._vector(history[own[place.slot][1]])
        else:
            target = generator(self.seed, place.level, place.slot, SLOT).random(self._cube.size)
        crossed = rng.random(self._cube.size) < self.crossover_prob
        crossed[rng.integers(self._cube.size)] = True
        return np.where(crossed, mutant, target)

    def _populations(self, history: History) -> list[dict[int, tuple[float, int]]]:
        """By level and slot: the loss and the number of the best finished trial."""
        found: list[dict[int, tuple[float, int]]] = [{} for _ in self.plan.times]
        for seen in history:
            if seen.status is Status.TERMINATED:
                place = self.plan.place(seen.number)
                slots, entry = found[place.level], (self._loss(seen), seen.number)
                slots[place.slot] = min(entry, slots.get(place.slot, entry))
        return found

    def _loss(self, seen: Observation) -> float:
        if not seen.values or seen.status is not Status.TERMINATED:
            return math.inf
        value = seen.values[-1][1]
        if math.isnan(value):
            return math.inf
        return -value if self.mode == "max" else value

    def _vector(self, seen: Observation) -> np.ndarray:
        """A trial's point [D]; parameters that it lacks are drawn from its number."""
        kept = self._vectors.get(seen.number)
        if kept is not None and kept[0] == seen.config:
            return kept[1]
        point = generator(self.seed, seen.number, VECTOR).random(self._cube.size)
        try:
            read = self._cube.read(seen.config)
        except InvalidSpace:  # a configuration from elsewhere teaches nothing
            read = np.full(self._cube.size, math.nan)
        point = np.where(np.isnan(read), point, read)
        self._vectors[seen.number] = seen.config, point
        return point

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "max_t": self.max_t,
            "grace_period": self.grace_period,
            "reduction_factor": self.reduction_factor,
            "mutation_factor": self.mutation_factor,
            "crossover_prob": self.crossover_prob,
            "seed": self.own_seed,
            "max_concurrent": self.limit,
        }
