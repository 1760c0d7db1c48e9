"""Optuna with several objectives and constraints; the same points as Optuna by itself."""

import math
import warnings

import optuna
import pytest

import tunerl.space as sp
from tests.test_optuna_search import BOWL, done, hartmann6, set_up
from tunerl import searchers, spec
from tunerl.errors import InvalidSpec
from tunerl.results import pareto
from tunerl.searchers import Observation, OptunaSearch
from tunerl.searchers.constraints import parse_constraints
from tunerl.searchers.optuna_samplers import build
from tunerl.searchers.optuna_study import reseed
from tunerl.trial import Reason, Status

BOTH = {"m": "min", "cost": "max"}


def several(sampler="tpe", objectives=BOTH, **options):
    searcher = OptunaSearch(sampler=sampler, **options)
    searcher.pursue(objectives)
    return set_up(searcher, mode=next(iter(objectives.values())))


def finished(number, config, *values, names=("cost",)):
    seen = done(number, config, values[0])
    seen.last = dict(zip(names, values[1:], strict=True))
    return seen


def told(searcher, history):
    searcher.suggest(len(history), history)
    return searcher._storage.trials


@pytest.mark.parametrize(
    ("last", "state", "values"),
    [
        ({"cost": 2.0}, "COMPLETE", [1.0, 2.0]),
        ({"cost": math.nan}, "FAIL", None),
        ({"cost": "much"}, "FAIL", None),
        ({}, "FAIL", None),
    ],
)
def test_a_trial_is_told_with_a_value_for_each_objective(last, state, values):
    seen = done(0, {"x": 0.5, "lr": 0.01}, 1.0)
    seen.last = last
    (trial,) = told(several(), [seen])
    assert (trial.state.name, trial.values) == (state, values)


def trade_off(config):
    """Where x is 0.5, both objectives are at their best; lr trades one for the other."""
    miss, trade = abs(config["x"] - 0.5), math.log10(config["lr"])
    return miss + trade, trade - miss


@pytest.mark.parametrize(
    "sampler",
    [{"name": "tpe", "n_startup_trials": 4}, {"name": "nsgaii", "population_size": 4},
     {"name": "nsgaiii", "population_size": 4}],
    ids=str,
)  # fmt: skip
def test_of_several_objectives_the_points_are_those_of_optuna_by_itself(sampler):
    searcher, history = several(sampler), []
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=build(sampler, None, 7)
    )
    for number in range(24):
        reseed(study.sampler, [searcher.seed, number, *searcher._salt])
        trial, config = study.ask(), searcher.suggest(number, history)
        assert config["x"] == trial.suggest_float("x", 0, 1)
        assert config["lr"] == trial.suggest_float("lr", 1e-4, 1, log=True)
        study.tell(trial, trade_off(config))
        history.append(finished(number, config, *trade_off(config)))
    assert several(sampler).suggest(20, history[:20]) == history[20].config
    told(searcher, history)
    front = {trial.number for trial in study.best_trials}
    values = [trial.values for trial in searcher._storage.trials]
    assert front == set(pareto.front(values, ["min", "max"]))


def test_a_sampler_for_one_objective_and_contradictions_are_refused():
    with pytest.raises(InvalidSpec, match="CMA-ES searches for one objective"):
        several("cmaes")
    with pytest.raises(InvalidSpec, match=r"given \['a'\], the experiment \['m', 'cost'\]"):
        several(metric=["a"])
    points = [{"x": 0.1, "lr": 0.1}]
    with pytest.raises(InvalidSpec, match=r"1\.0 given for 2 objectives"):
        several(points_to_evaluate=points, evaluated_rewards=[1.0])
    with pytest.raises(InvalidSpec, match="Repeater takes the mean of one"):
        searchers.Repeater(OptunaSearch(), 2).pursue(BOTH)


def test_a_searcher_that_looks_at_no_results_takes_any_number_of_objectives():
    searchers.create({"type": "random"}).pursue(BOTH)
    searchers.create({"type": "limiter", "searcher": {"type": "quasirandom"},
                      "max_concurrent": 2}).pursue(BOTH)  # fmt: skip


def test_what_breaks_a_constraint_is_told():
    searcher = set_up(OptunaSearch(constraints={"memory": "<= 5", "return": "> 1e1"}))
    seen = finished(0, {"x": 0.5, "lr": 0.01}, 1.0, 7.0, 30.0, names=("memory", "return"))
    unknown = finished(1, {"x": 0.5, "lr": 0.01}, 1.0, 7.0, names=("memory",))
    good, bad = told(searcher, [seen, unknown])
    assert good.constraints == {"memory": 2.0, "return": -20.0}
    assert (bad.state.name, bad.value) == ("FAIL", None)
    assert searcher.to_json()["constraints"] == {"memory": "<= 5", "return": "> 1e1"}


@pytest.mark.parametrize("sampler", ["tpe", {"name": "nsgaii", "population_size": 10}], ids=str)
def test_constraints_keep_the_search_where_they_hold(sampler):
    """The lower x the better, but only above a half is it allowed."""

    def share(constraints):
        searcher, history = set_up(OptunaSearch(sampler=sampler, constraints=constraints)), []
        for number in range(40):
            config = searcher.suggest(number, history)
            history.append(finished(number, config, config["x"], config["x"], names=("size",)))
        return sum(trial.config["x"] >= 0.5 for trial in history[-15:]) / 15

    assert share({"size": ">= 0.5"}) > share(None) + 0.3


@pytest.mark.parametrize("text", ["5", "<= five", "== 5", "<= nan", "<=", 5, "<= 1e", None])
def test_a_constraint_that_is_none_is_refused(text):
    with pytest.raises(InvalidSpec, match=r"constraints.m: .* a constraint is written '<= 5'"):
        parse_constraints({"m": text})


def plain_optuna(sampler, searcher, count):
    """Optuna by itself, ask and tell, its sampler seeded for each trial as ours is."""
    study, found = optuna.create_study(sampler=sampler), []
    for number in range(count):
        sampler._gprs_cache_list = None  # from where Gaussian processes start their next fit
        reseed(sampler, [searcher.seed, number, *searcher._salt])
        trial = study.ask()
        config = {f"x{index}": trial.suggest_float(f"x{index}", 0, 1) for index in range(6)}
        study.tell(trial, hartmann6(config))
        found.append(config)
    return found


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("random", {}, 20),
        ("tpe", {}, 25),
        ("tpe", {"n_startup_trials": 5, "multivariate": False}, 20),
        ("cmaes", {"popsize": 6}, 15),
        ("nsgaii", {"population_size": 6}, 20),
        ("nsgaiii", {"population_size": 6}, 20),
        pytest.param("gp", {"n_startup_trials": 4}, 8, marks=pytest.mark.slow),
        ("qmc", {}, 20),
    ],
)
def test_the_points_are_those_of_optuna_by_itself(name, options, count):
    quiet = {} if name not in ("cmaes", "gp", "qmc") else {"warn_independent_sampling": False}
    searcher = OptunaSearch(sampler={"name": name, **options, **quiet})
    set_up(searcher, {f"x{index}": sp.uniform(0, 1) for index in range(6)}, count, seed=3)
    history = []
    for number in range(count):
        config = searcher.suggest(number, history)
        history.append(done(number, config, hartmann6(config)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = build({"name": name, **options, **quiet}, None, 3)
        theirs = plain_optuna(sampler, searcher, count)
    assert [trial.config for trial in history] == theirs


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"name": "nsgaii", "crossover": "sbxx"}, "crossover: 'sbxx' given; did you mean 'sbx'"),
        ({"name": "tpe", "constraints_func": 3}, "use OptunaSearch"),
        ({"name": "partialfixed"}, "fixed_params: partialfixed needs this option"),
        ({"name": "partialfixed", "fixed_params": {"x": 7}}, "fixed_params.x: 7 is not in"),
        ({"name": "partialfixed", "fixed_params": {"y": 7}}, "fixed_params.y: .*x"),
        ({"name": "partialfixed", "fixed_params": {}, "base_sampler": "tpo"}, "did you mean 'tpe'"),
    ],
)
def test_options_of_samplers_are_checked(sampler, message):
    with pytest.raises(InvalidSpec, match=message):
        set_up(OptunaSearch(sampler=sampler))


def test_fixed_parameters_are_given_as_they_stand_in_the_space():
    tree = {"n": sp.qrandint(8, 64, 8), "net": sp.choice([{"w": 1}, {"w": 2}]), **BOWL}
    sampler = {"name": "partialfixed", "fixed_params": {"n": 24, "net": {"w": 2}}}
    config = set_up(OptunaSearch(sampler=sampler), tree).suggest(0, [])
    assert (config["n"], config["net"]) == (24, {"w": 2})


def test_a_missing_package_is_named_with_the_line_to_install_it(monkeypatch):
    monkeypatch.setattr("tunerl.searchers.optuna_samplers.find_spec", lambda name: None)
    with pytest.raises(InvalidSpec, match=r"cmaes needs packages .* pip install cmaes"):
        set_up(OptunaSearch(sampler="cmaes"))


def test_a_list_of_metrics_becomes_the_objectives_of_a_spec():
    given = {"trainable": "t", "param_space": {}, "metric": ["a", "b"], "mode": ["min", "max"]}
    read = spec.from_json(given)
    assert (read.metric, read.mode, read.objectives) == ("a", "min", {"a": "min", "b": "max"})
    assert spec.from_json(read.to_json()) == read
    for mode in ("min", ["min"], ["min", "max", "max"]):
        with pytest.raises(InvalidSpec, match="name each metric once, each with a mode"):
            spec.from_json({**given, "mode": mode})


def test_early_stopped_trials_of_several_objectives_are_pruned():
    seen = Observation(0, {"x": 0.5, "lr": 0.01}, Status.TERMINATED, Reason.SCHEDULER, [(1, 2.0)])
    (trial,) = told(several(), [seen])
    assert (trial.state.name, trial.values) == ("PRUNED", None)
    assert trial.intermediate_values == {1: 2.0}


def test_a_fixed_parameter_leaves_a_function_of_seed_number_and_history():
    options = {"name": "partialfixed", "fixed_params": {"x": 0.5}}
    searcher, history = set_up(OptunaSearch(sampler=options)), []
    for number in range(14):
        config = searcher.suggest(number, history)
        assert config["x"] == 0.5
        history.append(done(number, config, config["lr"]))
    again = set_up(OptunaSearch(sampler=options))
    assert again.suggest(13, history[:13]) == history[13].config
