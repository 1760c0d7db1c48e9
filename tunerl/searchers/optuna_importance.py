"""How much each parameter mattered: fANOVA or PED-ANOVA of Optuna, bootstrapped over trials.

Invariant: a function of the trials and the seed; early-stopped and failed trials are not counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tunerl.errors import InvalidInput, InvalidSpace, nearest
from tunerl.searchers.base import Observation
from tunerl.searchers.optuna_space import TreeAdapter
from tunerl.searchers.optuna_study import NAME, HistoryStorage
from tunerl.searchers.optuna_told import Teller
from tunerl.space import Space
from tunerl.statistics.summaries import interval_of

EVALUATORS = ("ped-anova", "fanova")
MANY = 200  # trials, from which on fewer draws have to do
FEWEST = 4  # trials, below which there is nothing to compare


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
    scikit-learn). `resamples`: bootstrap draws of trials, by default 100, and 20 for the slower
    fanova, of more than 200 trials as many fewer as they are more, but 10 at least; 0 for none,
    with NaN as limits. Raises `InvalidInput` for too few trials.
    """
    if evaluator not in EVALUATORS:
        raise InvalidInput(f"no evaluator goes by {evaluator!r}; {nearest(evaluator, EVALUATORS)}")
    if evaluator == "fanova" and find_spec("sklearn") is None:
        raise InvalidInput("fanova needs a package that is not there: pip install scikit-learn")
    told = _told(space, trials, objective)
    count = _draws(evaluator, len(told)) if resamples is None else resamples
    if len(told) < FEWEST:
        raise InvalidInput(
            f"importances need at least {FEWEST} trials that ran as planned to a number of "
            f"{objective!r}; there are {len(told)}"
        )
    value = _evaluate(told, mode, evaluator, seed)
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(count):
        picks = rng.integers(0, len(told), len(told))
        again = _evaluate([told[pick] for pick in picks], mode, evaluator, seed)
        for name in value:
            drawn[name].append(again.get(name, 0.0))
    found = []
    for name, share in value.items():
        low, high = interval_of(np.array(drawn[name]), confidence) if count else (np.nan, np.nan)
        found.append(Importance(name, share, float(low), float(high)))
    return sorted(found, key=lambda entry: (-entry.value, entry.parameter))


def _draws(evaluator: str, trials: int) -> int:
    """How often to draw from so many trials, for about the same time."""
    return max(10, round((20 if evaluator == "fanova" else 100) * min(1.0, MANY / max(1, trials))))


def _told(space: Space, trials: Sequence[Observation], objective: str) -> list[FrozenTrial]:
    adapter, teller = TreeAdapter(space), Teller([objective])
    found: list[FrozenTrial] = []
    for seen in trials:
        try:
            params = adapter.read(seen.config)
        except InvalidSpace:
            continue
        told = teller.tell(len(found), seen, params)
        if told.state == TrialState.COMPLETE and np.isfinite(told.value):
            found.append(told)
    return found


def _evaluate(
    told: Sequence[FrozenTrial], mode: str, evaluator: str, seed: int
) -> dict[str, float]:
    kinds: dict[str, Any] = {
        "ped-anova": lambda: optuna.importance.PedAnovaImportanceEvaluator(),
        "fanova": lambda: optuna.importance.FanovaImportanceEvaluator(seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # that all are alike, of some draws
        storage = HistoryStorage([StudyDirection[f"{mode.upper()}IMIZE"]])
        storage.trials = list(told)
        storage.show(len(told))
        study = optuna.load_study(
            study_name=NAME, storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        try:
            found = optuna.importance.get_param_importances(study, evaluator=kinds[evaluator]())
        except RuntimeError as error:  # all values alike
            raise InvalidInput(f"{evaluator} found nothing to tell apart: {error}") from error
    return {str(name): float(share) for name, share in found.items()}
