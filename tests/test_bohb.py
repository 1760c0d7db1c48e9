"""BOHB's densities and choices, DEHB's plan and evolution; both together with their schedulers."""

import math

import numpy as np
import pytest

import tunerl.space as sp
from tunerl import schedulers, searchers
from tunerl.errors import InvalidSpace, InvalidSpec
from tunerl.schedulers.brackets import Plan
from tunerl.searchers import WAIT, Observation
from tunerl.searchers.bohb import Density, fill_in
from tunerl.searchers.cube import Cube
from tunerl.space import Space
from tunerl.trial import Reason, Status

MIXED = {
    "x": sp.uniform(0, 1),
    "n": sp.lograndint(1, 100),
    "kind": sp.choice(["a", {"deep": sp.randint(0, 4)}, "c"]),
    "k": 3,
}


def make(options, tree, num_samples=100, seed=0, mode="min"):
    searcher = searchers.create(options)
    searcher.setup(Space(tree), "m", mode, num_samples, seed)
    return searcher


def finished(number, config, values, status=Status.TERMINATED):
    return Observation(number, config, status, Reason.STOP_RULE, values, version=len(values))


def run(searcher, count, value, times=(1,)):
    history = []
    for number in range(count):
        config = searcher.suggest(number, history)
        history.append(finished(number, config, [(t, value(config)) for t in times]))
    return history


def test_a_point_of_the_cube_is_the_configuration_again():
    space, rng = Space(MIXED), np.random.default_rng(0)
    cube = Cube(space, "a test")
    for _ in range(50):
        config = space.sample(rng)
        point = cube.read(config)
        assert cube.draw(np.nan_to_num(point), rng) == config
        assert np.isnan(point).any() == (config["kind"] in ("a", "c"))


def test_a_density_of_numbers_integrates_to_one_and_is_scotts():
    points = np.random.default_rng(0).normal(0.5, 0.1, (40, 1))
    density = Density(points, np.array([0]), 1e-3)
    assert density.bandwidth[0] == pytest.approx(1.06 * points.std() * 40**-0.2)
    grid = np.linspace(-1, 2, 3001)[:, None]
    assert np.exp(density.log(grid)).sum() * 0.001 == pytest.approx(1, abs=1e-6)


def test_a_density_of_options_sums_to_one():
    points = (np.array([[0], [0], [0], [1]]) + 0.5) / 3
    density = Density(points, np.array([3]), 1e-3)
    weights = np.exp(density.log((np.arange(3)[:, None] + 0.5) / 3))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2] > 0


def test_draws_stay_in_the_cube_near_the_points():
    points = np.array([[0.01, 0.5 / 4], [0.02, 0.5 / 4]])
    density = Density(points, np.array([0, 4]), 1e-2)
    drawn = density.sample(np.random.default_rng(0), 400, 3)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert drawn[:, 0].max() < 0.2
    assert (drawn[:, 1] == 0.5 / 4).mean() > 0.9


def test_what_a_configuration_lacks_is_filled_in_from_those_that_have_it():
    points = np.array([[0.1, np.nan], [0.2, 0.7], [0.3, np.nan]])
    filled = fill_in(points, np.random.default_rng(0))
    assert filled[:, 1].tolist() == [0.7] * 3
    assert np.isnan(points[0, 1]), "the data itself stays"
    empty = fill_in(np.full((2, 1), np.nan), np.random.default_rng(0))
    assert ((empty >= 0) & (empty <= 1)).all()


def test_bohb_goes_where_the_good_ones_are_also_in_mixed_spaces():
    def loss(config):
        return (config["x"] - 0.2) ** 2 + (0 if isinstance(config["kind"], dict) else 1)

    history = run(make({"type": "bohb", "random_fraction": 0}, MIXED), 80, loss)
    late = [trial.config for trial in history[50:]]
    assert sum(isinstance(config["kind"], dict) for config in late) > 25
    assert np.median([abs(config["x"] - 0.2) for config in late]) < 0.1


def test_bohb_learns_from_the_largest_budget_with_enough_trials():
    searcher = make({"type": "bohb", "min_points_in_model": 3}, {"x": sp.uniform(0, 1)})
    history = [
        finished(n, {"x": n / 20}, [(1, float(n)), (3, float(-n))][: 2 if n < 6 else 1])
        for n in range(12)
    ]
    points, losses = searcher._data(12, history)
    assert points[:, 0].tolist() == [n / 20 for n in range(6)]
    assert losses.tolist() == [float(-n) for n in range(6)]
    _, losses = searcher._data(11, [*history[7:], *history[:6]])
    assert len(losses) == 6
    for trial in history[:2]:
        trial.values, trial.version = trial.values[:1], 9
    _, losses = searcher._data(12, history)
    assert losses.tolist() == [float(n) for n in range(12)]


def test_failed_trials_and_nan_are_the_worst_for_bohb():
    searcher = make({"type": "bohb"}, {"x": sp.uniform(0, 1)}, mode="max")
    history = [finished(n, {"x": n / 9}, [(1, float(n))]) for n in range(6)]
    history += [
        finished(6, {"x": 0.1}, [], Status.ERROR),
        finished(7, {"x": 0.2}, [(1, math.nan)]),
        finished(8, {"x": 7}, [(1, 100.0)]),  # of another space
    ]
    _, losses = searcher._data(9, history)
    assert losses.tolist() == [-0.0, -1, -2, -3, -4, -5, math.inf, math.inf]


def test_bohb_suggests_at_random_until_there_is_enough():
    searcher = make({"type": "bohb", "random_fraction": 0}, MIXED)
    assert searcher._data(3, [finished(n, {}, [(1, 0.0)]) for n in range(3)]) is None


def test_the_plan_of_dehb_is_hyperbands():
    plan = Plan(9, 1, 3)
    assert plan.rounds == [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    assert plan.populations == [9, 5, 3]
    times = [plan.time(number) for number in range(22)]
    assert times == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] + [9] * 3
    assert [plan.place(number).slot for number in (9, 12, 13, 14, 15)] == [0, 0, 3, 4, 0]
    assert plan.place(22).round == 1
    assert plan.time(22 + 9) == 3


def test_dehb_first_bracket_gives_the_best_more_time_once_all_have_ended():
    searcher = make({"type": "dehb", "max_t": 9}, {"x": sp.uniform(0, 1)})
    history = []
    for number in range(9):
        history.append(Observation(number, searcher.suggest(number, history), Status.RUNNING))
    assert searcher.suggest(9, history) is WAIT
    order = [4, 8, 0, 1, 2, 3, 5, 6, 7]
    for rank, number in enumerate(order):
        history[number].values, history[number].status = [(1, float(rank))], Status.TERMINATED
    for place in range(3):
        config = searcher.suggest(9 + place, history)
        assert config == history[order[place]].config
        history.append(finished(9 + place, config, [(3, -float(place))]))
    assert searcher.suggest(12, history) == history[0].config


def test_dehb_finds_the_minimum_better_than_random():
    def loss(config):
        return (config["x"] - 0.3) ** 2 + (config["y"] - 0.8) ** 2 + (config["c"] != "b")

    tree = {"x": sp.uniform(0, 1), "y": sp.uniform(0, 1), "c": sp.choice(["a", "b"])}
    best = {"dehb": [], "random": []}
    for seed in range(5):
        for kind, values in best.items():
            options = {"type": kind, **({"max_t": 9} if kind == "dehb" else {})}
            values.append(
                min(t.values[-1][1] for t in run(make(options, tree, 150, seed), 150, loss))
            )
    assert np.median(best["dehb"]) < np.median(best["random"]) / 3


def test_the_slot_of_a_population_keeps_the_best_whatever_the_order():
    searcher = make({"type": "dehb", "max_t": 1}, {"x": sp.uniform(0, 1)})
    history = [finished(n, {"x": n / 10}, [(1, value)]) for n, value in enumerate((3.0, 1.0, 2.0))]
    assert searcher._populations(history) == [{0: (1.0, 1)}]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"type": "bohb", "top_n_percent": 101}, "searcher.top_n_percent"),
        ({"type": "bohb", "num_samples": 0}, "searcher.num_samples"),
        ({"type": "bohb", "random_fraction": "x"}, "searcher.random_fraction"),
        ({"type": "bohb", "min_points_in_model": 1.5}, "searcher.min_points_in_model"),
        ({"type": "dehb", "max_t": 0}, "searcher.max_t"),
        ({"type": "dehb", "crossover_prob": 0}, "searcher.crossover_prob"),
    ],
)
def test_impossible_options_are_refused_under_their_path(options, path):
    with pytest.raises(InvalidSpec) as error:
        searchers.create(options)
    assert [problem.path for problem in error.value.problems] == [path]


@pytest.mark.parametrize("kind", ["bohb", "dehb"])
def test_grids_and_a_missing_metric_are_refused(kind):
    with pytest.raises(InvalidSpace, match="use choice"):
        make({"type": kind}, {"x": sp.grid_search([1, 2])})
    with pytest.raises(InvalidSpec, match="metric"):
        searchers.create({"type": kind}).setup(Space(MIXED), None, None, 5, 0)


def test_dehbs_scheduler_stops_each_trial_at_its_own_time():
    scheduler = schedulers.create({"type": "dehb", "max_t": 9})
    scheduler.setup("m", "min", 0)
    stop = schedulers.Stop
    assert scheduler.on_result(0, {"training_iteration": 1, "m": 0}) == [stop(0, complete=True)]
    assert scheduler.on_result(0, {"training_iteration": 2, "m": 0}) == []
    assert scheduler.on_result(9, {"training_iteration": 2, "m": 0}) == []
    assert scheduler.on_result(9, {"training_iteration": 3, "m": 0}) == [stop(9, complete=True)]
