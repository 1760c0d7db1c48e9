"""The median stopping rule: Ray Tune's decisions, values that are no numbers, constant work."""

import gc
import math
import random
import statistics
import sys

import pytest

from tunerl.errors import InvalidSpec
from tunerl.schedulers import MedianStoppingRule, Pause, Resume, Stop
from tunerl.schedulers.median import median_without


def rule(mode="max", **options):
    given = {"time_attr": "training_iteration", "grace_period": 0, "min_samples_required": 1}
    scheduler = MedianStoppingRule(metric="m", mode=mode, **(given | options))
    scheduler.setup(None, None, 0)
    return scheduler


def report(scheduler, trial, time, value):
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


def finished(scheduler, trials=2):
    """Ray Tune's own set-up: one trial rises to 1000, one stays at 450."""
    for time in range(1, 11):
        assert report(scheduler, 0, time, time * 100) == []
        if trials == 2:
            report(scheduler, 1, time, 450)
    return scheduler


def test_a_trial_below_the_median_of_running_means_is_stopped():
    scheduler = finished(rule(min_samples_required=2))
    assert report(scheduler, 2, 1, 10) == [Stop(2)]
    assert report(scheduler, 3, 1, 300) == []  # the median of 100, 450, 10 is 100
    assert report(scheduler, 4, 1, 200) == []  # now it is 200, and only what is worse is stopped
    assert report(scheduler, 5, 1, 199) == [Stop(5)]


def test_the_best_value_so_far_counts_not_the_last_one():
    scheduler = finished(rule())
    assert report(scheduler, 2, 1, 500) == []
    assert report(scheduler, 2, 2, 0) == []


def test_before_the_grace_period_nobody_is_judged_and_nothing_counts():
    scheduler = rule(grace_period=5)
    for time in range(1, 11):
        report(scheduler, 0, time, 0 if time < 5 else 100)
    for time in range(1, 5):
        assert report(scheduler, 1, time, 1) == []
    assert report(scheduler, 1, 5, 1) == [Stop(1)]


def test_min_mode_keeps_the_low_ones():
    scheduler = rule("min")
    report(scheduler, 0, 1, 5)
    assert report(scheduler, 1, 1, 6) == [Stop(1)]
    assert report(scheduler, 2, 1, 4) == []


def test_too_few_others_and_everybody_goes_on():
    scheduler = rule(min_samples_required=3)
    assert [report(scheduler, trial, 1, -trial) for trial in range(3)] == [[], [], []]
    assert report(scheduler, 3, 1, -3) == [Stop(3)]


def test_means_at_the_same_time_are_compared_though_reports_come_at_other_times():
    scheduler = rule()
    for time in (1.0, 2.0, 3.0):
        report(scheduler, 0, time, 10 * time)
    assert report(scheduler, 1, 0.5, 1) == []  # nobody has left a mean so early
    assert report(scheduler, 1, 1.5, 11) == []  # the mean at time 1 was 10
    assert report(scheduler, 1, 2.5, 11) == [Stop(1)]  # at time 2 it was 15


def test_its_own_mean_is_not_among_those_it_is_judged_by():
    scheduler = rule()
    report(scheduler, 0, 1.0, 10)
    report(scheduler, 0, 2.0, 10)
    report(scheduler, 1, 0.5, 9)
    assert report(scheduler, 1, 1.5, 9) == [Stop(1)]


def naive(history, trial, time, grace):
    """Ray Tune's: the median over all running means computed over again."""
    means = []
    for other, results in history.items():
        if other == trial or results[-1][0] < time:
            continue
        values = [value for at, value in results if grace <= at <= time]
        if values:
            means.append(sum(values) / len(values))
    best = max(value for _, value in history[trial])
    return len(means) >= 3 and best < statistics.median(means)


def test_decisions_are_those_of_computing_everything_over_again():
    rng, scheduler = random.Random(0), rule(grace_period=3, min_samples_required=3)
    history, live, stopped = {}, list(range(40)), 0
    while live:
        trial = rng.choice(live)
        results = history.setdefault(trial, [])
        time, value = len(results) + 1, trial + rng.random() * 20
        results.append((time, value))
        expected = time >= 3 and naive(history, trial, time, 3)
        assert report(scheduler, trial, time, value) == ([Stop(trial)] if expected else [])
        stopped += expected
        if expected or time == 12:
            live.remove(trial)
    assert 10 < stopped < 35


@pytest.mark.parametrize("bad", [math.nan, None])
def test_no_number_is_worse_than_any_number_and_counts_towards_no_mean(bad):
    scheduler = rule()
    assert report(scheduler, 0, 1, bad) == []
    assert report(scheduler, 1, 1, -1e9) == []
    assert report(scheduler, 2, 1, bad) == [Stop(2)]
    assert report(scheduler, 0, 2, 5) == []
    assert report(scheduler, 1, 2, -1e9) == [Stop(1)]


def test_infinities_do_not_spoil_the_means():
    scheduler = rule()
    report(scheduler, 0, 1, math.inf)
    report(scheduler, 1, 1, 3)
    assert report(scheduler, 2, 1, 4) == []
    assert report(scheduler, 3, 1, 1) == [Stop(3)]
    assert report(scheduler, 4, 1, -math.inf) == [Stop(4)]


def test_soft_stops_pause_and_go_on_unjudged_when_nothing_else_is_left():
    scheduler = finished(rule(hard_stop=False), trials=1)
    assert report(scheduler, 2, 1, 10) == [Pause(2)]
    assert report(scheduler, 3, 1, 10) == [Pause(3)]
    assert scheduler.on_idle() == [Resume(2), Resume(3)]
    assert report(scheduler, 2, 2, 10) == []
    assert scheduler.on_idle() == []


def work(trials):
    """Bytecodes carried out for one result after so many trials with 20 results each."""
    scheduler = rule(min_samples_required=3)
    for trial in range(trials):
        for time in range(1, 21):
            report(scheduler, trial, time, 1000 - abs(trial - time))
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    previous = sys.gettrace()
    gc.disable()  # what is collected may have finalizers
    sys.settrace(trace)
    try:
        for time in range(1, 21):
            report(scheduler, trials, time, 5000)
    finally:
        sys.settrace(previous)
        gc.enable()
    return steps


def test_the_work_per_result_does_not_grow_with_the_number_of_trials():
    # The least of three: now and then the interpreter carries out somebody's callback between.
    few, many = (min(work(trials) for _ in range(3)) for trials in (8, 256))
    assert few > 1000
    assert many == few


def test_the_median_without_one_of_the_numbers():
    numbers = [1.0, 2.0, 2.0, 5.0, 9.0]
    for own in numbers:
        others = list(numbers)
        others.remove(own)
        assert median_without(numbers, own) == statistics.median(others)
        assert median_without(others, None) == statistics.median(others)
    assert median_without([], None) is None
    assert median_without([1.0], 1.0) is None


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"grace_period": -1}, "scheduler.grace_period"),
        ({"grace_period": math.nan}, "scheduler.grace_period"),
        ({"min_samples_required": 0}, "scheduler.min_samples_required"),
        ({"hard_stop": "no"}, "scheduler.hard_stop"),
    ],
)
def test_impossible_options_are_refused_under_their_path(options, path):
    with pytest.raises(InvalidSpec) as error:
        MedianStoppingRule(**options)
    assert [problem.path for problem in error.value.problems] == [path]
