"""Replay buffers, worked by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from algorithms.sampling import (
    EpisodeReplayBuffer,
    FifoReplayBuffer,
    PrioritizedEpisodeReplayBuffer,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    ReservoirReplayBuffer,
    SampleBatch,
    SingleAgentEpisode,
)
from algorithms.sampling.buffers import Priorities
from tunerl.errors import InvalidInput


def batch(*numbers: int, ends: tuple[int, ...] = ()) -> SampleBatch:
    return SampleBatch(obs=list(numbers), terminateds=[n in ends for n in numbers])


def stored(buffer: ReplayBuffer) -> list[list[int]]:
    return [item["obs"].tolist() for item in buffer.items]


def test_steps_overwrite_the_oldest_in_a_ring() -> None:
    buffer = ReplayBuffer(3, seed=0)
    buffer.add(batch(0, 1))
    buffer.add(batch(2, 3))
    assert sorted(x for [x] in stored(buffer)) == [1, 2, 3]
    buffer.add(batch(4))
    assert sorted(x for [x] in stored(buffer)) == [2, 3, 4]
    assert (len(buffer), buffer.steps) == (3, 3)
    assert set(buffer.sample(100)["obs"]) == {2, 3, 4}
    stats = buffer.stats()
    assert (stats["num_env_steps_added_lifetime"], stats["num_env_steps_evicted_lifetime"]) == (
        5,
        2,
    )
    assert stats["num_env_steps_sampled_lifetime"] == 100


@pytest.mark.parametrize(
    ("unit", "items"),
    [
        ("fragments", [[3, 4], [5, 6, 7]]),
        ("episodes", [[3, 4], [5], [6, 7]]),
        ("sequences", [[2], [3, 4], [5], [6, 7]]),
    ],
)
def test_items_of_other_sizes_make_room_for_what_comes(unit: str, items: list[list[int]]) -> None:
    buffer = ReplayBuffer(6, unit, sequence_length=2, seed=0)
    for part in (batch(0, 1, 2, ends=(2,)), batch(3, 4, ends=(4,)), batch(5, 6, 7, ends=(5, 7))):
        buffer.add(part)
    assert stored(buffer) == items
    drawn = buffer.sample(50)["obs"].tolist()
    assert set(drawn) == {x for item in items for x in item}


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'timesteps'"):
        ReplayBuffer(3, "timestep")
    with pytest.raises(InvalidInput, match="capacity"):
        ReplayBuffer(0)
    with pytest.raises(InvalidInput, match="does not fit"):
        ReplayBuffer(2, "fragments").add(batch(1, 2, 3))
    with pytest.raises(InvalidInput, match="empty"):
        ReplayBuffer().sample(1)
    with pytest.raises(InvalidInput, match="alpha"):
        PrioritizedReplayBuffer(alpha=-1)
    with pytest.raises(InvalidInput, match="positive"):
        PrioritizedReplayBuffer().add(batch(1), weight=0.0)


def test_a_queue_gives_each_batch_once_in_order() -> None:
    buffer = FifoReplayBuffer(10)
    for number in range(3):
        buffer.add(batch(number, number))
    assert buffer.sample(2)["obs"].tolist() == [0, 0, 1, 1]
    assert buffer.sample()["obs"].tolist() == [2, 2]
    assert buffer.sample().count == len(buffer) == buffer.steps == 0


def test_a_reservoir_keeps_each_item_with_equal_chance() -> None:
    kept: Counter[int] = Counter()
    for seed in range(400):
        buffer = ReservoirReplayBuffer(5, seed=seed)
        buffer.add(batch(*range(20)))
        assert len(buffer) == 5
        kept.update(x for [x] in stored(buffer))
    # 400 * 5 / 20 = 100 of each, deviation sqrt(400 * 1/4 * 3/4) = 8.7
    assert all(abs(kept[number] - 100) < 40 for number in range(20))


def test_priorities_are_chances() -> None:
    tree = Priorities(2.0, 3)
    tree.put([0, 1, 2], [1.0, 2.0, 3.0])  # squares 1, 4, 9
    assert tree.chances(np.arange(3)) == pytest.approx(np.array([1, 4, 9]) / 14)
    # (count * chance)^-1: 14/3, 14/12, 14/27, over the largest: 1, 1/4, 1/9
    assert tree.weights(np.arange(3), 3, 1.0) == pytest.approx([1, 1 / 4, 1 / 9])
    assert tree.weights(np.arange(3), 3, 0.5) == pytest.approx([1, 1 / 2, 1 / 3])
    drawn = Counter(tree.draw(1400, np.random.default_rng(0)).tolist())
    assert all(abs(drawn[i] - 100 * (i + 1) ** 2) <= 2 for i in range(3))  # one from each part
    tree.drop(2)
    assert set(tree.draw(100, np.random.default_rng(0)).tolist()) == {0, 1}


def test_items_are_drawn_by_priority_and_the_weights_take_it_back() -> None:
    buffer = PrioritizedReplayBuffer(4, alpha=1.0, seed=0)
    buffer.add(batch(0, 1, 2))
    drawn = buffer.sample(3)
    assert drawn["weights"].tolist() == [1, 1, 1]  # all alike
    order = {int(i): int(o) for i, o in zip(drawn["batch_indexes"], drawn["obs"], strict=True)}
    assert order == {0: 0, 1: 1, 2: 2}
    buffer.update_priorities([0, 1, 2, 9], [1.0, 1.0, 8.0, 5.0])
    drawn = buffer.sample(100, beta=1.0)
    assert Counter(drawn["obs"].tolist()) == {0: 10, 1: 10, 2: 80}
    assert dict(zip(drawn["obs"].tolist(), drawn["weights"].tolist(), strict=True)) == {
        0: 1.0,
        1: 1.0,
        2: 0.125,
    }
    buffer.add(batch(3))  # with the highest priority so far
    counts = Counter(buffer.sample(180)["obs"].tolist())
    assert counts == {0: 10, 1: 10, 2: 80, 3: 80}
    buffer.add(batch(4))  # in the place of 0
    assert 0 not in buffer.sample(100)["obs"]


@pytest.mark.parametrize("unit", ["timesteps", "episodes"])
def test_priorities_stay_with_their_items_while_others_go(unit: str) -> None:
    buffer = PrioritizedReplayBuffer(4, unit, alpha=1.0, seed=0)
    for number in range(11):
        buffer.add(batch(number, ends=(number,)), weight=float(number + 1))
    drawn = buffer.sample(8 + 9 + 10 + 11)
    assert Counter(drawn["obs"].tolist()) == {7: 8, 8: 9, 9: 10, 10: 11}
    index = drawn["batch_indexes"][drawn["obs"] == 9][0]
    buffer.update_priorities([index], [100.0])
    assert Counter(buffer.sample(128)["obs"].tolist())[9] == 100


def episode(name: str, steps: int, first: int = 0, **more: Any) -> SingleAgentEpisode:
    """Observations first, first + 1, ..., rewards 1, 2, 4, ..."""
    return SingleAgentEpisode(
        name,
        observations=[np.float32(first + t) for t in range(steps + 1)],
        actions=list(range(steps)),
        rewards=[2.0**t for t in range(steps)],
        **more,
    )


@pytest.mark.parametrize("kind", [EpisodeReplayBuffer, PrioritizedEpisodeReplayBuffer])
def test_steps_of_episodes_with_n_step_returns(kind: type[EpisodeReplayBuffer]) -> None:
    buffer = kind(100, seed=0)
    buffer.add(episode("a", 3, terminated=True))
    drawn = buffer.sample(60, n_step=2, gamma=0.5)
    rows = {int(row["obs"]): row for row in drawn.rows()}
    assert {t: float(row["rewards"]) for t, row in rows.items()} == {0: 2.0, 1: 4.0, 2: 4.0}
    assert {t: float(row["new_obs"]) for t, row in rows.items()} == {0: 2.0, 1: 3.0, 2: 3.0}
    assert {t: bool(row["terminateds"]) for t, row in rows.items()} == {0: False, 1: True, 2: True}
    assert {t: int(row["n_step"]) for t, row in rows.items()} == {0: 2, 1: 2, 2: 1}
    both = buffer.sample(200, n_step=(1, 2))
    assert set(both["n_step"][both["obs"] == 0]) == {1, 2}  # both ends are included
    with pytest.raises(InvalidInput, match="growing pair"):
        buffer.sample(1, n_step=(3, 2))


@pytest.mark.parametrize("kind", [EpisodeReplayBuffer, PrioritizedEpisodeReplayBuffer])
def test_chunks_are_joined_and_the_oldest_episodes_go(kind: type[EpisodeReplayBuffer]) -> None:
    buffer = kind(6, seed=0)
    whole = episode("a", 4)
    buffer.add([whole[:2], whole[2:]])
    assert (buffer.get_num_episodes(), buffer.get_num_timesteps(), len(buffer)) == (1, 4, 4)
    buffer.add(episode("b", 2, first=10))
    assert buffer.get_num_episodes() == 2
    buffer.add(episode("c", 1, first=20))
    assert [e.id_ for e in buffer.episodes] == ["b", "c"]
    assert set(buffer.sample(60)["obs"]) == {10, 11, 20}
    assert buffer.stats()["num_env_steps_evicted_lifetime"] == 4
    with pytest.raises(InvalidInput, match="more than the capacity"):
        buffer.add(episode("d", 7))
    with pytest.raises(InvalidInput, match="empty"):
        kind(5).sample(1)


def test_runs_of_steps_are_padded_after_an_end() -> None:
    buffer = EpisodeReplayBuffer(100, batch_size_B=40, batch_length_T=3, seed=0)
    buffer.add(episode("a", 4, truncated=True))
    drawn = buffer.sample()
    assert drawn["obs"].shape == drawn["loss_mask"].shape == (40, 3)
    for obs, mask in zip(drawn["obs"], drawn["loss_mask"], strict=True):
        start = int(obs[0])
        assert mask.tolist() == [start + i < 4 for i in range(3)]
        assert obs[mask].tolist() == list(range(start, min(start + 3, 4)))
        assert (obs[~mask] == 0).all()


def test_priorities_of_steps() -> None:
    buffer = PrioritizedEpisodeReplayBuffer(10, alpha=1.0, seed=0)
    buffer.add([episode("a", 2), episode("b", 1, first=10)])
    drawn = buffer.sample(30)
    assert Counter(drawn["obs"].tolist()) == {0: 10, 1: 10, 10: 10}
    buffer.update_priorities([8.0 if obs == 10 else 1.0 for obs in drawn["obs"]])
    assert Counter(buffer.sample(100)["obs"].tolist()) == {0: 10, 1: 10, 10: 80}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReplayBuffer(5, seed=1),
        lambda: ReplayBuffer(5, "episodes", seed=1),
        lambda: ReservoirReplayBuffer(5, seed=1),
        lambda: PrioritizedReplayBuffer(5, alpha=0.5, seed=1),
    ],
)
def test_a_state_goes_on_as_what_it_was_taken_from(make: Any) -> None:
    one, other = make(), make()
    one.add(batch(*range(8), ends=tuple(range(8))))
    one.sample(3)
    other.set_state(one.get_state())
    for buffer in (one, other):
        buffer.add(batch(100, ends=(100,)))
    assert one.sample(30)["obs"].tolist() == other.sample(30)["obs"].tolist()
    assert one.stats() == other.stats()


@pytest.mark.parametrize("kind", [EpisodeReplayBuffer, PrioritizedEpisodeReplayBuffer])
def test_so_does_one_of_episodes(kind: type[EpisodeReplayBuffer]) -> None:
    one, other = kind(6, seed=1), kind(6, seed=1)
    one.add([episode("a", 3), episode("b", 2, first=10)])
    one.sample(4)
    other.set_state(one.get_state())
    for buffer in (one, other):
        buffer.add(episode("c", 2, first=20))
    assert one.sample(30)["obs"].tolist() == other.sample(30)["obs"].tolist()
    assert one.stats() == other.stats()
