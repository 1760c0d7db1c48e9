"""One dataclass line says type, range and kind; configurations and the schema follow from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tunerl.errors import InvalidConfig
from tunerl.hyperparameters import resolve_fields, schema
from tunerl.trainable import fixed, vector
from tunerl.trial import TRIAL_INDEX


@dataclass(frozen=True)
class Fields:
    lr: float = vector(
        3e-4, "learning rate", low=0.0, exclusive_low=True, high=1.0, schedule=True,
        search={"loguniform": [1e-5, 1e-2]},
    )  # fmt: skip
    epochs: int = vector(10, "passes over the data", low=1, high=100)
    target_kl: float | None = vector(None, "where to stop", low=0.0, optional=True)
    hiddens: tuple[int, ...] = fixed((64, 64), "widths", low=1)
    activation: str = fixed("tanh", "which", choices=("tanh", "relu"))
    normalise: bool = fixed(False, "whether to")
    extra: dict[str, Any] = fixed({}, "anything")
    sizes: list[int] = fixed([1], "which sizes", choices=([1], [1, 2]))


def test_defaults_are_filled_in_and_numbers_typed() -> None:
    config = resolve_fields(Fields, {"lr": 1, "epochs": np.int64(3), "hiddens": [8]})
    assert config == {
        "lr": 1.0,
        "epochs": 3,
        "target_kl": None,
        "hiddens": (8,),
        "activation": "tanh",
        "normalise": False,
        "extra": {},
        "sizes": [1],
    }
    assert type(config["lr"]) is float
    assert type(config["epochs"]) is int
    assert resolve_fields(Fields, config) == config


def test_mutable_defaults_are_not_shared() -> None:
    resolve_fields(Fields, {})["extra"]["x"] = 1
    assert resolve_fields(Fields, {})["extra"] == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lrr", 1.0, "unknown hyperparameter 'lrr'; did you mean 'lr'?"),
        ("lr", 0.0, "0.0 is out of range; allowed: > 0 and <= 1"),
        ("lr", 1.5, "1.5 is out of range"),
        ("lr", float("nan"), "nan is not a finite number"),
        ("lr", "0.1", "'0.1' is a string; a float is wanted; numbers are written without quotes"),
        ("lr", True, "True is a boolean; a float is wanted"),
        ("lr", None, "is None; leave it out to get the default"),
        ("epochs", 4.0, "4.0 is a float; an integer is wanted; write 4"),
        ("epochs", 4.5, "4.5 is a float; an integer is wanted"),
        ("epochs", True, "True is a boolean; an integer is wanted"),
        ("epochs", 0, "0 is out of range; allowed: >= 1 and <= 100"),
        ("epochs", [[0, 1]], "is a list; an integer is wanted"),
        ("target_kl", -1.0, "allowed: >= 0"),
        ("hiddens", 64, "64 is an integer; a list is wanted"),
        ("hiddens", [64, 0], "0 is out of range"),
        ("hiddens", [64, "a"], "'a' is a string"),
        ("activation", "relo", "'relo' is not allowed; did you mean 'relu'?"),
        ("normalise", 1, "1 is an integer; a boolean is wanted"),
        ("extra", [1], "is a list; a dict is wanted"),
        ("sizes", [3], "[3] is not allowed; allowed: [1], [1, 2]"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_fields(Fields, {name: value}, path="param_space")
    (problem,) = caught.value.problems
    assert problem.path == f"param_space.{name}"
    assert message in problem.message


def test_the_index_of_a_repeated_suggestion_is_passed_over() -> None:
    assert resolve_fields(Fields, {TRIAL_INDEX: 2}) == resolve_fields(Fields, {})


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_fields(Fields, {"lrr": 1, "epochs": 0, "normalise": "no", "hiddens": (8,)})
    assert [problem.path for problem in caught.value.problems] == ["lrr", "epochs", "normalise"]


def test_a_schedule_is_points_from_step_0_on() -> None:
    given = [[0, 1], (1e5, 0.5)]
    assert resolve_fields(Fields, {"lr": given})["lr"] == [[0, 1.0], [100_000, 0.5]]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], "the first step is missing, not 0"),
        ([[5, 0.1]], "the first step is 5, not 0"),
        ([[0, 0.1], [10, 0.2], [10, 0.3]], "the steps [0, 10, 10] do not grow"),
        ([[0, 0.1], [10, 2.0]], "2.0 is out of range"),
        ([[0, 0.1, 3]], "is not a pair"),
        ([0.1, 0.2], "0.1 is not a pair"),
        ([[0, 0.1], [1.5, 0.2]], "1.5 is not a step"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule: Any, message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_fields(Fields, {"lr": schedule})
    assert message in str(caught.value)


def test_the_schema_says_what_the_line_says() -> None:
    found = schema(Fields)
    assert json.loads(json.dumps(found)) == found
    assert found["additionalProperties"] is False
    properties = found["properties"]
    assert properties["epochs"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 10,
        "description": "passes over the data",
        "x-vector": True,
    }
    number, points = properties["lr"]["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0}
    level = {"type": "number", "minimum": 0.0, "maximum": 1.0}  # a schedule may end at the bound
    assert points["items"]["prefixItems"] == [{"type": "integer"}, level]
    assert properties["lr"]["x-search"] == {"loguniform": [1e-5, 1e-2]}
    assert properties["target_kl"]["anyOf"][1] == {"type": "null"}
    assert properties["activation"]["enum"] == ["tanh", "relu"]
    assert properties["hiddens"]["items"] == {"type": "integer", "minimum": 1}
    assert properties["hiddens"]["default"] == [64, 64]
    assert properties["sizes"]["enum"] == [[1], [1, 2]]
    assert properties["normalise"]["type"] == "boolean"
    assert properties["extra"]["x-vector"] is False


def test_a_field_of_a_type_that_cannot_be_checked_is_the_authors_error() -> None:
    @dataclass(frozen=True)
    class Strange:
        x: set[int] = fixed(1, "a set")

    with pytest.raises(TypeError, match="cannot be of type"):
        resolve_fields(Strange, {})
