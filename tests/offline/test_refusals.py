"""Offline data that cannot be learned from are refused, with file and row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from algorithms.bc import SPEC as BC
from algorithms.marwil import SPEC as MARWIL
from algorithms.offline import load
from tests.support import offline
from tunerl.errors import InvalidConfig, InvalidInput

GOOD: dict[str, Any] = {
    "obs": [[0.0] * 4, [0.1] * 4],
    "actions": [0, 1],
    "rewards": [1.0, 1.0],
    "terminateds": [False, True],
}
CARTPOLE = gymnasium.make("CartPole-v1")


def refusal(path: Path, text: str | bytes, **settings: Any) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as caught:
        load(path, **settings)
    assert str(path) in str(caught.value)
    return str(caught.value)


def lines(*batches: Any) -> str:
    return "\n".join(json.dumps(batch) for batch in batches)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([GOOD, GOOD | {"obs": "BCJNGGhAAAAAAAAAAAB"}], "line 2: column 'obs' is packed"),
        ([GOOD | {"actions": [0]}], "line 1: its columns have different lengths .*actions: 1"),
        ([GOOD | {"obs": [[0.0] * 4, [0.0] * 3]}], "line 1: the rows of 'obs' differ in length"),
        ([GOOD, GOOD | {"obs": [[0.0] * 3] * 2}], r"line 2: 'obs' has rows of shape \(3,\)"),
        ([GOOD | {"actions": ["left", "right"]}], "line 1: column 'actions' holds something else"),
        ([GOOD, {"obs": [[0.0] * 4], "actions": [0]}], "line 2: not every line has .*rewards"),
        ([[1, 2]], "line 1 holds list"),
        ([GOOD, GOOD | {"rewards": [1.0, float("nan")]}], "line 2: rewards are NaN or infinite"),
        ([{"type": "MultiAgentBatch", "policy_batches": {"a": GOOD, "b": GOOD}}], "2 agents"),
        ([GOOD | {"obs": []} | {"actions": [], "rewards": [], "terminateds": []}], "no transition"),
    ],
    ids=[
        "packed", "lengths", "ragged", "shapes", "words", "columns", "list", "nan", "agents",
        "empty",
    ],
)  # fmt: skip
def test_json_lines(tmp_path: Path, batches: list[Any], message: str) -> None:
    import re

    assert re.search(message, refusal(tmp_path / "a.json", lines(*batches)))


def test_what_is_no_json_and_no_parquet(tmp_path: Path) -> None:
    assert "line 2 is no JSON" in refusal(tmp_path / "a.json", json.dumps(GOOD) + "\n{obs")
    assert "cannot be read" in refusal(tmp_path / "b.json", b"\xff\xfe\x00")
    assert "no Parquet file" in refusal(tmp_path / "a.parquet", "obs,actions")
    assert "no transition" in refusal(tmp_path / "c.json", "")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item": [b"\x00"]}, "output_write_episodes=False"),
        ({"obs": [b"\x04", b"\x04"], "actions": [0, 1]}, "column 'obs' holds binary.*packs"),
        ({"obs": [[0.0], None], "actions": [0, 1]}, "row 2: column 'obs' holds no value"),
        ({"obs": [[0.0], [0.0, 1.0]], "actions": [0, 1]}, "row 2: .* different lengths"),
        ({"obs": [{"a": 1}], "actions": [0]}, "flatten it to a list"),
        (
            {"obs": [[0.0]], "action_prob": [0.5]},
            "lacks the column 'actions' .*it has: action_",
        ),
    ],
)
def test_parquet(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=message):
        load(tmp_path / "a.parquet")


def test_places_without_data(tmp_path: Path) -> None:
    (tmp_path / "large.csv").write_text("1,2")
    for place, message in [
        (tmp_path / "large.json", "there is no such file; .* holds large.csv"),
        (tmp_path / "none" / "a.json", "nor a directory"),
        (tmp_path / "*.parquet", "there is no such file"),
        (tmp_path, "holds no file ending in"),
        ([], "is no place of data"),
        (3, "is no place of data"),
        ("nosuch://bucket/a.parquet", "cannot be read"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            load(place)


def cartpole(**changes: Any) -> str:
    return lines(GOOD | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": [[0.0] * 3] * 2}, r"obs have the shape \(3,\), .* has \(4,\)"),
        ({"obs": [[9.0] * 4] * 2}, "line 1: obs .* lie outside of Box"),
        ({"actions": [0, 2]}, r"line 1: the action 2 is outside of Discrete\(2\)"),
        ({"actions": [0, -1]}, "outside of Discrete"),
        ({"actions": [0.0, 0.5]}, "0.5 is none of Discrete"),
        ({"actions": [[0.1, 0.2], [0.3, 0.4]]}, r"actions have the shape \(2,\)"),
        ({"new_obs": [[0.0] * 4, [float("inf")] * 4]}, "new_obs are NaN or infinite"),
    ],
)
def test_data_of_another_environment(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "a.json").write_text(cartpole(**changes))
    spaces = {
        "observation_space": CARTPOLE.observation_space,
        "action_space": CARTPOLE.action_space,
    }
    with pytest.raises(InvalidInput, match=message):
        load(tmp_path / "a.json", **spaces)


def test_continuous_actions_out_of_range_but_for_rounding(tmp_path: Path) -> None:
    space = gymnasium.spaces.Box(-2.0, 2.0, (1,))
    batch = GOOD | {"actions": [[2.0001], [-1.0]]}
    (tmp_path / "a.json").write_text(lines(batch))
    found = load(tmp_path / "a.json", action_space=space)
    assert found.actions.max() == 2.0
    (tmp_path / "a.json").write_text(lines(batch | {"actions": [[1.0], [2.1]]}))
    with pytest.raises(InvalidInput, match=r"the action \[2.1\] is outside"):
        load(tmp_path / "a.json", action_space=space)


def test_files_of_different_environments(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is of other spaces than"):
        load([offline.random_cartpole(), offline.random_pendulum()])


def test_it_is_told_before_anything_trains(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(lines({"obs": GOOD["obs"], "actions": [0, 1]}))
    for spec, config, path, message in [
        (BC, {}, "input_", "missing; name the files"),
        (BC, {"input_": str(tmp_path / "b.json")}, "input_", "no such file"),
        (MARWIL, {"input_": str(tmp_path / "a.json")}, "input_", "lacks the columns 'rewards'"),
        (BC, {"input_": offline.random_cartpole(), "env": "Acrobot-v1"}, "input_", "shape"),
        (BC, {"input_": offline.random_cartpole(), "env": "CartPol-v1"}, "env", "did you mean"),
        (
            BC,
            {
                "input_": offline.random_cartpole(),
                "env": "CartPole-v1",
                "action_space": gymnasium.spaces.Discrete(3),
            },
            "action_space",
            "is not the environment's",
        ),
    ]:
        with pytest.raises(InvalidConfig, match=message) as caught:
            spec.resolve(config)
        assert [problem.path for problem in caught.value.problems] == [path]


def test_bc_needs_no_rewards(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(lines({"obs": GOOD["obs"], "actions": [0, 1]}))
    resolved = BC.resolve({"input_": [tmp_path / "a.json"]})
    assert resolved["input_"] == [str(tmp_path / "a.json")]
    assert resolved["action_space"] == {"type": "Discrete", "n": 2, "start": 0}
    assert resolved["evaluation_interval"] is None
    assert np.isfinite(load(resolved["input_"]).rewards).all()
