"""Batches of samples, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.sampling.batch import SampleBatch, concat_samples
from tunerl.errors import InvalidInput


def batch(**more: Any) -> SampleBatch:
    return SampleBatch({"obs": [[1, 2], [3, 4], [5, 6]], "actions": [0, 1, 0]}, **more)


def test_a_batch_counts_rows_not_columns() -> None:
    made = batch()
    assert (len(made), made.count, made.env_steps(), made.agent_steps()) == (3, 3, 3, 3)
    assert len(dict(made)) == 2
    assert made["obs"].shape == (3, 2)
    assert not SampleBatch()
    assert made.size_bytes() == made["obs"].nbytes + made["actions"].nbytes


def test_columns_of_other_lengths_and_unknown_columns_are_refused() -> None:
    made = batch()
    with pytest.raises(InvalidInput, match=r"column 'rewards' has \[2\] rows; this batch has 3"):
        made["rewards"] = [1.0, 2.0]
    with pytest.raises(InvalidInput, match="one entry a row"):
        SampleBatch(obs=3)
    with pytest.raises(KeyError, match="actions"):
        made["action"]


def test_rows_columns_and_slices() -> None:
    made = batch()
    assert [row["actions"] for row in made.rows()] == [0, 1, 0]
    obs, actions = made.columns(["obs", "actions"])
    assert obs is made["obs"]
    assert actions is made["actions"]
    assert made.slice(1, 3)["obs"].tolist() == [[3, 4], [5, 6]]
    assert made[1:]["actions"].tolist() == [1, 0]
    assert [len(part) for part in made.timeslices(2)] == [2, 1]
    with pytest.raises(InvalidInput, match="at least one row"):
        made.timeslices(0)


def test_a_copy_is_apart_and_a_shallow_one_is_not() -> None:
    made = batch()
    deep, shallow = made.copy(), made.copy(shallow=True)
    made["obs"][0] = 9
    assert deep["obs"][0].tolist() == [1, 2]
    assert shallow["obs"][0].tolist() == [9, 9]


def test_shuffling_keeps_rows_together_and_follows_its_generator() -> None:
    made = SampleBatch(obs=np.arange(50), actions=np.arange(50) * 2)
    again = made.copy().shuffle(np.random.default_rng(1))
    made.shuffle(np.random.default_rng(1))
    assert made["obs"].tolist() == again["obs"].tolist() != list(range(50))
    assert (made["actions"] == made["obs"] * 2).all()
    with pytest.raises(InvalidInput, match="sequences"):
        SampleBatch(obs=[1, 2], seq_lens=[1, 1]).shuffle()


def test_episodes_are_split_by_id_or_after_their_ends() -> None:
    made = SampleBatch(obs=np.arange(5), eps_id=["a", "a", "b", "b", "a"])
    assert [part["obs"].tolist() for part in made.split_by_episode()] == [[0, 1], [2, 3], [4]]
    ends = SampleBatch(obs=np.arange(5), terminateds=[0, 1, 0, 0, 1], truncateds=[0, 0, 1, 0, 0])
    assert [part["obs"].tolist() for part in ends.split_by_episode()] == [[0, 1], [2], [3, 4]]
    done = SampleBatch(obs=np.arange(3), dones=[False, True, False])
    assert [len(part) for part in done.split_by_episode()] == [2, 1]
    assert [len(part) for part in made.split_by_episode("obs")] == [1] * 5
    with pytest.raises(InvalidInput, match="told apart by"):
        SampleBatch(obs=[1]).split_by_episode()


def test_batches_are_put_below_one_another() -> None:
    both = SampleBatch.concat_samples([batch(), [batch().slice(0, 1)], SampleBatch()])
    assert both["actions"].tolist() == [0, 1, 0, 0]
    assert batch().concat(batch())["obs"].shape == (6, 2)
    assert concat_samples([]).count == 0
    with pytest.raises(InvalidInput, match="rewards"):
        concat_samples([batch(), batch(rewards=[1.0, 1.0, 1.0])])
    with pytest.raises(InvalidInput, match="no batch"):
        concat_samples([3])


def test_observations_may_be_nested() -> None:
    made = SampleBatch(obs={"x": [1, 2], "y": (np.zeros((2, 3)), [5, 6])})
    assert made.slice(1, 2)["obs"]["y"][1].tolist() == [6]
    assert made.concat(made)["obs"]["x"].tolist() == [1, 2, 1, 2]
    assert next(iter(made.rows()))["obs"]["x"] == 1
    with pytest.raises(InvalidInput, match="one length"):
        SampleBatch(obs={"x": [1, 2], "y": [1]})


def test_infos_stay_dictionaries() -> None:
    made = SampleBatch(obs=[1, 2], infos=[{"a": 1}, {}])
    assert made["infos"].dtype == object
    assert made.slice(0, 1)["infos"][0] == {"a": 1}
