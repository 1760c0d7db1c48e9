"""Specs: everything that is wrong is named, each thing under its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tunerl import registry
from tunerl import spec as specs
from tunerl.author.face import Trainable
from tunerl.errors import InvalidSpec
from tunerl.hyperparameters import hyperparameters
from tunerl.trainable import fixed, vector


class Agent(Trainable):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Hyperparameters:
        lr: float = vector(1e-3, "step size", low=0.0, high=1.0)
        width: int = fixed(64, "units", low=1)

    def step(self) -> Mapping[str, Any]:
        return {"score": 1.0}


AGENT = registry.trainable(Agent)
GOOD: dict[str, Any] = {
    "trainable": "Agent",
    "param_space": {"lr": {"uniform": [0.0, 1.0]}},
    "metric": "score",
    "mode": "max",
}


def problems(**changes: Any) -> dict[str, str]:
    """Messages by path."""
    with pytest.raises(InvalidSpec) as caught:
        specs.check({**GOOD, **changes}, AGENT)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_good_spec_goes_through_json_and_back() -> None:
    checked = specs.check(GOOD, AGENT)
    assert specs.from_json(checked.to_json()) == checked
    assert set(hyperparameters(Agent.Hyperparameters)) == {"lr", "width"}


def test_all_problems_are_named_at_once() -> None:
    found = problems(num_seeds=0, aggregate="meen", stop={"score": "high"}, time_budget_s=-1)
    assert set(found) == {"num_seeds", "aggregate", "stop.score", "time_budget_s"}
    assert "did you mean 'mean'" in found["aggregate"]


def test_fields_that_do_not_exist_hide_no_wrong_values() -> None:
    found = problems(num_sample=3, failure={"max_failure": 1, "hang_timeout_s": -1.0}, num_seeds=0)
    assert set(found) == {
        "num_sample",
        "failure.max_failure",
        "failure.hang_timeout_s",
        "num_seeds",
    }


def test_unknown_fields_name_the_nearest() -> None:
    found = problems(num_sample=3, checkpoint={"frequence": 1})
    assert "num_samples" in found["num_sample"]
    assert "frequency" in found["checkpoint.frequence"]


def test_a_wrong_type_says_what_is_allowed() -> None:
    assert problems(num_samples="many")["num_samples"] == "'many' given; it must be a whole number"
    assert "true or false" in problems(failure={"fail_fast": 3})["failure.fail_fast"]


@pytest.mark.parametrize(
    ("space", "path", "message"),
    [
        ({"lrr": {"uniform": [0, 1]}}, "param_space.lrr", "lr"),
        ({"lr": {"uniform": [0.5, 2.0]}}, "param_space.lr", "1"),
        ({"lr": {"choice": [0.1, -3.0]}}, "param_space.lr", "0"),
        ({"lr": {"choice": [0.1, "high"]}}, "param_space.lr", "high"),
        ({"lr": {"uniform": [1.0, 0.0]}}, "param_space.lr", "swap"),
        ({"lr": {"choice": []}}, "param_space.lr", "nothing"),
        ({"width": {"randint": [0, 5]}}, "param_space.width", "1"),
    ],
)
def test_the_space_is_held_against_the_trainable(
    space: dict[str, Any], path: str, message: str
) -> None:
    assert message in problems(param_space=space)[path]


def test_what_a_sweep_would_not_heed_is_refused() -> None:
    space = {"env": "CartPole-v1", "num_learners": {"choice": [0, 2]}}
    with pytest.raises(InvalidSpec) as caught:
        specs.check({"trainable": "PPO", "param_space": space})
    (problem,) = caught.value.problems
    assert problem.path == "param_space.num_learners"
    assert "learn in packs" in problem.message


def test_an_empty_space_with_many_samples_is_refused() -> None:
    assert "identical" in problems(param_space={}, num_samples=4)["param_space"]


def test_a_metric_needs_a_mode_and_a_mode_a_metric() -> None:
    assert "max" in problems(mode=None)["mode"]
    assert "metric" in problems(metric=None)
    assert "'maximum'" in problems(mode="maximum")["mode"]


def test_unknown_names_of_parts_are_found() -> None:
    found = problems(searcher={"type": "optunna"}, scheduler={"type": "asha", "max_tt": 3})
    assert "optuna" in found["searcher.type"]
    assert "max_t" in found["scheduler.max_tt"]


def test_an_unknown_trainable_is_a_problem_of_its_field() -> None:
    with pytest.raises(InvalidSpec) as caught:
        specs.check({**GOOD, "trainable": "PPOO"})
    assert caught.value.problems[0].path == "trainable"


def test_metrics_that_the_trainable_lists_are_checked_at_once() -> None:
    class Listing(type(AGENT)):  # type: ignore[misc]
        def metrics(self, config: Any) -> list[str]:
            return ["env_runners/episode_return_mean", "training_iteration"]

    with pytest.raises(InvalidSpec) as caught:
        specs.check({**GOOD, "metric": "episode_return_mean"}, Listing(Agent))
    (problem,) = caught.value.problems
    assert problem.path == "metric"
    assert "env_runners/episode_return_mean" in problem.message


def test_the_objective_of_the_trainable_is_the_default() -> None:
    class Aiming(type(AGENT)):  # type: ignore[misc]
        objective = ("score", "max")

    checked = specs.check({"trainable": "Agent", "param_space": {}}, Aiming(Agent))
    assert (checked.metric, checked.mode) == ("score", "max")
