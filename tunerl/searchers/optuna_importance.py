"""How much each parameter mattered: PED-ANOVA, or Optuna's fANOVA, bootstrapped over trials.

Invariant: a function of the trials and the seed. A trial that was stopped early counts with what it
had reached by then; a failed one does not count.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tunerl.errors import InvalidInput, InvalidSpace, nearest
from tunerl.searchers.base import Observation
from tunerl.searchers.optuna_space import TreeAdapter
from tunerl.searchers.optuna_study import NAME, HistoryStorage
from tunerl.searchers.optuna_told import Teller
from tunerl.space import Space
from tunerl.statistics import ped_anova
from tunerl.statistics.summaries import interval_of
from tunerl.trial import Reason, Status

EVALUATORS = ("ped-anova", "fanova")
DRAWS = {"ped-anova": 100, "fanova": 20}
MOST = 200  # trials that a forest learns from; its time grows with their square
TREES, FEW_TREES = 64, 8  # of a forest, and of one for a draw
FEWEST = 4  # trials, below which there is nothing to compare
GRID = 50  # points on which a range of numbers is compared
EARLY = (Reason.SCHEDULER, Reason.BUDGET)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Importance:
    """Of one parameter: its share of 1, and a bootstrap interval of it over trials."""

    parameter: str
    value: float
    low: float
    high: float


def importance(
    space: Space,
    trials: Sequence[Observation],
    objective: str,
    mode: str,
    *,
    evaluator: str = "ped-anova",
    resamples: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Importance]:
    """The importances, greatest first; they sum to 1.

    `evaluator`: "ped-anova" (arXiv 2304.10255: what tells the best tenth from the rest) or "fanova"
    (Hutter et al. 2014: shares of the variance; only parameters that every trial has; needs
    scikit-learn). `resamples`: bootstrap draws of trials, by default 100, and 20 for fanova; 0 for
    none, with NaN as limits. Of more than 200 trials fanova looks at 200, drawn by the seed, which
    its interval accounts for; the forests of its draws are small, so it is rather too wide.

    Trials that a scheduler or a budget stopped count with their last value, at the resource they
    had reached: without them, what makes a trial bad early on would not show. Raises `InvalidInput`
    for too few trials.
    """
    if evaluator not in EVALUATORS:
        raise InvalidInput(f"no evaluator goes by {evaluator!r}; {nearest(evaluator, EVALUATORS)}")
    if evaluator == "fanova" and find_spec("sklearn") is None:
        raise InvalidInput("fanova needs a package that is not there: pip install scikit-learn")
    told = _told(space, trials, objective)
    if len(told) < FEWEST:
        raise InvalidInput(
            f"importances need at least {FEWEST} trials with a number of {objective!r}; "
            f"there are {len(told)}"
        )
    rng = np.random.default_rng(seed)
    if evaluator == "fanova" and len(told) > MOST:
        told = [told[place] for place in sorted(rng.choice(len(told), MOST, replace=False))]
    shares = _ped_anova(told, mode) if evaluator == "ped-anova" else _fanova(told, mode, seed)
    value = shares(np.ones(len(told), np.int64), True)
    drawn: dict[str, list[float]] = {name: [] for name in value}
    count = DRAWS[evaluator] if resamples is None else resamples
    for _ in range(count):
        picks = rng.integers(0, len(told), len(told))
        again = shares(np.bincount(picks, minlength=len(told)), False)
        for name in value:
            drawn[name].append(again.get(name, 0.0))
    found = []
    for name, share in value.items():
        low, high = interval_of(np.array(drawn[name]), confidence) if count else (np.nan, np.nan)
        found.append(Importance(name, share, float(low), float(high)))
    return sorted(found, key=lambda entry: (-entry.value, entry.parameter))


def _told(space: Space, trials: Sequence[Observation], objective: str) -> list[FrozenTrial]:
    adapter, teller = TreeAdapter(space), Teller([objective])
    found: list[FrozenTrial] = []
    for seen in trials:
        try:
            params = adapter.read(seen.config)
        except InvalidSpace:
            continue
        if seen.status is Status.TERMINATED and seen.reason in EARLY:
            seen = replace(seen, reason=Reason.STOP_RULE)
        told = teller.tell(len(found), seen, params)
        if told.state == TrialState.COMPLETE and np.isfinite(told.value):
            found.append(told)
    return found


Shares = Callable[[Ints, bool], dict[str, float]]  # of how often trials count; in full, or a draw


def _ped_anova(told: Sequence[FrozenTrial], mode: str) -> Shares:
    ranges: dict[str, list[ped_anova.Range]] = {}
    places: dict[tuple[str, BaseDistribution], list[int]] = {}
    for place, trial in enumerate(told):
        for name, distribution in trial.distributions.items():
            places.setdefault((name, distribution), []).append(place)
    for (name, distribution), found in places.items():
        values = [told[place].params[name] for place in found]
        points, size = _on_grid(distribution, values)
        ordered = not isinstance(distribution, CategoricalDistribution)
        made = ped_anova.Range(np.array(found, np.int64), points, size, ordered)
        ranges.setdefault(name, []).append(made)
    sign = 1.0 if mode == "min" else -1.0
    losses = sign * np.array([trial.value for trial in told])
    return lambda counts, full: ped_anova.shares(ranges, losses, counts)


def _on_grid(distribution: BaseDistribution, values: Sequence[object]) -> tuple[Ints, int]:
    """The points of values on the grid of their range, and its size; as Optuna lays it."""
    if isinstance(distribution, CategoricalDistribution):
        chosen = [int(distribution.to_internal_repr(value)) for value in values]
        return np.array(chosen, np.int64), len(distribution.choices)
    assert isinstance(distribution, optuna.distributions.FloatDistribution | IntDistribution)
    low, high, size = float(distribution.low), float(distribution.high), GRID
    if distribution.single():
        return np.zeros(len(values), np.int64), 1
    if isinstance(distribution, IntDistribution) and distribution.log:
        size = min(math.ceil(math.log2(high - low + 1)) + 1, GRID)
    elif distribution.step is not None:
        size = min(round((high - low) / distribution.step) + 1, GRID)
    numbers = np.array(values, np.float64)
    if distribution.log:
        numbers, low, high = np.log(numbers), math.log(low), math.log(high)
    points = np.ceil((numbers - low) / ((high - low) / (size - 1)) - 0.5)
    return np.clip(points, 0, size - 1).astype(np.int64), size


def _fanova(told: Sequence[FrozenTrial], mode: str, seed: int) -> Shares:
    def shares(counts: Ints, full: bool) -> dict[str, float]:
        again = [trial for trial, n in zip(told, counts, strict=True) for _ in range(n)]
        storage = HistoryStorage([StudyDirection[f"{mode.upper()}IMIZE"]])
        storage.trials = again
        storage.show(len(again))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)  # that all are alike, of some draws
            study = optuna.load_study(
                study_name=NAME, storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
            )
            forest = optuna.importance.FanovaImportanceEvaluator(
                n_trees=TREES if full else FEW_TREES, seed=seed
            )
            try:
                found = optuna.importance.get_param_importances(study, evaluator=forest)
            except RuntimeError as error:  # all values alike
                raise InvalidInput(f"fanova found nothing to tell apart: {error}") from error
        return {str(name): float(share) for name, share in found.items()}

    return shares
