"""Misspelt and unknown keywords: told with the nearest name, in the same words everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import tunerl
from tunerl import schedulers, searchers, stoppers
from tunerl.errors import InvalidSpec
from tunerl.keywords import Checked, checked
from tunerl.schedulers import Scheduler

WRONG: list[tuple[Callable[..., Any], str, str]] = [
    (tunerl.ASHAScheduler, "gracee_period", "did you mean 'grace_period'"),
    (tunerl.FIFOScheduler, "max_t", "none is known"),
    (tunerl.PopulationBasedTraining, "hyperparam_mutation", "'hyperparam_mutations'"),
    (tunerl.BasicVariantGenerator, "max_concurent", "'max_concurrent'"),
    (tunerl.TrialPlateauStopper, "metrics", "'metric'"),
    (tunerl.CombinedStopper, "stoppers", "none is known"),
    (tunerl.TuneConfig, "n_trials", "called 'num_samples' here"),
    (tunerl.RunConfig, "storage_pth", "'storage_path'"),
    (tunerl.CheckpointConfig, "num_to_kep", "'num_to_keep'"),
    (tunerl.FailureConfig, "max_failure", "'max_failures'"),
]


@pytest.mark.parametrize(("make", "keyword", "hint"), WRONG, ids=[each[1] for each in WRONG])
def test_an_unknown_keyword_is_named_with_what_was_meant(
    make: Callable[..., Any], keyword: str, hint: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        make(**{keyword: 1})
    (problem,) = caught.value.problems
    assert problem.path == f"{make.__name__}.{keyword}"
    assert hint in problem.message


def test_all_wrong_keywords_are_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        tunerl.FailureConfig(max=1, grace=2)  # type: ignore[call-arg]
    assert [p.path for p in caught.value.problems] == ["FailureConfig.max", "FailureConfig.grace"]


def test_a_users_own_class_is_checked_and_one_that_takes_anything_is_not() -> None:
    class Own(Scheduler):
        def __init__(self, patience: int = 3) -> None:
            self.patience = patience

        def on_result(self, trial: int, result: Any) -> list[Any]:
            return []

        def to_json(self) -> dict[str, Any]:
            return {}

    class Wide(Own):
        def __init__(self, **options: Any) -> None:
            super().__init__(options["patience"])

    assert Own(patience=4).patience == Wide(patience=4, more=1).patience == 4
    with pytest.raises(InvalidSpec, match="'patience'"):
        Own(patient=4)  # type: ignore[call-arg]


@pytest.mark.parametrize("house", [schedulers, searchers, stoppers])
def test_every_class_by_name_is_checked_and_keeps_its_signature(house: Any) -> None:
    for name in house.names():
        cls = house.REGISTRY[name] if house is stoppers else house.get(name)
        assert issubclass(cls, Checked)
        assert "args" not in inspect.signature(cls).parameters
        with pytest.raises(InvalidSpec, match=f"{cls.__name__}.no_such_option"):
            cls(no_such_option=1)


def test_positions_and_missing_arguments_are_pythons_business() -> None:
    @checked
    class Two:
        def __init__(self, one: int, two: int) -> None:
            self.sum = one + two

    assert Two(1, two=2).sum == 3
    with pytest.raises(TypeError, match="two"):
        Two(1)  # type: ignore[call-arg]
