"""What is wrong with an experiment is told with what was given, what is meant, and where."""

from __future__ import annotations

from typing import Any

import pytest

from tunerl import FIFOScheduler, TuneConfig, Tuner, choice, grid_search, spec, uniform
from tunerl.errors import InvalidInput, nearest
from tunerl.hints import domain_hint
from tunerl.metrics import nearest_metric

RETURN = "env_runners/episode_return_mean"
STEPS = "num_env_steps_sampled_lifetime"
LR = {"lr": {"loguniform": [1e-4, 1e-2]}}
SWEEP: dict[str, Any] = {
    "trainable": "PPO",
    "param_space": {"env": "CartPole-v1", **LR},
    "num_samples": 4,
    "stop": {"training_iteration": 3},
}


def space(**more: Any) -> dict[str, Any]:
    return {"param_space": {"env": "CartPole-v1", **LR, **more}}


def pbt(**mutations: Any) -> dict[str, Any]:
    return {"scheduler": {"type": "pbt", "hyperparam_mutations": mutations}}


MUTATED = "scheduler.hyperparam_mutations"
GRID = "searcher.constant_grid_search"
SAMPLER = "searcher.sampler.name"
TWO, HIDDEN = {"choice": [1, 2]}, {"choice": [[8], [9]]}
REFUSED = [
    (pbt(num_envs_per_env_runner=TWO), f"{MUTATED}.num_envs_per_env_runner", "fixed"),
    (pbt(model={"fcnet_hiddens": HIDDEN}), f"{MUTATED}.model.fcnet_hiddens", "fixed"),
    (pbt(num_envs=TWO), f"{MUTATED}.num_envs", "'num_envs_per_env_runner' here"),
    (pbt(learning_rate={"uniform": [0.1, 0.2]}), f"{MUTATED}.learning_rate", "called 'lr' here"),
    ({"scheduler": {"type": "asha", "grace": 3}}, "scheduler.grace", "'grace_period'"),
    ({"scheduler": {"name": "asha"}}, "scheduler.type", "{'name': 'asha'} given"),
    ({"scheduler": {"type": "asha", "time_attr": "timesteps_total"}}, "scheduler.time_attr", STEPS),
    ({"scheduler": {"type": "asha", "metric": "reward"}}, "scheduler.metric", RETURN),
    ({"scheduler": {"type": "asha", "max_t": [1]}}, "scheduler.max_t", "a number above 0"),
    ({"searcher": {"type": "tpe"}}, "searcher.type", "'sampler': 'tpe'"),
    ({"searcher": {"type": "optuna", "sampler": {"type": "tpe"}}}, SAMPLER, "name one"),
    ({"searcher": {}}, "searcher.type", "name one of"),
    ({"searcher": {"type": "repeater", "searcher": 3}}, "searcher.searcher", "3 is not a"),
    ({"metric": "episode_reward_mean", "mode": "max"}, "metric", f"called {RETURN!r} here"),
    ({"stop": {"timesteps_total": 9}}, "stop.timesteps_total", f"called {STEPS!r} here"),
    ({"stop": {"env_runners": {"x": 9}}}, "stop.env_runners", "'env_runners/x'"),
    ({"metric": [RETURN, "time_total_s"]}, "mode", "a list of 2"),
    ({"metric": [RETURN, "time_total_s"], "mode": "max"}, "mode", "a list of 2"),
    ({"metric": [RETURN, RETURN], "mode": ["max", "max"]}, "metric", "each metric once"),
    (space(learning_rate=0.1), "param_space.learning_rate", "called 'lr' here"),
    (space(environment="x"), "param_space.environment", "called 'env' here"),
    (space(activation_fn="relu"), "param_space.activation_fn", "called 'model' here"),
    (space(gamma={"unifrom": [0.9, 1]}), "param_space.gamma", "did you mean 'uniform'"),
    (space(gamma={"type": "uniform", "low": 0.9}), "param_space.gamma", "{'uniform': [...]}"),
    (space(gamma={"grid_search": {"uniform": [0, 1]}}), "param_space.gamma", "a list of values"),
    ({"config": {}}, "config", "called 'param_space' here"),
    ({"num_trials": 3}, "num_trials", "called 'num_samples' here"),
    ({"num_samples": -1, "stop": {}}, "num_samples", "nothing ends a trial"),
    ({"num_seeds": 10**9}, "num_seeds", "1 to 10,000"),
    (space(model=3), "param_space.model", "3 given; it must be an object"),
    ({"scheduler": {"type": "asha", "metric": [1]}}, "scheduler.metric", "the name of a metric"),
    ({"searcher": {"type": "random", "constant_grid_search": "no"}}, GRID, "true or false"),
]  # fmt: skip
POINTS = "searcher.points_to_evaluate"
REFUSED += [
    ({"searcher": {"type": kind, "points_to_evaluate": given}}, path, words)
    for kind in ("random", "optuna")
    for given, path, words in (
        ({"lr": 1e-3}, POINTS, "a list of configurations"),
        ([3], f"{POINTS}[0]", "3 given"),
        ([{"lrr": 1e-3}], f"{POINTS}[0].lrr", "did you mean 'lr'"),
        ([{"lr": 1.0}], f"{POINTS}[0].lr", "not in loguniform"),
    )
]
CONSTRAINTS = "searcher.constraints"
REFUSED += [
    ({"searcher": {"type": "optuna", "constraints": given}}, path, words)
    for given, path, words in (
        (["time_total_s <= 5"], CONSTRAINTS, "constraints are an object"),
        ({"time_total_s": "5"}, f"{CONSTRAINTS}.time_total_s", "written '<= 5'"),
        ({"memory": "<= 5"}, f"{CONSTRAINTS}.memory", "PPO reports no metric 'memory'"),
    )
]


@pytest.mark.parametrize(("change", "path", "words"), REFUSED, ids=lambda given: str(given)[:60])
def test_a_refusal_names_the_field_and_what_is_allowed(
    change: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec.check({**SWEEP, **change})
    told = {problem.path: problem.message for problem in caught.value.problems}
    assert path in told, told
    assert words in told[path]


def test_searchers_and_schedulers_may_be_given_by_name() -> None:
    found = spec.check({**SWEEP, "searcher": "optuna", "scheduler": "asha"})
    assert (found.searcher, found.scheduler) == ({"type": "optuna"}, {"type": "asha"})


@pytest.mark.parametrize(
    "end",
    [{"stop": {"training_iteration": 3}}, {"stop": {}, "time_budget_s": 9.0},
     {"stop": {}, "scheduler": {"type": "asha", "max_t": 9}},
     {"stop": {}, "stopper": {"type": "maximum_iteration", "max_iter": 3}}],
)  # fmt: skip
def test_trials_without_number_are_taken_where_something_ends_them(end: dict[str, Any]) -> None:
    assert spec.check({**SWEEP, "num_samples": -1, **end}).num_samples == -1


@pytest.mark.parametrize(
    "constant", [3, {"uniform": [0, 1]}, {"a": [1]}, {"type": "x", "size": 3}, {"uniforms": 3}]
)
def test_what_is_no_misspelt_domain_has_no_hint(constant: Any) -> None:
    assert domain_hint(constant) is None


def test_a_metric_known_elsewhere_is_a_hint_only_where_ours_is_reported() -> None:
    assert nearest_metric("rollout/ep_rew_mean", [RETURN, "x"]) == f"it is called {RETURN!r} here"
    assert RETURN not in nearest_metric("ep_rew_mean", ["loss", "accuracy"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ppo", "PPO"), ("grace", "grace_period"), ("perod", "period"), ("max_iters", "max_t"),
     ("zzz", None)],
)  # fmt: skip
def test_the_nearest_name_is_found_by_case_part_and_spelling(given: str, meant: str | None) -> None:
    known = ["PPO", "grace_period", "brackets", "period", "max_t"]
    found = nearest(given, known)
    assert found == (f"did you mean {meant!r}?" if meant else "known: " + ", ".join(sorted(known)))


def test_a_field_that_does_not_exist_hides_nothing_else_that_is_wrong() -> None:
    wrong = {**SWEEP, "num_sample": 3, "scheduler": {"type": "ashaa"}, "metric": "reward"}
    with pytest.raises(InvalidInput) as caught:
        spec.check({**wrong, "mode": "max"})
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"num_sample", "scheduler.type", "metric"}


@pytest.mark.parametrize("word", [grid_search, choice])
@pytest.mark.parametrize("given", [uniform(0, 1), 3, "abc", {"a": 1}])
def test_a_list_of_values_is_no_range_and_no_single_value(word: Any, given: Any) -> None:
    with pytest.raises(InvalidInput, match="takes a list of values") as caught:
        word(given)
    assert ("a range cannot be listed" in str(caught.value)) == (given == uniform(0, 1))


def test_a_class_instead_of_a_scheduler_is_told_to_be_called() -> None:
    with pytest.raises(InvalidInput, match=r"call it, as in FIFOScheduler\(\)"):
        Tuner("PPO", tune_config=TuneConfig(scheduler=FIFOScheduler))  # type: ignore[arg-type]
