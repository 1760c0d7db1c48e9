"""Importances: Optuna's own numbers, in a fraction of the time, with early-stopped trials."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection

import tunerl.space as sp
from tunerl.errors import InvalidInput
from tunerl.searchers import optuna_importance
from tunerl.searchers.base import Observation
from tunerl.searchers.optuna_importance import importance
from tunerl.searchers.optuna_study import NAME, HistoryStorage
from tunerl.space import Space
from tunerl.trial import Reason, Status

SPACE = Space(
    {
        "lr": sp.loguniform(1e-5, 1e-2),
        "gamma": sp.quniform(0.5, 1.0, 0.05),
        "epochs": sp.randint(1, 100),
        "width": sp.lograndint(8, 512),
        "fixed": sp.uniform(0.0, 1.0),
        "model": sp.choice([{"kind": "a"}, {"kind": "b", "depth": sp.randint(1, 4)}]),
    }
)


def trials(count: int, seed: int = 0) -> list[Observation]:
    """They are good by `lr` and, less, by `model`."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        config = SPACE.sample(rng)
        value = -abs(np.log10(config["lr"]) + 3.5) + 0.5 * (config["model"]["kind"] == "a")
        seen = Observation(number, config, Status.TERMINATED, Reason.DONE)
        seen.values = [(1, float(value + 0.1 * rng.normal()))]
        found.append(seen)
    return found


def by_name(found: list[Any]) -> dict[str, float]:
    return {entry.parameter: entry.value for entry in found}


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("count", [7, 60, 200])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_numbers_are_those_of_optunas_ped_anova(count: int, mode: str) -> None:
    seen = trials(count)
    storage = HistoryStorage([StudyDirection[f"{mode.upper()}IMIZE"]])
    storage.trials = optuna_importance._told(SPACE, seen, "score")
    storage.show(count)
    study = optuna.load_study(
        study_name=NAME, storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = by_name(importance(SPACE, seen, "score", mode, resamples=0))
    assert len(ours) >= 7
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_a_thousand_trials_take_a_second_or_so() -> None:
    seen = trials(1000)
    began = time.process_time()
    found = importance(SPACE, seen, "score", "max")
    assert time.process_time() - began < 5.0
    assert found[0].parameter == "lr"
    assert found[0].low <= found[0].value <= found[0].high
    assert found[0].low > max(entry.high for entry in found[2:])


def test_trials_that_were_stopped_early_count_with_what_they_had_reached() -> None:
    seen = trials(60)
    whole = by_name(importance(SPACE, seen, "score", "max", resamples=0))
    order = sorted(seen, key=lambda each: each.values[-1][1])
    for each in order[:50]:
        each.reason = Reason.SCHEDULER
        each.values = [(1, each.values[-1][1])]
    assert by_name(importance(SPACE, seen, "score", "max", resamples=0)) == whole
    for each in order[:50]:
        each.status, each.reason = Status.ERROR, Reason.FAILURE
    assert by_name(importance(SPACE, seen, "score", "max", resamples=0)) != whole
    with pytest.raises(InvalidInput, match="there are 3"):
        importance(SPACE, order[:53], "score", "max")


def test_values_that_are_all_alike_tell_nothing_apart() -> None:
    seen = trials(20)
    for each in seen:
        each.values = [(1, 1.0)]
    found = importance(SPACE, seen, "score", "max", resamples=3)
    assert {round(entry.value, 9) for entry in found} == {round(1 / len(found), 9)}


def test_a_forest_looks_at_a_part_of_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_importance, "MOST", 60)
    monkeypatch.setattr(optuna_importance, "TREES", 8)
    seen = trials(200)
    first, again = (
        importance(SPACE, seen, "score", "max", evaluator="fanova", resamples=4) for _ in range(2)
    )
    assert first == again
    assert first[0].parameter == "lr"
    other = importance(SPACE, seen, "score", "max", evaluator="fanova", resamples=0, seed=1)
    assert by_name(other) != by_name(first)
