"""HyperBand: the published tables, halving, brackets that never fill, members that die."""

import math

import pytest

from tunerl.errors import InvalidSpec
from tunerl.schedulers import HyperBandScheduler, Pause, Resume, Stop
from tunerl.schedulers.brackets import survivors


def hyperband(mode="max", seed=0, trials=0, **options):
    scheduler = HyperBandScheduler(metric="m", mode=mode, **options)
    scheduler.setup(None, None, seed)
    for trial in range(trials):
        assert scheduler.on_add(trial, {}) == []
    return scheduler


def report(scheduler, trial, time, value=0.0):
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


def starts(**options):
    return [bracket[0] for bracket in hyperband(**options).table]


def test_the_brackets_of_81_and_27_are_rays_and_the_papers():
    assert starts(max_t=81) == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]
    assert sum(count for count, _ in starts(max_t=81)) == 143
    assert starts(max_t=27) == [(27, 1), (12, 3), (6, 9), (4, 27)]
    assert sum(count for count, _ in starts(max_t=27)) == 49


def test_halving_rounds_survivors_up_as_ray_does_unless_told_otherwise():
    ray = [[count for count, _ in bracket] for bracket in hyperband(max_t=81).table]
    assert ray == [[81, 27, 9, 3, 1], [34, 12, 4, 2], [15, 5, 2], [8, 3], [5]]
    paper = [[n for n, _ in bracket] for bracket in hyperband(max_t=81, rounding="paper").table]
    assert paper == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]


def test_the_table_of_the_papers_first_version():
    options = {"max_t": 81, "rounding": "table"}
    assert starts(**options) == [(81, 1), (27, 3), (9, 9), (6, 27), (5, 81)]
    assert hyperband(**options).table[1] == [(27, 3), (9, 9), (3, 27), (1, 81)]
    assert hyperband(**options).table[3] == [(6, 27), (2, 81)]


def test_the_table_of_mlr3hyperband():
    assert hyperband(max_t=8, reduction_factor=2, rounding="paper").table == [
        [(8, 1), (4, 2), (2, 4), (1, 8)],
        [(6, 2), (3, 4), (1, 8)],
        [(4, 4), (2, 8)],
        [(4, 8)],
    ]


def test_ray_itself_makes_the_same_brackets():
    from ray.tune.schedulers.hyperband import HyperBandScheduler as Rays

    for max_t in (27, 81):
        theirs = Rays(metric="m", mode="max", max_t=max_t)
        sizes = [(theirs._get_n0(s), theirs._get_r0(s)) for s in range(theirs._s_max_1)]
        assert sorted(sizes) == sorted(starts(max_t=max_t))


def test_times_scale_with_grace_period_and_need_not_be_whole():
    table = hyperband(max_t=1e6, grace_period=1e5).table
    assert [bracket[0][0] for bracket in table] == [9, 5, 3]
    assert [time for _, time in table[0]] == pytest.approx([1e6 / 9, 1e6 / 3, 1e6])


def test_members_wait_for_the_last_and_the_best_go_on():
    scheduler = hyperband(max_t=9, trials=9)
    for trial in range(8):
        assert report(scheduler, trial, 1, trial) == [Pause(trial)]
    assert report(scheduler, 8, 1, 6.5) == [
        *(Stop(trial) for trial in (5, 4, 3, 2, 1, 0)),
        Resume(7),
        Resume(6),
    ]
    assert report(scheduler, 8, 2, 6.5) == []
    for trial in (7, 8):
        assert report(scheduler, trial, 3, trial) == [Pause(trial)]
    assert report(scheduler, 6, 3, 99) == [Stop(8), Stop(7)]
    assert report(scheduler, 6, 9, 99) == [Stop(6, complete=True)]
    assert scheduler.on_idle() == []


def test_what_is_decided_does_not_depend_on_the_order_of_arrival():
    outcomes = []
    for order in (range(9), reversed(range(9)), (4, 7, 1, 0, 8, 2, 6, 3, 5)):
        scheduler = hyperband(max_t=9, trials=9)
        said = [d for trial in order for d in report(scheduler, trial, 1, trial % 5)]
        outcomes.append({d.trial for d in said if isinstance(d, Stop)})
    assert outcomes[0] == outcomes[1] == outcomes[2] == {0, 1, 2, 5, 6, 7}


def test_a_member_that_dies_takes_no_place_and_holds_nobody_up():
    scheduler = hyperband(max_t=9, trials=9)
    for trial in range(8):
        report(scheduler, trial, 1, trial)
    decisions = scheduler.on_error(8)
    assert [d.trial for d in decisions if isinstance(d, Resume)] == [7, 6, 5]
    report(scheduler, 7, 3, 0)
    report(scheduler, 6, 3, 1)
    assert scheduler.on_complete(5, {"training_iteration": 2, "m": 100.0}) == [Stop(7), Resume(6)]


def test_when_all_members_die_nothing_is_decided():
    scheduler = hyperband(max_t=9, trials=9)
    assert [d for trial in range(9) for d in scheduler.on_error(trial)] == []
    assert scheduler.on_idle() == []


def test_a_bracket_that_is_never_filled_is_judged_with_what_it_has():
    scheduler = hyperband(max_t=27, trials=10)
    for trial in range(10):
        assert report(scheduler, trial, 1, trial) == [Pause(trial)]
    decisions = scheduler.on_idle()
    assert sorted(d.trial for d in decisions if isinstance(d, Resume)) == [6, 7, 8, 9]
    assert sorted(d.trial for d in decisions if isinstance(d, Stop)) == list(range(6))
    scheduler.on_add(10, {})
    assert report(scheduler, 10, 2, 0) == [], "who comes later is of the next bracket"
    assert report(scheduler, 10, 3, 0) == [Pause(10)]


def test_survivors_of_a_short_bracket_are_at_least_one():
    assert survivors(2, 4, 3, "ray") == [2, 1, 1, 1]
    assert survivors(2, 4, 3, "paper") == [2, 1, 1, 1]
    assert survivors(10, 3, 3, "ray") == [10, 4, 2]


@pytest.mark.parametrize("bad", [math.nan, None, -math.inf])
def test_no_number_loses_against_any_number(bad):
    scheduler = hyperband(max_t=3, trials=3)
    report(scheduler, 0, 1, bad)
    report(scheduler, 1, 1, -1e9)
    assert report(scheduler, 2, 1, bad) == [Stop(0), Stop(2), Resume(1)]


def test_infinity_never_wins_on_either_side():
    scheduler = hyperband(mode="min", max_t=3, trials=3)
    report(scheduler, 0, 1, -math.inf)
    report(scheduler, 1, 1, math.inf)
    assert report(scheduler, 2, 1, 1e9) == [Stop(0), Stop(1)]


def test_a_jump_over_rungs_stands_where_it_jumped_to():
    scheduler = hyperband(max_t=9, trials=9)
    assert report(scheduler, 0, 4, 99) == [Pause(0)]
    for trial in range(1, 8):
        report(scheduler, trial, 1, trial)
    decisions = report(scheduler, 8, 1, 8)
    assert Resume(7) in decisions
    assert Resume(0) not in decisions
    report(scheduler, 7, 3, 1)
    assert Resume(0) in report(scheduler, 8, 3, 2)


def test_the_next_round_begins_with_the_first_bracket_again():
    scheduler = hyperband(max_t=3, trials=8)
    assert [bracket.sizes for bracket in scheduler._brackets] == [[3, 1], [2], [3, 1]]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_t": 0}, "scheduler.max_t"),
        ({"max_t": "81"}, "scheduler.max_t"),
        ({"reduction_factor": 1}, "scheduler.reduction_factor"),
        ({"grace_period": 82}, "scheduler.grace_period"),
        ({"max_t": 1e9}, "scheduler.grace_period"),
        ({"rounding": "tabel"}, "scheduler.rounding"),
        ({"stop_last_trials": 1}, "scheduler.stop_last_trials"),
        ({"time_attr": 3}, "scheduler.time_attr"),
        ({"mode": "most"}, "scheduler.mode"),
    ],
)
def test_impossible_options_are_refused_under_their_path(options, path):
    with pytest.raises(InvalidSpec) as error:
        HyperBandScheduler(**options)
    assert [problem.path for problem in error.value.problems] == [path]
