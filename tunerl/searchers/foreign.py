"""Any `ray.tune` Searcher, or an object with its verbs, as one of ours.

Invariant: a suggestion is a function of (seed, number, history). Such a searcher has a memory, so
it is led through the past again, in its recorded order, wherever its memory is not of that past.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tunerl.errors import InvalidSpace, InvalidSpec, Problem
from tunerl.searchers.base import WAIT, History, Observation, Searcher, Wait
from tunerl.searchers.foreign_space import constants, merge, plain, to_foreign
from tunerl.searchers.given import check_limit
from tunerl.space import Space
from tunerl.space.resolve import global_random
from tunerl.trial import Config, Status

VERBS = ("suggest", "on_trial_result", "on_trial_complete", "set_search_properties")
FINISHED = "FINISHED"
PATIENCE = 20  # how often one that says nothing is asked while nothing runs
DEPTH = 4  # how deep generators are looked for


def is_foreign(given: object) -> bool:
    """Whether an object has the verbs of Ray Tune's searchers."""
    if isinstance(given, type | Searcher):
        return False
    return all(callable(getattr(given, verb, None)) for verb in VERBS)


class ForeignSearcher(Searcher):
    """Asks `searcher`, an object with Ray Tune's verbs.

    It is given the experiment's space (in Ray's domains, where Ray is loaded), or has one of its
    own and the experiment none. Its random numbers come from the experiment's seed, unless it
    makes generators from a seed that it was given. It hears of results when it is next asked; a
    trial that failed or whose value is NaN is told as an error. One that answers None is asked
    again when more has come in. `max_concurrent`: at most so many unfinished trials, 0
    for no limit; default the searcher's own, else a quarter of `num_samples` and at least 8.
    """

    name = "foreign"

    def __init__(self, searcher: Any, max_concurrent: int | None = None) -> None:
        if not is_foreign(searcher):
            message = f"{searcher!r} lacks one of the verbs {', '.join(VERBS)}"
            raise InvalidSpec(Problem("searcher", message))
        try:
            self._prototype = copy.deepcopy(searcher)
        except Exception as error:
            message = (
                f"{searcher!r} cannot be copied, so it cannot be led through the past: {error}"
            )
            raise InvalidSpec(Problem("searcher", message)) from error
        self.limit = None if max_concurrent is None else check_limit(max_concurrent)
        self._objectives: dict[str, str] = {}
        self._earlier: list[Observation] = []
        self._answer: tuple[Any, Config] | None = None
        self._told: dict[int, int] = {}  # values told by trial; -1: its end as well
        self._live: Any = None

    def pursue(self, objectives: Mapping[str, str]) -> None:
        self._objectives = dict(objectives)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        if not metric or mode not in ("min", "max"):
            message = "this searcher needs a metric and a mode ('min' or 'max')"
            raise InvalidSpec(Problem("metric", message))
        self._constants = constants(space.tree)
        self._earlier = []
        self._begin()

    def learn(self, earlier: History) -> None:
        self._earlier = list(earlier)
        if not callable(getattr(self._prototype, "add_evaluated_point", None)):
            super().learn(earlier)
        self._begin()

    @property
    def max_concurrent(self) -> int | None:
        limit = (
            getattr(self._prototype, "max_concurrent", None) if self.limit is None else self.limit
        )
        if isinstance(limit, int):
            return limit or None
        return 32 if self.num_samples < 0 else max(8, self.num_samples // 4)

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        if self.total is not None and number >= self.total:
            return None
        mark = number, [(seen.version, len(seen.values)) for seen in history[:number]]
        if self._answer is not None and self._answer[0] == mark:
            return copy.deepcopy(self._answer[1])
        if self._next != number:
            self._begin()
            for past in range(number):
                self._check(past, history[past], self._attempt(past, history[:past]))
        live, told = copy.deepcopy(self._live), dict(self._told)
        answer = self._attempt(number, history[:number])
        if not isinstance(answer, dict):
            self._live, self._told = live, told  # as it will be when it is asked again
            return answer
        self._answer = mark, answer
        return copy.deepcopy(answer)

    def _begin(self) -> None:
        """A searcher that has seen nothing but what was learned from earlier experiments."""
        self._next = 0
        self._told.clear()
        self._answer = None
        self._live = copy.deepcopy(self._prototype)
        self._reseed()
        several = len(self._objectives) > 1
        metric: Any = list(self._objectives) if several else self.metric
        mode: Any = list(self._objectives.values()) if several else self.mode
        with global_random(self._number(-1)):
            try:
                taken = self._live.set_search_properties(metric, mode, to_foreign(self.space.tree))
            except (ValueError, TypeError, NotImplementedError, AssertionError) as error:
                who = type(self._prototype).__name__
                raise InvalidSpace(Problem("param_space", f"{who} refuses it: {error}")) from error
            if not taken and not self.space.constant:
                message = "the searcher has a space of its own already; drop one of the two"
                raise InvalidSpace([Problem(path, message) for path in self.space.domains])
            for seen in self._earlier:
                self._teach(seen)

    def _teach(self, seen: Observation) -> None:
        value = seen.values[-1][1] if seen.values else math.nan
        if seen.status is not Status.TERMINATED or math.isnan(value):
            return
        try:
            self._live.add_evaluated_point(copy.deepcopy(seen.config), value)
        except NotImplementedError:
            super().learn(self._earlier)

    def _number(self, key: int) -> int:
        words = np.random.SeedSequence([self.seed % 2**64, key + 1]).generate_state(1)
        return int(words[0])

    def _reseed(self) -> None:
        for place, found in enumerate(generators(self._live)):
            seed = self._number(10**9 + place)
            if isinstance(found, np.random.Generator):
                found.bit_generator.state = type(found.bit_generator)(seed).state
            else:
                found.seed(seed)

    def _catch_up(self, number: int, known: History) -> None:
        """Tell what came in before trial `number` was asked for and has not been told."""
        with global_random(self._number(2 * number)):
            for seen in known:
                told = self._told.get(seen.number, 0)
                if told >= 0:
                    self._told[seen.number] = self._tell(number, seen, told)

    def _tell(self, number: int, seen: Observation, told: int) -> int:
        id = f"{seen.number:05d}"
        for index in range(told, len(seen.values)):
            if index < len(seen.arrivals) and seen.arrivals[index] > number:
                return index
            iteration, value = seen.values[index]
            told = index + 1
            self._live.on_trial_result(id, self._result(iteration, value, seen, told))
        if not seen.status.finished or (seen.closed is not None and seen.closed > number):
            return told
        iteration, value = seen.values[-1] if seen.values else (0, math.nan)
        if seen.status is not Status.TERMINATED or math.isnan(value):
            self._live.on_trial_complete(id, result=None, error=True)
        else:
            result = self._result(iteration, value, seen, len(seen.values))
            self._live.on_trial_complete(id, result=result, error=False)
        return -1

    def _result(self, iteration: int, value: float, seen: Observation, told: int) -> Config:
        last = seen.last if told == len(seen.values) and seen.status.finished else {}
        return {**last, "training_iteration": iteration, str(self.metric): value}

    def _ask(self, number: int) -> Config | Wait | None:
        with global_random(self._number(2 * number + 1)):
            answer = self._live.suggest(f"{number:05d}")
        if answer is None:
            return WAIT
        if answer == FINISHED:
            return None
        self._next = number + 1
        config: Config = merge(self._constants, plain(answer))
        if not self.space.constant and not self.space.contains(config):
            self.space.read(config)  # says what does not fit
        return config

    def _attempt(self, number: int, known: History) -> Config | Wait | None:
        """What it suggests after all that came in. Where no trial is left to wait for, None is no
        answer, and it is asked again."""
        self._catch_up(number, known)
        answer, busy = self._ask(number), any(self._told[seen.number] >= 0 for seen in known)
        for _ in range(0 if busy else PATIENCE):
            if not isinstance(answer, Wait):
                break
            answer = self._ask(number)
        return answer

    def _check(self, number: int, seen: Observation, answer: Config | Wait | None) -> None:
        if isinstance(answer, dict) and _text(answer) == _text(seen.config):
            return
        who = type(self._prototype).__name__
        raise InvalidSpec(
            Problem(
                "searcher",
                f"{who} does not suggest again what it suggested for trial {number}; give it a "
                "seed, and the same options as before",
            )
        )

    def to_json(self) -> dict[str, object]:
        return {"type": self.name, "python": type(self._prototype).__name__}


def own_or_foreign(given: Any) -> Any:
    """One of Ray Tune's searchers as one of ours; anything else as it is."""
    return ForeignSearcher(given) if is_foreign(given) else given


def generators(root: object) -> Iterator[Any]:
    """NumPy's generators within an object, in a fixed order."""
    seen: set[int] = set()

    def walk(node: object, depth: int) -> Iterator[Any]:
        if id(node) in seen or depth > DEPTH:
            return
        seen.add(id(node))
        if isinstance(node, np.random.RandomState | np.random.Generator):
            yield node
        elif isinstance(node, Mapping):
            for value in node.values():
                yield from walk(value, depth + 1)
        elif isinstance(node, list | tuple):
            for value in node:
                yield from walk(value, depth + 1)
        elif hasattr(node, "__dict__") and not isinstance(node, type):
            for value in vars(node).values():
                yield from walk(value, depth + 1)

    return walk(root, 0)


def _text(config: Config) -> str:
    return json.dumps(config, sort_keys=True, default=repr)
