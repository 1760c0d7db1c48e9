"""Names lead to trainables and environments, from this process or from entry points."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from tests.support.packs import Walk, walk
from tunerl import registry
from tunerl.author.face import with_parameters
from tunerl.errors import InvalidInput, NotFound, TrainableError
from tunerl.registry import (
    AuthorSpec,
    environment,
    importable,
    register_env,
    register_trainable,
    trainable,
    trainables,
)

SPEC = AuthorSpec(Walk, "good")


@pytest.fixture(autouse=True)
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty registry, and entry points good and bad."""
    points = {
        registry.TRAINABLES: {"good": "tests.test_registry:SPEC", "bad": "no_such_module:SPEC"},
        registry.ENVIRONMENTS: {"good": "builtins:dict", "bad": "no_such_module:make"},
    }
    monkeypatch.setattr(registry, "_trainables", {})
    monkeypatch.setattr(registry, "_environments", {})
    monkeypatch.setattr(
        registry,
        "_entry_points",
        lambda group: {name: EntryPoint(name, at, group) for name, at in points[group].items()},
    )


def test_a_registered_class_is_found_by_its_name() -> None:
    spec = register_trainable("walk", Walk)
    assert trainable("walk") is spec
    assert spec.name == "walk"
    assert trainables() == ["bad", "good", "walk"]


def test_the_last_registration_counts() -> None:
    register_trainable("walk", Walk)
    second = register_trainable("walk", walk)
    assert trainable("walk") is second


def test_classes_functions_and_specs_need_no_name() -> None:
    assert trainable(Walk).name == "Walk"
    assert trainable(walk).name == "walk"
    assert trainable(with_parameters(Walk)).name == "Walk"
    assert trainable(SPEC) is SPEC
    assert trainable(functools.partial(walk)).name == "partial"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="no trainable is called 'goood'; did you mean 'good'"):
        trainable("goood")


@pytest.mark.parametrize("target", [3, None, dict, {"a": 1}])
def test_what_is_no_trainable_is_refused(target: Any) -> None:
    with pytest.raises(InvalidInput, match="is no trainable"):
        trainable(target)


@pytest.mark.parametrize("function", [lambda: None, lambda a, b: None])
def test_a_function_takes_the_configuration_and_nothing_else(function: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot be called with the configuration alone"):
        trainable(function)


def test_a_parameter_that_the_function_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unexpected keyword"):
        trainable(with_parameters(walk, data=1))


def test_a_broken_entry_point_breaks_only_itself() -> None:
    assert trainable("good") is SPEC
    assert environment("good") is dict
    with pytest.raises(TrainableError, match=r"'bad'.*cannot be loaded from 'no_such_module:SPEC'"):
        trainable("bad")
    with pytest.raises(TrainableError, match="no_such_module"):
        environment("bad")


def test_only_a_spec_that_its_entry_point_gives_is_found_elsewhere() -> None:
    assert importable(SPEC)
    assert not importable(AuthorSpec(Walk, "good"))
    assert not importable(AuthorSpec(Walk, "bad"))
    register_trainable("good", walk)
    assert not importable(SPEC)


def test_environments_by_name() -> None:
    assert environment("CartPole-v1") is None
    register_env("mine", dict)
    assert environment("mine") is dict
    assert registry.environments() == {"mine": dict}
    with pytest.raises(InvalidInput, match="give a function"):
        register_env("mine", "CartPole-v1")  # type: ignore[arg-type]


def test_declared_hyperparameters_check_configurations_and_others_pass() -> None:
    assert trainable(Walk).resolve({"size": 2}) == {"size": 2.0, "start": 0}
    assert trainable(Walk).schema()["properties"]["size"]["maximum"] == 10.0
    assert trainable(walk).resolve({"anything": 1}) == {"anything": 1}
    assert trainable(walk).schema()["additionalProperties"] is True
