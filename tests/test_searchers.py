"""The contract of every registered searcher."""

import json
import math
import random

import numpy as np
import pytest

import tunerl.space as sp
from tunerl import searchers
from tunerl.errors import InvalidSpace, InvalidSpec
from tunerl.searchers import WAIT, Observation
from tunerl.space import Space
from tunerl.trial import Reason, Status

CASES = [
    {"type": "random"},
    {"type": "random", "random_state": 4, "constant_grid_search": True},
    {"type": "limiter", "searcher": {"type": "random"}, "max_concurrent": 4},
    {"type": "limiter", "searcher": {"type": "optuna"}, "max_concurrent": 3, "batch": True},
    {"type": "bohb"},
    {"type": "bohb", "min_points_in_model": 4, "random_fraction": 0, "seed": 3},
    {"type": "dehb", "max_t": 3},
    {"type": "dehb", "max_t": 4, "reduction_factor": 2, "mutation_factor": 0.8},
    {"type": "optuna"},
    {"type": "optuna", "sampler": {"name": "tpe", "n_startup_trials": 3, "multivariate": False}},
    {"type": "optuna", "sampler": "random", "seed": 9},
    {"type": "optuna", "sampler": {"name": "cmaes", "popsize": 4}},
    {"type": "optuna", "sampler": "qmc"},
    {"type": "optuna", "sampler": {"name": "nsgaii", "population_size": 4}},
    {"type": "optuna", "points_to_evaluate": [{"x": 0.5}, {"net": {"kind": "mlp"}, "n": 16}]},
    {"type": "quasirandom"},
    {"type": "quasirandom", "sequence": "halton", "points_to_evaluate": [{"x": 0.5}]},
    {"type": "repeater", "searcher": {"type": "random"}, "repeat": 1, "set_index": False},
]
ELSEWHERE = {"points"}  # what has no search space, in test_more_searchers.py
case = pytest.mark.parametrize("options", CASES, ids=str)
SPACE = {
    "x": sp.uniform(0, 1),
    "lr": sp.loguniform(1e-4, 1),
    "n": sp.qrandint(8, 64, 8),
    "deep": {"z": sp.randn(0, 1), "q": sp.qloguniform(1, 64, 1), "list": [sp.lograndint(1, 99)]},
    "net": sp.choice([{"kind": "mlp", "width": sp.randint(1, 9)}, {"kind": "none"}]),
    "flag": sp.choice([True, False, None, "text"]),
    "momentum": sp.when("net/kind", "mlp", sp.uniform(0.5, 0.9)),
    "double": sp.sample_from(lambda config: config["n"] * 2),
    "k": 3,
}


def test_every_registered_searcher_has_a_case():
    assert {options["type"] for options in CASES} | ELSEWHERE == set(searchers.names())


def make(options, tree=SPACE, num_samples=40, seed=7, mode="min"):
    searcher = searchers.create(options)
    searcher.setup(Space(tree), "m", mode, num_samples, seed)
    return searcher


def loss(config):
    return (config["x"] - 0.3) ** 2 + (math.log10(config["lr"]) + 2) ** 2


def sweep(searcher, count, check=lambda number, history, config: None, concurrent=4, value=loss):
    """Run `count` trials that end in random order, some stopped early, some failed, some NaN."""
    rng, history, live = random.Random(0), [], []
    while len(history) < count:
        while len(live) >= concurrent:
            end(live.pop(rng.randrange(len(live))), rng, value)
        config = searcher.suggest(len(history), history)
        if config is WAIT:
            end(live.pop(), rng, value)
            continue
        check(len(history), history, config)
        if config is None:
            break
        history.append(Observation(len(history), config, Status.RUNNING, version=1))
        live.append(history[-1])
        if rng.random() < 0.3:
            history[-1].values.append((1, 3.0))
            history[-1].version += 1
    return history


def end(trial, rng, value):
    kind, last = rng.random(), value(trial.config)
    trial.values += [(1, last * 2), (2, math.nan if 0.1 < kind < 0.2 else last)]
    trial.status = Status.ERROR if kind < 0.1 else Status.TERMINATED
    trial.reason = Reason.SCHEDULER if kind > 0.8 else Reason.STOP_RULE
    trial.version += 1


@case
def test_json_round_trip_makes_an_equal_one(options):
    written = searchers.create(options).to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert searchers.create(written).to_json() == written


@case
def test_suggestions_are_of_the_space_and_plain_json(options):
    space = Space(SPACE)

    def check(number, history, config):
        assert json.loads(json.dumps(config)) == config
        space.read(config)

    history = sweep(make(options), 25, check)
    assert len(history) == 25
    again = options["type"] == "dehb"  # which gives the best of its first bracket more time
    assert len({json.dumps(trial.config) for trial in history}) == 25 or again


@case
def test_rebuilt_on_the_same_history_it_suggests_the_same(options):
    def check(number, history, config):
        if number % 4 == 3:
            random.seed(number)
            np.random.seed(number)
            assert make(options).suggest(number, list(history)) == config

    sweep(make(options), 32, check)


@case
def test_asking_twice_gives_the_same_answer(options):
    searcher, history = make(options), []
    for number in range(3):
        config = searcher.suggest(number, history)
        assert searcher.suggest(number, history) == config
        history.append(Observation(number, config, Status.RUNNING))


@case
def test_another_seed_suggests_another_configuration(options):
    seedless = {key: value for key, value in options.items() if key not in ("seed", "random_state")}
    history = started(5, seedless)
    if seedless["type"] == "dehb":
        history = []  # with one, the best of it would be next
    number = len(history)
    one, two = (make(seedless, seed=seed).suggest(number, history) for seed in (1, 2))
    same_sequence = seedless.get("sampler") == "qmc"  # unless it is scrambled
    assert (one["x"] == two["x"]) == same_sequence


def started(count, options):
    """A history of `count` trials, all of them finished."""
    history = sweep(make(options, seed=0), count, concurrent=1)
    for trial in history:
        trial.status, trial.reason, trial.values = Status.TERMINATED, Reason.DONE, [(1, 1.0)]
    return history


@case
def test_there_are_num_samples_trials_and_then_no_more(options):
    searcher = make(options, num_samples=5)
    assert searcher.total == 5
    assert len(sweep(searcher, 9)) == 5
    assert make(options, num_samples=-1).total is None


@case
def test_nothing_to_search_is_one_trial_and_no_more(options):
    options = {key: value for key, value in options.items() if key != "points_to_evaluate"}
    assert make(options, {"k": 3}, num_samples=1).suggest(0, []) == {"k": 3}
    with pytest.raises(InvalidSpace, match="nothing to search"):
        make(options, {"k": 3}, num_samples=2)


def test_unknown_names_and_options_name_the_nearest():
    with pytest.raises(InvalidSpec, match=r"searcher.type: .*did you mean 'optuna'"):
        searchers.create({"type": "optna"})
    with pytest.raises(InvalidSpec, match=r"searcher.sead: .*did you mean 'seed'"):
        searchers.create({"type": "optuna", "sead": 3})
    with pytest.raises(InvalidSpec, match=r"searcher.max_concurrent: limiter needs this option"):
        searchers.create({"type": "limiter", "searcher": {"type": "random"}})


def test_the_python_names_are_ray_tunes():
    from tunerl.searchers import BasicVariantGenerator, ConcurrencyLimiter, OptunaSearch

    limited = ConcurrencyLimiter(OptunaSearch(), max_concurrent=2)
    assert limited.max_concurrent == 2
    assert searchers.create({"type": "OptunaSearch"}).to_json() == OptunaSearch().to_json()
    assert searchers.create({"type": "variant_generator"}).name == BasicVariantGenerator.name


def random_search(tree, num_samples, **options):
    searcher = make({"type": "random", **options}, tree, num_samples)
    return [searcher.suggest(number, []) for number in range(searcher.total)]


GRID = {"a": sp.grid_search([1, 2]), "b": sp.uniform(0, 1)}


def test_the_whole_grid_is_repeated_num_samples_times_with_fresh_random_parts():
    found = random_search(GRID, 3)
    assert [config["a"] for config in found] == [1, 2] * 3
    assert len({config["b"] for config in found}) == 6


def test_constant_grid_search_draws_once_for_each_round():
    found = [config["b"] for config in random_search(GRID, 3, constant_grid_search=True)]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found)) == 3


def test_points_replace_samples_as_in_ray_tunes_example():
    tree = {"a": sp.grid_search([1, 2]), "b": sp.randint(0, 30)}
    points = [{"a": 2, "b": 2}, {"a": 1}, {"b": 2}]
    found = random_search(tree, 4, points_to_evaluate=points)
    assert len(found) == 6
    assert found[0] == {"a": 2, "b": 2}
    assert found[1]["a"] == 1
    assert found[2:4] == [{"a": 1, "b": 2}, {"a": 2, "b": 2}]
    assert [config["a"] for config in found[4:]] == [1, 2]


def test_a_random_trial_depends_on_its_number_alone():
    searcher = make({"type": "random"})
    late = searcher.suggest(30, [])
    assert [searcher.suggest(number, []) for number in range(31)][30] == late


def test_random_state_may_be_a_generator_and_overrides_the_seed():
    options = {"type": "random", "random_state": 3}
    assert make(options, seed=1).suggest(0, []) == make(options, seed=2).suggest(0, [])
    by_generator = searchers.BasicVariantGenerator(random_state=np.random.default_rng(1)).to_json()
    assert isinstance(by_generator["random_state"], int)
    with pytest.raises(InvalidSpec, match="whole number"):
        searchers.create({"type": "random", "random_state": "x"})


@pytest.mark.parametrize("kind", ["random", "optuna"])
def test_points_outside_the_space_are_refused_with_their_path(kind):
    options = {"type": kind, "points_to_evaluate": [{"x": 0.5}, {"x": 2, "lrr": 1}]}
    with pytest.raises(InvalidSpace) as error:
        make(options)
    found = {problem.path: problem.message for problem in error.value.problems}
    assert set(found) == {"points_to_evaluate[1].x", "points_to_evaluate[1].lrr"}


def test_a_batch_waits_until_all_of_it_has_ended():
    options = {
        "type": "limiter", "searcher": {"type": "random"}, "max_concurrent": 2, "batch": True,
    }  # fmt: skip
    searcher = make(options)
    history = [Observation(number, {}, Status.RUNNING) for number in range(2)]
    assert searcher.suggest(2, history) is WAIT
    history[0].status = Status.TERMINATED
    assert searcher.suggest(2, history) is WAIT
    history[1].status = Status.ERROR
    assert isinstance(searcher.suggest(2, history), dict)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "4"])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(InvalidSpec, match="max_concurrent"):
        searchers.create({"type": "random", "max_concurrent": limit})
    with pytest.raises(InvalidSpec, match="max_concurrent"):
        searchers.create(
            {"type": "limiter", "searcher": {"type": "random"}, "max_concurrent": limit}
        )
