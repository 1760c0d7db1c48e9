"""ASHA: Ray Tune's published rungs and decisions, values that are no numbers, promotion."""

import math
from collections import Counter

import pytest

from tunerl.errors import InvalidSpec, MetricError
from tunerl.schedulers import ASHAScheduler, Pause, Resume, Stop
from tunerl.schedulers.rungs import cutoff


def asha(mode="max", seed=0, **options):
    scheduler = ASHAScheduler(metric="m", mode=mode, **options)
    scheduler.setup(None, None, seed)
    return scheduler


def report(scheduler, trial, time, value):
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


@pytest.mark.parametrize(
    ("options", "rungs"),
    [
        ({"max_t": 81, "reduction_factor": 3}, [[1, 3, 9, 27, 81]]),
        ({"max_t": 100, "reduction_factor": 4}, [[1, 4, 16, 64]]),
        ({"max_t": 100, "reduction_factor": 3, "grace_period": 10}, [[10, 30, 90]]),
        (
            {"max_t": 1000, "reduction_factor": 4, "brackets": 3},
            [[1, 4, 16, 64, 256], [4, 16, 64, 256], [16, 64, 256]],
        ),
        ({"max_t": 1000, "reduction_factor": 10}, [[1, 10, 100, 1000]]),
        ({"max_t": 100_000, "grace_period": 12_500, "reduction_factor": 2},
         [[12_500, 25_000, 50_000, 100_000]]),
        ({"max_t": 10, "brackets": 4}, [[1, 4], [4], [], []]),
    ],
)  # fmt: skip
def test_rungs_are_the_published_ones(options, rungs):
    assert [[rung.milestone for rung in bracket] for bracket in asha(**options).rungs] == rungs


def basic(scheduler):
    """Ray Tune's own set-up: one trial that rises, one that stays; both go on."""
    for time in range(10):
        assert report(scheduler, 0, time, time * 100) == []
    for time in range(5):
        assert report(scheduler, 1, time, 450) == []


def finish(scheduler, trial, value):
    return scheduler.on_complete(trial, {"training_iteration": 10, "m": value})


def test_ray_vector_on_complete():
    scheduler = asha(max_t=10)
    basic(scheduler)
    assert finish(scheduler, 2, 1000) == []
    assert report(scheduler, 1, 101, 0) == [Stop(1, complete=True)]


def test_ray_vector_grace_period():
    scheduler = asha(grace_period=2.5, reduction_factor=3)
    basic(scheduler)
    finish(scheduler, 0, 1000)
    finish(scheduler, 1, 1000)
    assert report(scheduler, 2, 1, 10) == []
    assert report(scheduler, 2, 2, 10) == []
    assert report(scheduler, 2, 3, 10) == [Stop(2)]


def test_ray_vector_all_complete():
    scheduler = asha(max_t=10, brackets=10)
    for trial in range(10):
        assert report(scheduler, trial, 10, -2) == [Stop(trial, complete=True)]


def test_ray_vector_uses_the_percentile():
    scheduler = asha(max_t=10, reduction_factor=2)
    basic(scheduler)
    finish(scheduler, 0, 1000)
    finish(scheduler, 1, 1000)
    assert report(scheduler, 2, 1, 260) == [Stop(2)]
    assert report(scheduler, 2, 2, 260) == [Stop(2)]


def test_ray_vector_save_and_restore():
    scheduler = asha(max_t=10, reduction_factor=2)
    for trial in range(5):
        assert report(scheduler, trial, 1, 10) == []
    assert report(scheduler, 5, 1, 5) == [Stop(5)]
    assert report(scheduler, 6, 1, 4) == [Stop(6)]
    assert report(scheduler, 7, 1, 2) == [Stop(7)]


def test_ray_vector_last_trials_go_on():
    scheduler = asha(max_t=3, reduction_factor=2, stop_last_trials=False)
    decisions = [report(scheduler, trial, 2, value) for trial, value in enumerate((10, 8, 6, 4))]
    assert decisions == [[], [Stop(1)], [Stop(2)], [Stop(3)]]
    for time, value in ((4, 10), (8, 10), (14, 1)):
        assert report(scheduler, 0, time, value) == []


def test_the_first_vectors_against_ray_itself():
    from ray.tune.schedulers.async_hyperband import _Bracket

    class Trial:
        def __init__(self, number):
            self.trial_id = str(number)

    theirs, ours = _Bracket(1, 100, 3, 0), asha(reduction_factor=3)
    values = [(trial * 37) % 23 + 0.1 * trial for trial in range(40)]
    for time in (1, 3, 9, 27, 81):
        for trial, value in enumerate(values):
            action = theirs.on_result(Trial(trial), time, value * time)
            assert report(ours, trial, time, value * time) == (
                [Stop(trial)] if action == "STOP" else []
            )


def test_min_mode_keeps_the_low_ones():
    scheduler = asha(mode="min", reduction_factor=2)
    assert report(scheduler, 0, 1, 5) == []
    assert report(scheduler, 1, 1, 6) == [Stop(1)]
    assert report(scheduler, 2, 1, 4) == []


def test_a_trial_is_judged_at_the_highest_rung_it_reached_and_not_below():
    scheduler = asha(max_t=81, reduction_factor=3)
    report(scheduler, 0, 30, 100)
    report(scheduler, 0, 31, 100)
    assert [list(rung.scores) for rung in scheduler.rungs[0]] == [[], [], [], [0], []]


@pytest.mark.parametrize("bad", [math.nan, None, -math.inf, math.inf])
def test_a_value_that_is_no_number_loses_against_any_number(bad):
    scheduler = asha()
    assert report(scheduler, 0, 1, -1e9) == []
    assert report(scheduler, 1, 1, bad) == [Stop(1)]


def test_infinity_is_worst_in_min_mode_too():
    scheduler = asha(mode="min")
    assert report(scheduler, 0, 1, 1e9) == []
    assert report(scheduler, 1, 1, math.inf) == [Stop(1)]
    assert report(scheduler, 2, 1, -math.inf) == [Stop(2)]


def test_a_nan_trial_alone_goes_on_until_a_number_arrives():
    scheduler = asha()
    assert report(scheduler, 0, 1, math.nan) == []
    assert report(scheduler, 1, 1, math.nan) == []
    assert report(scheduler, 2, 1, -5) == [Stop(0), Stop(1)]
    assert report(scheduler, 3, 1, -6) == [Stop(3)]


def test_a_trial_that_was_nan_and_has_recovered_is_left_alone():
    scheduler = asha()
    report(scheduler, 0, 1, math.nan)
    report(scheduler, 0, 2, 7)
    report(scheduler, 1, 1, math.nan)
    scheduler.on_error(1)
    assert report(scheduler, 2, 1, 3) == []


def test_nan_does_not_spoil_the_cutoff():
    assert cutoff([0.0, 1.0, -math.inf, 2.0], 2) == 1.0
    assert cutoff([-math.inf], 4) is None
    assert cutoff([], 4) is None
    assert cutoff([math.inf, math.inf], 4) == math.inf


def test_time_that_is_not_finite_is_an_error():
    with pytest.raises(MetricError, match="finite"):
        report(asha(), 0, math.nan, 1)


def test_brackets_come_from_the_seed_and_the_trial_by_rays_softmax():
    one, two = asha(seed=1, brackets=3), asha(seed=2, brackets=3)
    drawn = [one.bracket(trial) for trial in range(3000)]
    assert drawn == [asha(seed=1, brackets=3).bracket(trial) for trial in range(3000)]
    assert drawn != [two.bracket(trial) for trial in range(3000)]
    sizes = [len(rungs) for rungs in one.rungs]
    weights = [math.exp(size) for size in sizes]
    for index, count in Counter(drawn).items():
        assert count / 3000 == pytest.approx(weights[index] / sum(weights), abs=0.03)


def test_promotion_pauses_everybody_and_resumes_the_best_share():
    scheduler = asha(variant="promotion", max_t=16)
    assert report(scheduler, 0, 1, 3) == [Pause(0)]
    assert report(scheduler, 1, 1, 9) == [Pause(1)]
    assert report(scheduler, 2, 1, 5) == [Pause(2)]
    assert report(scheduler, 3, 1, 1) == [Pause(3), Resume(1)]
    for trial, value in ((4, 2), (5, 2), (6, 2)):
        assert report(scheduler, trial, 1, value) == [Pause(trial)]
    assert report(scheduler, 7, 1, 10) == []
    assert report(scheduler, 8, 1, math.nan) == [Pause(8)]


def test_promotion_never_promotes_what_is_no_number():
    scheduler = asha(variant="promotion")
    for trial in range(8):
        assert report(scheduler, trial, 1, math.nan) == [Pause(trial)]
    assert scheduler.on_idle() == [Stop(trial) for trial in range(8)]
    assert scheduler.on_idle() == []


def test_promotion_at_the_end_trains_one_trial_to_max_t_and_stops_the_rest():
    scheduler = asha(variant="promotion", max_t=20)
    for trial, value in ((0, 1), (1, 3), (2, 2)):
        assert report(scheduler, trial, 1, value) == [Pause(trial)]
    assert scheduler.on_idle() == [Resume(1)]
    assert report(scheduler, 1, 4, 3) == [Pause(1)]
    assert scheduler.on_idle() == [Resume(1)]
    assert report(scheduler, 1, 16, 3) == [Pause(1)]
    assert scheduler.on_idle() == [Resume(1)]
    assert report(scheduler, 1, 20, 3) == [Stop(1, complete=True)]
    assert scheduler.on_idle() == [Stop(0), Stop(2)]
    assert scheduler.on_idle() == []


def test_promotion_resumes_a_waiting_trial_when_another_completes():
    scheduler = asha(variant="promotion", reduction_factor=2)
    assert report(scheduler, 0, 1, 5) == [Pause(0)]
    assert scheduler.on_complete(1, {"training_iteration": 1, "m": 1}) == [Resume(0)]


def test_promotion_does_not_wake_for_a_result_still_in_flight():
    scheduler = asha(variant="promotion")
    assert report(scheduler, 0, 1, 5) == [Pause(0)]
    assert report(scheduler, 0, 2, 6) == []
    assert scheduler.on_idle() == [Resume(0)]


def test_a_failed_trial_is_not_resumed():
    scheduler = asha(variant="promotion", reduction_factor=2)
    report(scheduler, 0, 1, 5)
    scheduler.on_error(0)
    assert report(scheduler, 1, 1, 1) == [Pause(1)]
    assert Resume(0) not in scheduler.on_idle()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_t": 0}, "scheduler.max_t"),
        ({"max_t": "100"}, "scheduler.max_t"),
        ({"grace_period": 0}, "scheduler.grace_period"),
        ({"grace_period": 101}, "scheduler.grace_period"),
        ({"reduction_factor": 1}, "scheduler.reduction_factor"),
        ({"brackets": 0}, "scheduler.brackets"),
        ({"brackets": 1.5}, "scheduler.brackets"),
        ({"variant": "stoping"}, "scheduler.variant"),
        ({"mode": "maximum"}, "scheduler.mode"),
        ({"time_attr": None}, "scheduler.time_attr"),
        ({"stop_last_trials": "no"}, "scheduler.stop_last_trials"),
    ],
)
def test_impossible_options_are_refused_under_their_path(options, path):
    with pytest.raises(InvalidSpec) as error:
        ASHAScheduler(**options)
    assert [problem.path for problem in error.value.problems] == [path]


@pytest.mark.parametrize(("metric", "mode", "path"), [(None, "max", "metric"), ("m", None, "mode")])
def test_a_missing_metric_or_mode_is_refused_at_setup(metric, mode, path):
    with pytest.raises(InvalidSpec) as error:
        ASHAScheduler().setup(metric, mode, 0)
    assert [problem.path for problem in error.value.problems] == [path]
