"""JSON that gives back what it was given."""

from __future__ import annotations

import json
import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunerl import codec
from tunerl.errors import InvalidInput
from tunerl.trial import Status

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text()
keys = st.text() | st.sampled_from(["$float", "$$float", "float"])
values = st.recursive(
    scalars | st.sampled_from(["nan", "inf"]),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
    max_leaves=20,
)


@given(values)
def test_every_value_comes_back_from_valid_json(value: Any) -> None:
    text = codec.dumps(value)
    json.loads(text, parse_constant=pytest.fail)
    assert repr(codec.loads(text)) == repr(value)
    assert repr(codec.loads(text.encode())) == repr(value)


def test_numpy_enums_paths_and_sets_become_plain() -> None:
    given = {
        "f": np.float32(0.5),
        "nan": np.float32("nan"),
        "i": np.int64(3),
        "a": np.array([[1.0, math.inf]]),
        "s": Status.RUNNING,
        "p": PurePosixPath("a/b"),
        "set": {2, 1},
        "t": (1, 2),
        7: True,
    }
    found = codec.loads(codec.dumps(given))
    assert math.isnan(found.pop("nan"))
    assert found == {
        "f": 0.5,
        "i": 3,
        "a": [[1.0, math.inf]],
        "s": "RUNNING",
        "p": "a/b",
        "set": [1, 2],
        "t": [1, 2],
        "7": True,
    }


@pytest.mark.parametrize("value", [object(), {"x": [math.nan, lambda: 1]}, 1j])
def test_what_json_cannot_carry_is_named(value: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        codec.dumps(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidInput, match="contains itself"):
        codec.dumps(value)
