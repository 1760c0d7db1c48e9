"""Episodes step by step: indices, chunks, lookback, state; all by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from algorithms.sampling.episode import SingleAgentEpisode
from tunerl.errors import InvalidInput


def episode(steps: int = 4, **more: Any) -> SingleAgentEpisode:
    """Observations 0, 1, ..., actions 10, 11, ..., rewards 0.5 each, output v: 100, 101, ..."""
    made = SingleAgentEpisode("e", **more)
    made.add_env_reset(0, {"first": True})
    for t in range(steps):
        made.add_env_step(t + 1, 10 + t, 0.5, extra_model_outputs={"v": 100 + t})
    return made


def test_an_episode_grows_step_by_step() -> None:
    made = SingleAgentEpisode()
    assert not made.is_reset
    made.add_env_reset(np.zeros(2))
    assert (made.is_reset, len(made), made.t) == (True, 0, 0)
    made.add_env_step(np.ones(2), 1, 2.0, {"i": 1})
    made.add_env_step(np.ones(2) * 2, 0, 3.0, terminated=True)
    assert (len(made), made.t, made.env_steps(), made.get_return()) == (2, 2, 2, 5.0)
    assert made.is_done
    assert made.is_terminated
    assert made.get_infos() == [{}, {"i": 1}, {}]
    assert bool(SingleAgentEpisode())


def test_what_does_not_fit_is_refused() -> None:
    made = SingleAgentEpisode()
    with pytest.raises(InvalidInput, match="no first observation"):
        made.add_env_step(1, 1, 1.0)
    made.add_env_reset(0)
    with pytest.raises(InvalidInput, match="begun already"):
        made.add_env_reset(0)
    made.add_env_step(1, 1, 1.0, truncated=True)
    with pytest.raises(InvalidInput, match="over"):
        made.add_env_step(1, 1, 1.0)
    with pytest.raises(InvalidInput, match="nothing follows"):
        made.cut()
    with pytest.raises(InvalidInput, match="one observation and info more"):
        SingleAgentEpisode(observations=[1, 2], actions=[1, 2], rewards=[1, 2])
    numpy = episode().to_numpy()
    with pytest.raises(InvalidInput, match="arrays already"):
        numpy.add_env_step(1, 1, 1.0)
    with pytest.raises(InvalidInput, match="rewards"):
        SingleAgentEpisode(observations=[1, 2], actions=[1], rewards=[])


@pytest.mark.parametrize("numpy", [False, True])
def test_indices_slices_and_lists(numpy: bool) -> None:
    made = episode()
    if numpy:
        made.to_numpy()

    def plain(value: Any) -> Any:
        return np.asarray(value).tolist()

    assert plain(made.get_observations()) == [0, 1, 2, 3, 4]
    assert [made.observations[-1], *made.observations, *made.actions[1:3]] == [
        4, 0, 1, 2, 3, 4, 11, 12,
    ]  # fmt: skip
    assert plain(made.get_actions(0)) == 10
    assert plain(made.get_actions(-1)) == 13
    assert plain(made.get_actions(slice(1, 3))) == [11, 12]
    assert plain(made.get_observations(slice(-2, None))) == [3, 4]
    assert plain(made.get_rewards([0, -1])) == [0.5, 0.5]
    assert plain(made.get_extra_model_outputs("v", slice(None, None, 2))) == [100, 102]
    assert plain(made.get_extra_model_outputs(indices=1)["v"]) == 101
    with pytest.raises(IndexError, match="nothing at 4; 4 are there"):
        made.get_actions(4)
    with pytest.raises(KeyError, match="v"):
        made.get_extra_model_outputs("w")


@pytest.mark.parametrize("numpy", [False, True])
def test_a_chunk_remembers_what_was_before_it(numpy: bool) -> None:
    made = episode().cut(len_lookback_buffer=2)
    assert (made.id_, made.t_started, made.t, len(made)) == ("e", 4, 4, 0)
    made.add_env_step(5, 14, 0.5, extra_model_outputs={"v": 104})
    if numpy:
        made.to_numpy()
    assert list(made.get_observations()) == [4, 5]
    assert list(made.get_actions()) == [14]
    assert made.get_actions(-1) == 14
    assert made.get_actions(-1, neg_index_as_lookback=True) == 13
    assert list(made.get_observations(slice(-2, 1), neg_index_as_lookback=True)) == [2, 3, 4]
    assert made.get_actions(-2) == 13  # from the end, into the lookback
    filled = made.get_actions(slice(-4, 1), neg_index_as_lookback=True, fill=-7)
    assert list(filled) == [-7, -7, 12, 13, 14]
    assert made.get_return() == 0.5


def test_slices_are_chunks_of_their_own() -> None:
    made = episode()
    made.is_truncated = True
    part = made[1:3]
    assert (part.t_started, part.t, part.is_done) == (1, 3, False)
    assert list(part.get_observations()) == [1, 2, 3]
    assert list(part.get_extra_model_outputs("v")) == [101, 102]
    last = made.slice(slice(-1, None), len_lookback_buffer=2)
    assert (last.t_started, last.is_truncated) == (3, True)
    assert list(last.get_actions(slice(-2, None), neg_index_as_lookback=True)) == [11, 12, 13]
    with pytest.raises(InvalidInput, match="stride"):
        made[::2]


@pytest.mark.parametrize("numpy", [(False, False), (True, True), (True, False), (False, True)])
def test_a_chunk_and_what_follows_are_one_again(numpy: tuple[bool, bool]) -> None:
    whole = episode(6)
    first, second = whole[:4], whole[4:]
    second.is_terminated = True
    for part, arrays in zip((first, second), numpy, strict=True):
        if arrays:
            part.to_numpy()
    first.concat_episode(second)
    assert (len(first), first.is_terminated) == (6, True)
    assert list(first.get_observations()) == list(range(7))
    assert list(first.get_extra_model_outputs("v")) == [100, 101, 102, 103, 104, 105]
    with pytest.raises(InvalidInput, match="does not follow"):
        first.concat_episode(second)


def test_outputs_come_along_into_a_chunk_that_had_no_step_yet() -> None:
    whole = episode(2)
    start = whole[:0]
    start.extra_model_outputs = {}
    start.concat_episode(whole)
    assert list(start.get_extra_model_outputs("v")) == [100, 101]


def test_state_goes_and_comes_back() -> None:
    for made in (episode(), episode(2).to_numpy(), episode().cut(1)):
        again = SingleAgentEpisode.from_state(made.get_state())
        assert repr(again) == repr(made)
        assert list(again.get_observations()) == list(made.get_observations())
        assert again.get_infos() == made.get_infos()
        assert again.get_state().keys() == made.get_state().keys()


def test_one_hot_of_discrete_values() -> None:
    made = episode(2, action_space=spaces.Discrete(3, start=10))
    assert made.get_actions(1, one_hot_discrete=True).tolist() == [0, 1, 0]
    hot = made.get_actions(slice(-3, None), one_hot_discrete=True, fill=0.0)
    assert np.array(hot).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_as_a_batch_one_row_a_step() -> None:
    made = episode(3)
    made.is_terminated = True
    batch = made[1:].get_sample_batch()
    assert batch["obs"].tolist() == [1, 2]
    assert batch["new_obs"].tolist() == [2, 3]
    assert batch["actions"].tolist() == [11, 12]
    assert batch["terminateds"].tolist() == [False, True]
    assert batch["t"].tolist() == [1, 2]
    assert batch["v"].tolist() == [101, 102]
    assert set(batch["eps_id"]) == {"e"}


def test_nested_observations() -> None:
    made = SingleAgentEpisode()
    made.add_env_reset({"x": np.zeros(2), "y": 0})
    made.add_env_step({"x": np.ones(2), "y": 1}, 0, 1.0)
    assert made.to_numpy().get_observations(slice(1, None))["x"].tolist() == [[1, 1]]
    assert made.get_observations(5, fill=3.0)["x"].tolist() == [3, 3]
    assert made.get_sample_batch()["new_obs"]["y"].tolist() == [1]
