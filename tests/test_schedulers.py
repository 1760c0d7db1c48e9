"""The contract of every registered scheduler."""

import json
import math
import random

import numpy as np
import pytest

from tunerl import schedulers
from tunerl.errors import InvalidSpec, MetricError
from tunerl.schedulers import Allocate, Exploit, Pause, Resume, Stop, Widen

NEEDED = {  # options
    "pbt_replay": {"policy_file": [[2, {"lr": 1}], [4, {"lr": 2}]]},
    "resource_changing": {
        "resources_allocation_function": {
            "name": "distribute",
            "total": {"CPU": 32.0},
            "base": {"CPU": 1.0},
            "increase_by": {"CPU": 1.0},
            "increase_by_times": -1,
        }
    },
}
CASES = [{"type": name, **NEEDED.get(name, {})} for name in schedulers.names()] + [
    {"type": "asha", "variant": "promotion", "reduction_factor": 2, "max_t": 20},
    {"type": "asha", "brackets": 3, "reduction_factor": 3, "mode": "min", "metric": "m"},
    {"type": "asha", "time_attr": "num_env_steps_sampled_lifetime", "max_t": 10**9,
     "grace_period": 10**6},
    {"type": "hyperband", "max_t": 9, "mode": "min"},
    {"type": "hyperband", "max_t": 20, "reduction_factor": 2, "rounding": "paper",
     "stop_last_trials": False},
    {"type": "hyperband", "max_t": 16, "grace_period": 2, "reduction_factor": 2,
     "rounding": "table"},
    {"type": "median", "time_attr": "training_iteration", "grace_period": 0},
    {"type": "median", "time_attr": "training_iteration", "grace_period": 3,
     "min_samples_required": 2, "hard_stop": False},
    {"type": "seed_halving", "max_t": 20, "max_seeds": 6},
    {"type": "dehb", "max_t": 9},
    *({"type": "optuna_pruner", "pruner": pruner} for pruner in (
        {"name": "percentile", "percentile": 30.0, "n_startup_trials": 2},
        {"name": "successive_halving", "min_resource": 2},
        {"name": "hyperband", "max_resource": 20, "reduction_factor": 3},
        {"name": "patient", "wrapped_pruner": {"name": "median"}, "patience": 2},
        {"name": "threshold", "lower": 3.0},
        {"name": "wilcoxon", "p_threshold": 0.2},
    )),
    {"type": "pbt", "time_attr": "training_iteration", "perturbation_interval": 3, "synch": True},
    {"type": "pbt", "time_attr": "training_iteration", "perturbation_interval": 1, "mode": "min"},
    {"type": "pb2", "time_attr": "training_iteration", "perturbation_interval": 2},
]  # fmt: skip
case = pytest.mark.parametrize("options", CASES, ids=str)


def make(options, seed=0):
    scheduler = schedulers.create(options)
    scheduler.setup("m", "max", seed)
    return scheduler


def result(time, value):
    return {
        "training_iteration": time,
        "time_total_s": time * 30.0,
        "num_env_steps_sampled_lifetime": time * 10**6,
        "m": value,
    }


def sweep(scheduler, trials=24, length=25, seed=0):
    """Run trials of random quality in random order as a controller would; the log of decisions."""
    rng = random.Random(seed)
    times = dict.fromkeys(range(trials), 0)
    running, paused, log = set(), set(), []

    def apply(decisions):
        for decision in decisions:
            log.append(decision)
            if isinstance(decision, Widen | Allocate):
                assert decision.trial in paused | running
            elif isinstance(decision, Resume):
                assert decision.trial in paused
                paused.discard(decision.trial)
                running.add(decision.trial)
            elif isinstance(decision, Pause):
                assert decision.trial in running
                running.discard(decision.trial)
                paused.add(decision.trial)
            elif isinstance(decision, Exploit):
                assert {decision.target, decision.source} <= running | paused
            else:
                running.discard(decision.trial)
                paused.discard(decision.trial)

    for trial in range(trials):
        running.add(trial)
        apply(scheduler.on_add(trial, {}))
    for _ in range(10_000):
        if not running:
            decisions = scheduler.on_idle()
            if not decisions:
                break
            apply(decisions)
            continue
        trial = rng.choice(sorted(running))
        times[trial] += 1
        if rng.random() < 0.01:
            running.discard(trial)
            apply(scheduler.on_error(trial))
            continue
        value = math.nan if trial % 7 == 3 else trial * times[trial]
        report = result(times[trial], value)
        if times[trial] == length:
            running.discard(trial)
            apply(scheduler.on_complete(trial, report))
        else:
            apply(scheduler.on_result(trial, report))
    assert not running
    assert not paused, "trials were left paused for good"
    return log


@case
def test_json_round_trip_makes_an_equal_one(options):
    scheduler = make(options)
    written = scheduler.to_json()
    assert json.loads(json.dumps(written)) == written
    assert schedulers.create(written).to_json() == written
    assert all(written[key] == value for key, value in options.items())


@case
def test_every_trial_ends_and_none_stays_paused(options):
    sweep(make(options))


@case
def test_the_same_events_lead_to_the_same_decisions_whatever_global_random_does(options):
    first = sweep(make(options))
    random.seed(123)
    np.random.seed(123)
    assert sweep(make(options)) == first


@case
def test_a_result_that_comes_twice_or_late_changes_nothing(options):
    clean, noisy = make(options), make(options)
    for time in range(1, 8):
        for trial in range(6):
            expected = clean.on_result(trial, result(time, trial))
            assert noisy.on_result(trial, result(time, trial)) == expected
            assert noisy.on_result(trial, result(time, -99)) == []
            assert noisy.on_result(trial, result(time - 1, 99)) == []


@case
def test_nothing_happened_and_idle_is_no_decision(options):
    scheduler = make(options)
    assert scheduler.on_idle() == []
    assert scheduler.on_add(0, {"lr": 1}) == []
    assert scheduler.on_error(0) == []
    assert scheduler.on_complete(1, None) == []


def test_fifo_stops_nobody():
    assert sweep(make({"type": "fifo"})) == []


def test_unknown_names_and_options_name_the_nearest():
    with pytest.raises(InvalidSpec, match=r"scheduler.type: .*did you mean 'asha'"):
        schedulers.create({"type": "ahsa"})
    with pytest.raises(InvalidSpec, match=r"scheduler.max_time: .*did you mean 'max_t'"):
        schedulers.create({"type": "asha", "max_time": 3})
    with pytest.raises(InvalidSpec, match=r"scheduler.type"):
        schedulers.create({})


def test_rays_names_are_known():
    assert schedulers.create({"type": "async_hyperband"}).to_json()["type"] == "asha"
    assert schedulers.ASHAScheduler is schedulers.AsyncHyperBandScheduler


def test_missing_metrics_name_the_nearest():
    scheduler = make({"type": "asha", "metric": "env_runners/episode_return_mean"})
    with pytest.raises(MetricError, match="did you mean 'env_runners/episode_return_max'"):
        scheduler.on_result(
            0, {"training_iteration": 1, "env_runners/episode_return_max": 1, "loss": 2}
        )
    with pytest.raises(MetricError, match="time_attr 'training_iteration'"):
        scheduler.on_result(0, {"env_runners/episode_return_mean": 1})


@pytest.mark.parametrize("value", ["high", [1, 2], {}])
def test_a_metric_that_is_no_number_is_an_error(value):
    with pytest.raises(MetricError, match="must be a number"):
        make({"type": "asha"}).on_result(0, result(1, value))


def test_stop_tells_early_from_complete():
    scheduler = make({"type": "asha", "max_t": 5, "reduction_factor": 2})
    assert scheduler.on_result(0, result(5, 1)) == [Stop(0, complete=True)]
