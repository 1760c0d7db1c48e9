"""Why trials were stopped, on which rung; the best over its budget; what exploits changed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Experiment
from tunerl.policy import Change, mutations
from tunerl.results.incumbent import incumbent
from tunerl.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, Stop
from tunerl.schedulers.base import Scheduler, Verdict
from tunerl.standings import standings


def report(scheduler: Scheduler, trial: int, time: float, value: float | None) -> list[Any]:
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


def verdict(decisions: list[Any]) -> Verdict:
    (stop,) = decisions
    assert isinstance(stop, Stop)
    assert stop.verdict is not None
    return stop.verdict


def ready(scheduler: Scheduler, mode: str = "max") -> Any:
    scheduler.setup("m", mode, 0)
    return scheduler


def test_asha_says_in_the_metrics_own_numbers_what_was_needed() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3), "min")
    report(scheduler, 0, 1, 10.0)
    found = verdict(report(scheduler, 1, 1, 25.0))
    assert found == Verdict(1, 25.0, 10.0, 1, 0)
    assert str(found) == "had 25 at 1, where 10 was needed against 1 other"


def test_a_trial_without_a_number_is_told_so() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3))
    report(scheduler, 0, 1, 10.0)
    found = verdict(report(scheduler, 1, 1, None))
    assert math.isnan(found.value)
    assert str(found).startswith("had no number at 1, where 10 was needed")


def test_whom_nobody_follows_is_told_so() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3, variant="promotion"))
    for trial in range(3):
        report(scheduler, trial, 1, float(trial))
    report(scheduler, 2, 9, 5.0)
    told = [decision.verdict for decision in scheduler.on_idle()]
    assert [(each.time, each.value, each.rivals) for each in told] == [(1, 0.0, 2), (1, 1.0, 2)]
    assert "nobody else will come" in str(told[0])


def test_hyperband_says_what_the_last_of_those_who_went_on_had() -> None:
    scheduler = ready(HyperBandScheduler(max_t=3, reduction_factor=3))
    for trial in range(3):
        scheduler.on_add(trial, {})
    found = [report(scheduler, trial, 1, float(trial)) for trial in range(3)][-1]
    stops = [decision.verdict for decision in found if isinstance(decision, Stop)]
    assert stops == [Verdict(1, 1.0, 2.0, 2, 0), Verdict(1, 0.0, 2.0, 2, 0)]


def test_hyperbands_brackets_follow_from_the_numbers_of_trials() -> None:
    scheduler = ready(HyperBandScheduler(max_t=9, reduction_factor=3))
    told = []
    for trial in range(40):
        scheduler.on_add(trial, {})
        bracket = scheduler._members[trial].bracket
        told.append((scheduler._brackets.index(bracket), bracket.times))
    assert [scheduler.rungs_of(trial) for trial in range(40)] == told


def test_the_median_rule_says_the_median() -> None:
    scheduler = ready(
        MedianStoppingRule("training_iteration", grace_period=1, min_samples_required=2)
    )
    for trial, value in enumerate((10.0, 20.0, 30.0)):
        report(scheduler, trial, 1, value)
    assert verdict(report(scheduler, 3, 1, 5.0)) == Verdict(1, 5.0, 20.0, 3)


def test_standings_count_who_reached_and_who_was_stopped(tmp_path: Path) -> None:
    experiment = Experiment(
        tmp_path,
        param_space={"lr": {"grid_search": [3.0, 2.0, 1.0]}},
        scheduler={"type": "asha", "max_t": 4, "reduction_factor": 2},
        max_concurrent_trials=1,
        stop={},
    )
    experiment.run()
    found = standings(experiment.store, experiment.id, experiment.spec)
    assert (found.scheduler, found.time_attr) == ("asha", "training_iteration")
    (bracket,) = found.brackets
    told = [(rung.time, rung.reached, rung.stopped, rung.needed) for rung in bracket.rungs]
    assert told[0] == (1, 3, 2, pytest.approx(2.5))
    assert [entry[:3] for entry in told[1:]] == [(2, 1, 0), (4, 1, 0)]
    assert [(trial, why.value) for trial, why, _ in found.verdicts] == [(1, 2.0), (2, 1.0)]
    stopped = experiment.store.events(experiment.id, kind="trial.stopped")
    assert [event.trial for event in stopped] == [1, 2]


def test_the_stops_of_a_pruner_are_kept_with_their_reasons(tmp_path: Path) -> None:
    pruner = {"name": "median", "n_startup_trials": 1}
    experiment = Experiment(
        tmp_path,
        param_space={"lr": {"grid_search": [3.0, 2.0, 4.0]}},
        scheduler={"type": "optuna_pruner", "pruner": pruner},
        max_concurrent_trials=1,
    )
    experiment.run()
    ((trial, why, text),) = standings(experiment.store, experiment.id, experiment.spec).verdicts
    assert (trial, why.by, why.value) == (1, "Optuna's MedianPruner", 2.0)
    assert "pruned" in text


def test_standings_of_a_scheduler_without_rungs_are_empty(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    found = standings(experiment.store, experiment.id, experiment.spec)
    assert (found.brackets, found.verdicts, found.time_attr) == ([], [], None)


def test_the_incumbent_counts_what_all_trials_and_seeds_took(tmp_path: Path) -> None:
    experiment = Experiment(
        tmp_path,
        param_space={"lr": {"grid_search": [2.0, 1.0, 3.0]}},
        num_seeds=2,
        max_concurrent_trials=1,
    )
    experiment.run()
    found = incumbent(experiment.store, experiment.id)
    assert (found.unit, found.spent, found.mode) == ("iterations", 3 * 3 * 2, "max")
    told = [(each.spent, each.value, each.trial) for each in found.improvements]
    assert told == [(2, 2.0, 0), (4, 4.0, 0), (6, 6.0, 0), (18, 9.0, 2)]
    assert found.improvements[-1].low == found.improvements[-1].high == 9.0


def test_the_incumbent_of_a_single_seed_has_no_interval(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path, stop={"training_iteration": 1})
    experiment.run()
    assert all(
        math.isnan(each.low) for each in incumbent(experiment.store, experiment.id).improvements
    )


def test_mutations_are_told_against_the_sources_settings_at_that_time() -> None:
    log = [
        Change(1, 0, 4, 4, {"lr": 9}, {"lr": 2, "net": {"act": "relu"}}),
        Change(2, 1, 8, 8, {"lr": 7}, {"lr": 3, "net": {"act": "relu"}}),
        Change(1, 1, 9, 9, {"lr": 2, "net": {"act": "relu"}}, {"lr": 5, "net": {"act": "tanh"}}),
    ]
    configs = {0: {"lr": 1, "net": {"act": "relu"}}, 1: log[2].config, 2: log[1].config}
    assert mutations(log, configs) == [
        {"lr": (1, 2)},
        {"lr": (2, 3)},
        {"lr": (2, 5), "net/act": ("relu", "tanh")},
    ]
    assert json.dumps(mutations(log, configs))
