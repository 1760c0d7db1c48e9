"""What training code reports becomes flat and plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tunerl.errors import MetricError
from tunerl.metrics import flatten, nearest_metric


@pytest.mark.parametrize(
    ("metrics", "flat"),
    [
        ({"a": {"b": {"c": 1}, "d": 2.5}}, {"a/b/c": 1, "a/d": 2.5}),
        ({"x": np.float32(0.5), "n": np.int64(3)}, {"x": 0.5, "n": 3}),
        ({"b": np.bool_(True), "z": np.array(4)}, {"b": True, "z": 4}),
        ({"v": np.arange(3), "w": (1, np.int8(2))}, {"v": [0, 1, 2], "w": [1, 2]}),
        ({"none": None, "s": "text", 3: 1}, {"none": None, "s": "text", "3": 1}),
    ],
)
def test_metrics_become_flat_and_plain(metrics: Any, flat: Any) -> None:
    found = flatten(metrics)
    assert found == flat
    assert [type(value) for value in found.values()] == [type(value) for value in flat.values()]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (3, "reported 3 of type int"),
        ({"x": {"y": {1}}}, "metric 'x/y' is a set"),
        ({"x": [1, object()]}, "metric 'x' is a object"),
        ({"a/b": 1, "a": {"b": 2}}, "two metrics go by the name 'a/b'"),
        ({"x": 1j}, "metric 'x' is a complex"),
    ],
)
def test_what_json_cannot_carry_is_refused(metrics: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        flatten(metrics)


def test_the_nearest_metric_has_the_same_last_word() -> None:
    known = ["env_runners/episode_return_mean", "episode_return_meen", "loss"]
    assert nearest_metric("episode_return_mean", known) == f"did you mean {known[0]!r}?"
    assert nearest_metric("los", known) == "did you mean 'loss'?"
