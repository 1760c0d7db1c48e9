"""Each suggestion several times, around any searcher that is to see their mean.

`TuneConfig(num_seeds=)` does the same within one trial, side by side in a pack, and so cheaper.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

from tunerl import statistics
from tunerl.errors import InvalidSpec, Problem
from tunerl.searchers.base import History, Observation, Searcher, Wait
from tunerl.space import Space
from tunerl.trial import TRIAL_INDEX, Config, Reason, Status


class Repeater(Searcher):
    """Trials ``n * repeat`` to ``n * repeat + repeat - 1`` have suggestion `n` of `searcher`.

    `searcher` sees one trial for them: it runs until all have ended, and its value is the mean of
    their last ones; one that failed is left out. `set_index`: the configuration tells the trial its
    place, as ``__trial_index__``; a trainable that says which hyperparameters it has is not told.
    `num_samples` counts trials, as in Ray Tune, up to whole groups.
    """

    name = "repeater"

    def __init__(self, searcher: Searcher, repeat: int = 1, set_index: bool = True) -> None:
        if not isinstance(searcher, Searcher):
            raise InvalidSpec(Problem("searcher.searcher", f"{searcher!r} is not a searcher"))
        if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
            raise InvalidSpec(
                Problem("searcher.repeat", f"{repeat!r} given; it must be at least 1")
            )
        self.searcher, self.repeat, self.set_index = searcher, repeat, bool(set_index)

    def pursue(self, objectives: Mapping[str, str]) -> None:
        message = "Repeater takes the mean of one objective; use TuneConfig(num_seeds=) for several"
        raise InvalidSpec(Problem("metric", message))

    def learn(self, earlier: History) -> None:
        self.searcher.learn(earlier)

    def setup(
        self, space: Space, metric: str | None, mode: str | None, num_samples: int, seed: int
    ) -> None:
        super().setup(space, metric, mode, num_samples, seed)
        inner = num_samples if num_samples < 0 else -(-num_samples // self.repeat)
        self.searcher.setup(space, metric, mode, inner, seed)

    @property
    def total(self) -> int | None:
        inner = self.searcher.total
        return None if inner is None else inner * self.repeat

    @property
    def max_concurrent(self) -> int | None:
        inner = self.searcher.max_concurrent
        return None if inner is None else inner * self.repeat

    def suggest(self, number: int, history: History) -> Config | Wait | None:
        group, index = divmod(number, self.repeat)
        if index:
            config = copy.deepcopy(history[number - index].config)
        else:
            suggested = self.searcher.suggest(group, self._grouped(history))
            if suggested is None or isinstance(suggested, Wait):
                return suggested
            config = suggested
        if self.set_index:
            config[TRIAL_INDEX] = index
        return config

    def _grouped(self, history: History) -> list[Observation]:
        starts = range(0, len(history), self.repeat)
        return [self._group(s // self.repeat, history[s : s + self.repeat]) for s in starts]

    def _group(self, number: int, trials: History) -> Observation:
        config = {key: value for key, value in trials[0].config.items() if key != TRIAL_INDEX}
        seen = Observation(number, config, Status.RUNNING, version=sum(t.version for t in trials))
        seen.closed = max((trial.closed or 0 for trial in trials), default=0) // self.repeat
        if len(trials) < self.repeat or not all(trial.status.finished for trial in trials):
            seen.closed = None
            return seen
        lasts = [
            trial.values[-1]
            for trial in trials
            if trial.status is Status.TERMINATED and trial.values
        ]
        if not lasts:
            seen.status, seen.reason = Status.ERROR, Reason.FAILURE
            return seen
        seen.status = Status.TERMINATED
        early = [t.reason for t in trials if t.reason in (Reason.SCHEDULER, Reason.BUDGET)]
        seen.reason = early[0] if early else Reason.DONE
        value = statistics.mean([value for _, value in lasts])
        seen.values = [(max(iteration for iteration, _ in lasts), value)]
        seen.arrivals = [seen.closed]
        seen.last = {self.metric: value} if self.metric and not math.isnan(value) else {}
        return seen

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.name,
            "searcher": self.searcher.to_json(),
            "repeat": self.repeat,
            "set_index": self.set_index,
        }
