"""Datasets of Minari, made here: nothing is fetched."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms.bc import SPEC
from algorithms.offline import load
from tests.algorithms.support import timeless
from tests.support import offline
from tunerl.errors import InvalidInput
from tunerl.trial import ReplicaId

minari = pytest.importorskip("minari")


@pytest.fixture(params=["hdf5", "arrow"])
def dataset(
    request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, offline.Columns]:
    """The name of a small dataset, and what is in it."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = gymnasium.make("CartPole-v1")
    columns = offline.play(env, 3, lambda obs, generator: int(generator.integers(2)))
    buffers = []
    for number in range(3):
        own = {name: column[columns["eps_id"] == number] for name, column in columns.items()}
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=number,
                observations=np.concatenate([own["obs"], own["new_obs"][-1:]]),
                actions=own["actions"],
                rewards=own["rewards"].tolist(),
                terminations=own["terminateds"].tolist(),
                truncations=own["truncateds"].tolist(),
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "cartpole/random-v0", buffers, env="CartPole-v1", data_format=request.param
        )
    return "cartpole/random-v0", columns


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_of_minari_is_read_and_learned_from(
    dataset: tuple[str, offline.Columns],
) -> None:
    name, columns = dataset
    found = load(f"minari://{name}")
    for column in ("obs", "new_obs", "actions", "rewards", "terminateds", "truncateds", "eps_id"):
        np.testing.assert_array_equal(getattr(found, column), columns[column])
    assert found.observation_space == gymnasium.make("CartPole-v1").observation_space
    config = {"input_": f"minari://{name}", "dataset_num_iters_per_learner": 2}
    pack = SPEC.open(SPEC.resolve(config))
    pack.join(ReplicaId(0, 0), config, 0)
    assert timeless(pack.step()[ReplicaId(0, 0)])["training_iteration"] == 1
    pack.close()


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="minari://nothing/here-v0 cannot be read"):
        load("minari://nothing/here-v0")
