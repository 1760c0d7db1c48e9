"""Optuna's samplers as a searcher: what it learns, what it is told, spaces of its own."""

import math
import random
import time
from statistics import median

import optuna
import pytest

import tunerl.space as sp
from tests.test_searchers import end, loss, make, sweep
from tunerl import searchers
from tunerl.errors import InvalidSpace, InvalidSpec
from tunerl.searchers import Observation, OptunaSearch
from tunerl.space import Space
from tunerl.trial import Reason, Status

BOWL = {"x": sp.uniform(0, 1), "lr": sp.loguniform(1e-4, 1)}


def set_up(searcher, tree=BOWL, num_samples=40, seed=7, mode="min"):
    searcher.setup(Space(tree), "m", mode, num_samples, seed)
    return searcher


def done(number, config, value, reason=Reason.DONE):
    return Observation(number, config, Status.TERMINATED, reason, [(1, value)], 1)


def trials(searcher, history):
    """The Optuna trials that the searcher's sampler saw."""
    searcher.suggest(len(history), history)
    return searcher._storage.trials


def hartmann6(config):
    """A standard test function of six variables; its lowest value is -3.32237."""
    weights = [1.0, 1.2, 3.0, 3.2]
    slopes = [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
    centres = [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
    return -sum(
        weight
        * math.exp(
            -sum(
                slope * (config[f"x{index}"] - centre * 1e-4) ** 2
                for index, (slope, centre) in enumerate(zip(*row, strict=True))
            )
        )
        for weight, *row in zip(weights, slopes, centres, strict=True)
    )


@pytest.mark.parametrize(
    ("options", "mode", "low", "high"),
    [
        ({"type": "random"}, "min", -2.71, -1.44),
        ({"type": "optuna", "sampler": "random"}, "min", -2.71, -1.44),
        ({"type": "optuna"}, "min", -3.33, -2.95),
        ({"type": "optuna"}, "max", -3.33, -2.95),
        ({"type": "optuna", "sampler": {"name": "cmaes", "popsize": 6}}, "min", -3.33, -2.75),
    ],
    ids=str,
)
def test_it_finds_what_the_sampler_alone_would_find(options, mode, low, high):
    """Optuna alone, 100 trials: TPE -3.27 to -2.97, random search -2.70 to -1.45 over ten seeds."""
    tree = {f"x{index}": sp.uniform(0, 1) for index in range(6)}

    def best(seed):
        searcher = make(options, tree, 100, seed, mode)
        history = []
        for number in range(100):
            config = searcher.suggest(number, history)
            value = hartmann6(config)
            history.append(done(number, config, value if mode == "min" else -value))
        return min(hartmann6(trial.config) for trial in history)

    assert low <= median(best(seed) for seed in range(3)) <= high


def test_two_thousand_suggestions_take_linear_time_in_our_code():
    def seconds(count):
        start = time.process_time()
        searcher = make({"type": "optuna", "sampler": "random"}, BOWL, count)
        assert len(sweep(searcher, count)) == count
        return time.process_time() - start

    short, long = seconds(250), seconds(2000)
    assert long < 20 * short  # linear: 8 times; quadratic: 64 times


@pytest.mark.parametrize(
    ("status", "reason", "values", "state"),
    [
        (Status.TERMINATED, Reason.STOP_RULE, [1.0, 2.0], "COMPLETE"),
        (Status.TERMINATED, Reason.DONE, [1.0, 2.0], "COMPLETE"),
        (Status.TERMINATED, Reason.SCHEDULER, [1.0, 2.0], "PRUNED"),
        (Status.TERMINATED, Reason.BUDGET, [1.0], "PRUNED"),
        (Status.TERMINATED, Reason.DONE, [1.0, math.nan], "FAIL"),
        (Status.TERMINATED, Reason.DONE, [], "FAIL"),
        (Status.ERROR, Reason.FAILURE, [1.0], "FAIL"),
        (Status.CANCELED, Reason.USER, [1.0], "FAIL"),
        (Status.RUNNING, None, [1.0], "RUNNING"),
        (Status.PAUSED, None, [1.0], "RUNNING"),
        (Status.PENDING, None, [], "RUNNING"),
    ],
)
def test_what_optuna_is_told_of_a_trial(status, reason, values, state):
    steps = list(enumerate(values, start=1))
    searcher = set_up(OptunaSearch())
    (told,) = trials(searcher, [Observation(0, {"x": 0.5, "lr": 0.01}, status, reason, steps)])
    assert told.state.name == state
    assert told.params == {"x": 0.5, "lr": 0.01}
    assert told.value == (2.0 if state == "COMPLETE" else None)
    if state == "PRUNED":
        assert told.intermediate_values == dict(steps)


def test_a_configuration_from_elsewhere_teaches_nothing_and_harms_nothing():
    searcher = set_up(OptunaSearch())
    (told,) = trials(searcher, [done(0, {"x": 7.0, "lr": 0.01}, 1.0)])
    assert (told.state.name, told.params) == ("FAIL", {})


def test_branches_of_a_choice_are_parameters_of_their_own():
    tree = {
        "net": sp.choice([{"w": sp.uniform(0, 1)}, {"w": sp.randint(5, 9), "d": 1}]),
        "n": sp.qrandint(8, 32, 8),
        "z": sp.randn(0, 1),
    }
    searcher = set_up(OptunaSearch(), tree)
    (told,) = trials(searcher, [done(0, {"net": {"w": 6, "d": 1}, "n": 16, "z": 0.0}, 1.0)])
    assert told.params == {"net": 1, "net[1]/w": 6, "n": 2, "z": pytest.approx(0.5)}


def test_points_come_first_and_what_they_leave_open_is_suggested():
    points = [{"x": 0.25}, {"lr": 0.5, "x": 0.75}]
    searcher = set_up(OptunaSearch(points_to_evaluate=points))
    first, second = searcher.suggest(0, []), None
    second = searcher.suggest(1, [done(0, first, 1.0)])
    assert first["x"] == 0.25
    assert 1e-4 <= first["lr"] <= 1
    assert second == {"x": 0.75, "lr": 0.5}


def test_evaluated_rewards_count_as_done_and_are_not_run():
    points = [{"x": 0.25, "lr": 0.1}, {"x": 0.5, "lr": 0.2}]
    searcher = set_up(OptunaSearch(points_to_evaluate=points, evaluated_rewards=[3.0, math.nan]))
    told = trials(searcher, [done(0, {"x": 0.9, "lr": 0.3}, 1.0)])
    assert [(trial.state.name, trial.value) for trial in told] == [
        ("COMPLETE", 3.0), ("FAIL", None), ("COMPLETE", 1.0),
    ]  # fmt: skip
    assert searcher.suggest(0, []) not in points
    with pytest.raises(InvalidSpec, match="1 rewards for 2 points"):
        OptunaSearch(points_to_evaluate=points, evaluated_rewards=[1.0])
    with pytest.raises(InvalidSpace, match=r"points_to_evaluate\[0\].lr"):
        set_up(OptunaSearch(points_to_evaluate=[{"x": 0.5}], evaluated_rewards=[1.0]))


def test_define_by_run_with_conditions_and_constants():
    def space(trial):
        if trial.suggest_categorical("net/kind", ["mlp", "cnn"]) == "mlp":
            trial.suggest_int("net/width", 8, 64, step=8)
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        return {"net/bias": True}

    def check(number, history, config):
        assert config["env"] == "CartPole-v1"
        assert config["net"]["bias"] is True
        assert ("width" in config["net"]) == (config["net"]["kind"] == "mlp")
        if number in (5, 20):
            fresh = set_up(OptunaSearch(space), {"env": "CartPole-v1"})
            assert fresh.suggest(number, list(history)) == config

    searcher = set_up(OptunaSearch(space), {"env": "CartPole-v1"})
    history = sweep(searcher, 25, check, value=lambda config: config["lr"])
    told = trials(searcher, history)
    assert {trial.state.name for trial in told} >= {"COMPLETE", "PRUNED"}
    assert all("lr" in trial.params for trial in told)


def test_a_dict_of_optunas_distributions_is_a_space():
    kinds = {"a/b": optuna.distributions.IntDistribution(3, 4)}
    assert set_up(OptunaSearch(kinds), {}).suggest(0, [])["a"]["b"] in (3, 4)


@pytest.mark.parametrize(
    ("point", "message"), [({"a/b": 9}, "a/b: 9 is not in"), ({"a": {"c": 3}}, "a/c: nothing asks")]
)
def test_points_outside_a_space_of_its_own_are_refused(point, message):
    kinds = {"a/b": optuna.distributions.IntDistribution(3, 4)}
    searcher = set_up(OptunaSearch(kinds, points_to_evaluate=[point]), {})
    with pytest.raises(InvalidSpace, match=message):
        searcher.suggest(0, [])


def test_a_space_of_its_own_excludes_domains_in_the_experiment():
    with pytest.raises(InvalidSpace, match="x: OptunaSearch was given a space of its own"):
        set_up(OptunaSearch(lambda trial: None))


def test_a_grid_is_refused_with_advice():
    with pytest.raises(InvalidSpace, match="x: grid_search cannot be combined with Optuna"):
        set_up(OptunaSearch(), {"x": sp.grid_search([1, 2])})


@pytest.mark.parametrize(("metric", "mode"), [(None, "max"), ("m", None), (["a", "b"], "max")])
def test_one_metric_and_a_mode_are_needed(metric, mode):
    with pytest.raises(InvalidSpec, match="one metric and a mode"):
        OptunaSearch().setup(Space(BOWL), metric, mode, 4, 0)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.TPESampler(n_startup_trials=2),
        lambda: optuna.samplers.TPESampler(n_startup_trials=2, seed=3),
        lambda: optuna.samplers.CmaEsSampler(popsize=4, warn_independent_sampling=False),
        lambda: optuna.samplers.PartialFixedSampler({"x": 0.5}, optuna.samplers.RandomSampler()),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_sampler_object_is_a_function_of_seed_number_and_history(sampler):
    def check(number, history, config):
        if number in (6, 14):
            again = set_up(OptunaSearch(sampler=sampler()))
            assert again.suggest(number, list(history)) == config

    searcher = set_up(OptunaSearch(sampler=sampler()))
    sweep(searcher, 16, check)
    assert sp.python_in(searcher.to_json()) == ["sampler"]
    with pytest.raises(InvalidSpec, match="cannot come from JSON"):
        searchers.create(searcher.to_json())


def test_a_samplers_own_seed_counts():
    one, two = (
        set_up(OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=seed))) for seed in (1, 2)
    )
    assert one.suggest(0, []) != two.suggest(0, [])


@pytest.mark.parametrize("name", ["grid", "bruteforce"])
def test_exhaustive_samplers_give_each_configuration_once_and_end(name):
    tree = {"a": sp.choice([1, 2, 3]), "b": sp.quniform(0, 1, 0.5), "c": sp.randint(0, 2)}
    searcher = make({"type": "optuna", "sampler": name}, tree, 100)
    history = sweep(searcher, 100, value=lambda config: 1.0)
    assert len(history) == 18
    assert len({str(trial.config) for trial in history}) == 18
    with pytest.raises(InvalidSpace, match=r"x: .* goes through all values"):
        make({"type": "optuna", "sampler": name}, BOWL)


def test_the_gaussian_process_suggests_and_is_reproducible():
    options = {"type": "optuna", "sampler": {"name": "gp", "n_startup_trials": 3}}
    history = sweep(make(options, BOWL), 5)
    for trial in history:
        if not trial.status.finished:
            end(trial, random.Random(1), loss)
    assert make(options, BOWL).suggest(5, history) == make(options, BOWL).suggest(5, history)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("tpo", "did you mean 'tpe'"),
        ({"name": "tpe", "n_startup": 3}, "did you mean 'n_startup_trials'"),
        ({"name": "nsgaii", "population_size": 1}, "nsgaii: "),
        (7, "neither a name nor an Optuna sampler"),
    ],
)
def test_impossible_samplers_are_refused(sampler, message):
    with pytest.raises(InvalidSpec, match=message):
        set_up(OptunaSearch(sampler=sampler))


@pytest.mark.parametrize(
    ("given", "num_samples", "limit"),
    [(None, 64, 16), (None, 4, 8), (None, -1, 32), (0, 64, None), (5, 64, 5)],
)
def test_the_limit_leaves_results_to_learn_from(given, num_samples, limit):
    searcher = set_up(OptunaSearch(max_concurrent=given), num_samples=num_samples)
    assert searcher.max_concurrent == limit
