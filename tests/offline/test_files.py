"""Offline data: what is written is read again, in each format, from each kind of place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces

from algorithms.offline import Dataset, load
from algorithms.offline.spaces_json import from_json, to_json
from tests.support import offline
from tunerl.errors import InvalidInput

COLUMNS = ("obs", "actions", "rewards", "terminateds", "truncateds", "new_obs")


@pytest.fixture(scope="module")
def cartpole() -> tuple[offline.Columns, dict[str, Any]]:
    env = gymnasium.make("CartPole-v1")
    return offline.play(env, 4, lambda obs, g: int(g.integers(2))), offline.spaces(env)


def same(dataset: Dataset, columns: offline.Columns) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(dataset, name), columns[name])


@pytest.mark.parametrize("name", ["steps.parquet", "steps.json", "steps.jsonl"])
def test_what_was_written_is_read_with_its_spaces(tmp_path: Path, cartpole: Any, name: str) -> None:
    path = offline.write(tmp_path / name, *cartpole)
    found = load(path)
    same(found, cartpole[0])
    env = gymnasium.make("CartPole-v1")
    assert (found.observation_space, found.action_space) == (
        env.observation_space,
        env.action_space,
    )
    np.testing.assert_array_equal(found.eps_id, cartpole[0]["eps_id"])
    assert found.num_episodes == 4
    lengths = np.bincount(cartpole[0]["eps_id"])
    np.testing.assert_array_equal(found.episode_returns(), lengths)  # reward 1 a step


def test_continuous_actions_and_pixels_keep_shape_and_type(tmp_path: Path) -> None:
    described = {
        "observation_space": to_json(spaces.Box(0, 255, (3, 4, 2), np.uint8)),
        "action_space": to_json(spaces.Box(-1.0, 1.0, (2,))),
    }
    generator = np.random.default_rng(0)
    columns = {
        "obs": generator.integers(256, size=(5, 3, 4, 2), dtype=np.uint8),
        "actions": generator.uniform(-1, 1, (5, 2)).astype(np.float32),
        "rewards": np.arange(5, dtype=np.float32),
        "terminateds": np.array([False, True, False, False, True]),
        "truncateds": np.zeros(5, np.bool_),
        "new_obs": generator.integers(256, size=(5, 3, 4, 2), dtype=np.uint8),
        "eps_id": np.array([0, 0, 1, 1, 1]),
    }
    for name in ("a.parquet", "a.json"):
        found = load(offline.write(tmp_path / name, columns, described))
        same(found, columns)
        assert found.obs.dtype == np.uint8
        assert found.actions.dtype == np.float32


def test_files_come_from_a_list_a_glob_a_directory_and_a_url(tmp_path: Path, cartpole: Any) -> None:
    rows = len(cartpole[0]["obs"])
    one = offline.write(tmp_path / "one.parquet", *cartpole)
    two = offline.write(tmp_path / "two.json", *cartpole)
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / ".one.parquet").write_text("half written")
    for place in ([one, two], tmp_path, str(tmp_path / "*.*[nt]"), f"file://{tmp_path}"):
        found = load(place)
        assert len(found) == 2 * rows
        assert found.num_episodes == 8
    memory = fsspec.filesystem("memory")
    memory.pipe("/offline/one.parquet", Path(one).read_bytes())
    for place in ("memory://offline/one.parquet", "memory://offline", "memory://offline/*.parquet"):
        same(load(place), cartpole[0])
    memory.rm("/offline", recursive=True)


def test_files_are_read_once_until_they_change(tmp_path: Path, cartpole: Any) -> None:
    path = offline.write(tmp_path / "a.parquet", *cartpole)
    first = load(path)
    assert load([path]) is first
    env = gymnasium.make("CartPole-v1")
    given = {"observation_space": env.observation_space, "action_space": env.action_space}
    assert load(path, **given) is first
    half = {name: column[:20] for name, column in cartpole[0].items()}
    offline.write(tmp_path / "a.parquet", half, cartpole[1])
    assert len(load(path)) == 20


def old(columns: offline.Columns) -> dict[str, Any]:
    """As RLlib's old sample batches have them."""
    dones = columns["terminateds"] | columns["truncateds"]
    kept = {name: columns[name].tolist() for name in ("obs", "new_obs", "actions", "rewards")}
    more = {"dones": dones.tolist(), "eps_id": (columns["eps_id"] + 77).tolist()}
    unused = {
        "infos": [{}] * len(dones),
        "vf_preds": [0.0] * len(dones),
        "t": list(range(len(dones))),
    }
    return {"type": "SampleBatch"} | kept | more | unused


def test_old_names_of_columns_are_understood(tmp_path: Path, cartpole: Any) -> None:
    columns = cartpole[0]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old(columns)) + "\n")
    found = load(path)
    same(found, columns)
    table = {"observations": columns["obs"].tolist(), "action": columns["actions"]}
    table |= {"reward": columns["rewards"], "terminated": columns["terminateds"]}
    table |= {"eps_id": [f"e{i}" for i in columns["eps_id"]]}
    pq.write_table(pa.table(table), tmp_path / "o.parquet")
    found = load(tmp_path / "o.parquet")
    going_on = ~columns["terminateds"]
    np.testing.assert_array_equal(found.new_obs[going_on], columns["new_obs"][going_on])
    same(found, columns | {"new_obs": found.new_obs})
    assert found.action_space == spaces.Discrete(2)  # guessed
    assert found.observation_space.shape == (4,)


def test_a_line_may_hold_a_single_step(tmp_path: Path, cartpole: Any) -> None:
    columns = cartpole[0]
    lines = [
        {name: column[i].tolist() for name, column in columns.items()}
        for i in range(len(columns["obs"]))
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    same(load(tmp_path / "s.jsonl"), columns)


def test_rows_of_interleaved_episodes_are_sorted(tmp_path: Path, cartpole: Any) -> None:
    columns = cartpole[0]
    time = np.concatenate([np.arange(n) for n in np.bincount(columns["eps_id"])])
    mixed = np.lexsort((columns["eps_id"], time))
    shuffled = {name: column[mixed] for name, column in columns.items()}
    same(
        load(offline.write(tmp_path / "m.parquet", shuffled | {"t": time[mixed]}, cartpole[1])),
        columns,
    )


def test_without_next_observations_the_last_step_of_a_cut_episode_is_left_out(
    tmp_path: Path,
) -> None:
    batch = {
        "obs": [[0.0], [1.0], [2.0], [3.0], [4.0]],
        "actions": [0, 1, 0, 1, 0],
        "rewards": [1.0, 2.0, 3.0, 4.0, 5.0],
        "terminateds": [False, True, False, False, False],
        "truncateds": [False, False, False, True, False],
    }
    (tmp_path / "a.json").write_text(json.dumps(batch))
    found = load(tmp_path / "a.json")
    np.testing.assert_array_equal(found.obs[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(found.new_obs[[0, 2], 0], [1, 3])
    np.testing.assert_array_equal(found.eps_id, [0, 0, 1])


SPACES = [
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
    spaces.MultiBinary(3),
    spaces.Box(-1.0, 1.0, (2, 2)),
    spaces.Box(np.array([-np.inf, 0.1], np.float32), np.array([np.inf, 0.3], np.float32)),
    spaces.Box(0, 255, (4, 4), np.uint8),
    spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple([spaces.Box(0.0, 1.0, (1,))])),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_is_the_same_after_json(space: Any) -> None:
    text = json.dumps(to_json(space), allow_nan=False)
    assert from_json(json.loads(text)) == space


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "Bocks"}, "did you mean 'Box'"),
        ({"type": "Discrete"}, "describes no Discrete"),
        ("Discrete(2)", "describes no space"),
    ],
)
def test_what_describes_no_space_is_refused(data: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        from_json(data)
    with pytest.raises(InvalidInput, match="must be one of"):
        to_json(spaces.Text(3))
