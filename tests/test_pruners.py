"""Optuna's pruners as schedulers: the same decisions as Optuna's own study, Wilcoxon over seeds."""

import math
import random

import optuna
import pytest

from tunerl import schedulers
from tunerl.errors import InvalidSpec, MetricError
from tunerl.schedulers import OptunaPruner, Stop


def make(pruner, mode="max", seed=0):
    scheduler = OptunaPruner(pruner, metric="m", mode=mode)
    scheduler.setup(None, None, seed)
    return scheduler


def report(scheduler, trial, time, value, replicas=()):
    if replicas:
        scheduler.on_replicas(trial, [{"m": replica} for replica in replicas])
        value = sum(replicas) / len(replicas)
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


@pytest.mark.parametrize(
    "pruner",
    [
        {"name": "median", "n_startup_trials": 3, "n_warmup_steps": 2},
        {"name": "percentile", "percentile": 25.0, "n_startup_trials": 2},
        {"name": "successive_halving", "min_resource": 2, "reduction_factor": 2},
        {"name": "hyperband", "min_resource": 1, "max_resource": 9},
        {"name": "threshold", "lower": 4.0, "n_warmup_steps": 3},
        {"name": "patient", "wrapped_pruner": {"name": "median"}, "patience": 1},
    ],
    ids=lambda pruner: pruner["name"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_decisions_are_those_of_optunas_own_study(pruner):
    scheduler, rng = make(pruner), random.Random(1)
    study = optuna.create_study(
        direction="maximize",
        study_name="seed 0",
        pruner=schedulers.optuna_pruner.build(schedulers.optuna_pruner.described(pruner), ""),
    )
    pruned = 0
    for number in range(40):
        trial, stopped = study.ask(), False
        for time in range(1, 10):
            value = rng.random() * 6 + rng.random() * time
            trial.report(value, time)
            stopped = trial.should_prune()
            assert report(scheduler, number, time, value) == ([Stop(number)] if stopped else [])
            if stopped:
                break
        pruned += stopped
        if stopped:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
            assert scheduler.on_complete(number, {"training_iteration": 9, "m": value}) == []
    assert 3 < pruned < 40


def test_wilcoxon_stops_who_is_worse_than_the_best_replica_by_replica():
    scheduler = make("wilcoxon")
    for time in (1, 2, 3):
        assert report(scheduler, 0, time, 0, [time * 10.0 + s for s in range(5)]) == []
    scheduler.on_complete(0, None)
    assert report(scheduler, 1, 1, 0, [9.0 + s for s in range(5)]) == [Stop(1)]
    assert report(scheduler, 2, 1, 0, [11.0 + s for s in range(5)]) == []
    assert report(scheduler, 2, 2, 0, [19.5 + s for s in range(5)]) == [Stop(2)]
    assert report(scheduler, 3, 1, 0, [7.0, 12.0, 13.0, 14.0, 13.5]) == []


def test_wilcoxon_compares_at_the_same_time_not_with_the_end_of_the_best():
    scheduler = make("wilcoxon", "min")
    for time in (2, 4):
        report(scheduler, 0, time, 0, [10.0 / time + s for s in range(5)])
    scheduler.on_complete(0, None)
    assert report(scheduler, 1, 1, 0, [99.0] * 5) == [], "the best had not reported yet"
    assert report(scheduler, 1, 3, 0, [4.0 + s for s in range(5)]) == []
    assert report(scheduler, 1, 4, 0, [4.0 + s for s in range(5)]) == [Stop(1)]


def test_wilcoxon_with_one_replica_or_nan_stops_nobody():
    scheduler = make("wilcoxon")
    report(scheduler, 0, 1, 100)
    scheduler.on_complete(0, None)
    assert report(scheduler, 1, 1, 0) == []
    report(scheduler, 2, 1, 0, [50.0] * 6)
    assert report(scheduler, 3, 1, 0, [math.nan] * 6) == []


def test_an_option_that_is_a_pruner_is_python_and_runs():
    scheduler = make(optuna.pruners.ThresholdPruner(lower=1.0))
    assert report(scheduler, 0, 1, 0.5) == [Stop(0)]
    assert scheduler.to_json()["pruner"] == {"python": "ThresholdPruner"}
    with pytest.raises(InvalidSpec, match="cannot come from JSON"):
        schedulers.create(scheduler.to_json())


def test_nan_none_and_infinity_have_an_outcome():
    scheduler = make({"name": "threshold", "lower": 0.0})
    assert report(scheduler, 0, 1, math.nan) == [Stop(0)]
    assert report(scheduler, 1, 1, None) == [Stop(1)]
    assert report(scheduler, 2, 1, -math.inf) == [Stop(2)]
    assert report(scheduler, 3, 1, math.inf) == []
    with pytest.raises(MetricError, match="must be a number"):
        report(scheduler, 4, 1, "high")


@pytest.mark.parametrize(
    ("pruner", "path"),
    [
        ("medain", "scheduler.pruner"),
        (3, "scheduler.pruner"),
        ({"name": "percentile"}, "scheduler.pruner.percentile"),
        ({"name": "median", "n_startup": 3}, "scheduler.pruner.n_startup"),
        ({"name": "percentile", "percentile": 200.0}, "scheduler.pruner"),
        ({"name": "patient", "wrapped_pruner": "medain", "patience": 1},
         "scheduler.pruner.wrapped_pruner"),
    ],
)  # fmt: skip
def test_impossible_pruners_are_refused_under_their_path(pruner, path):
    with pytest.raises(InvalidSpec) as error:
        OptunaPruner(pruner)
    assert [problem.path for problem in error.value.problems] == [path]


def test_a_stop_says_which_pruner_it_was_and_what_it_had_seen():
    scheduler = make({"name": "median", "n_startup_trials": 1})
    report(scheduler, 0, 1, 5.0)
    scheduler.on_complete(0, None)
    (stop,) = report(scheduler, 1, 1, 2.5)
    assert (stop.verdict.value, stop.verdict.time, stop.verdict.rivals) == (2.5, 1, 1)
    assert str(stop.verdict) == (
        "had 2.5 at 1, which Optuna's MedianPruner pruned, knowing 1 other"
    )
