"""Replay buffers: rings, n-step returns at the ends of episodes, priorities; all worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.core.collecting.replay import Replay, Samples

GAMMA = 0.5


def replay(capacity: int = 8, envs: int = 1, rows: int = 1, prioritized: bool = False) -> Replay:
    made = Replay(capacity, envs, np.zeros(1, np.float32), np.zeros((), np.int64),
                  prioritized=prioritized)  # fmt: skip
    for _ in range(rows):
        made.add_row()
    return made


def put(made: Replay, number: int, *, end: str = "", valid: Any = True, final: float = 0.5) -> None:
    """Transition `number` of every ring: seen number, done number, reward 10**number; what follows
    is number + 1, or at an episode's end number + `final`."""
    size = (len(made.places), made.num_envs)
    scalars = np.zeros((*size, 3), np.float32)
    scalars[..., 0] = 10.0**number
    scalars[..., 1], scalars[..., 2] = end == "terminated", end != ""
    steps = {
        "obs": np.full((*size, 1), number, np.float32),
        "next_obs": np.full((*size, 1), number + (final if end else 1.0), np.float32),
        "actions": np.full(size, number),
        "scalars": scalars,
    }
    made.add(steps, np.broadcast_to(np.asarray(valid), size))


def sample(made: Replay, uniform: list[float], n: int = 1, row: int = 0, **more: Any) -> Samples:
    numbers = np.array([uniform])
    return made.sample(
        np.array([row]),
        numbers,
        steps=np.full(numbers.shape, n),
        gamma=np.array([GAMMA], np.float32),
        **more,
    )


def newest(made: Replay, age: int, n: int, **more: Any) -> tuple[float, float, float, float]:
    """Observation, reward, next observation, discount of the transition of that age."""
    found = sample(made, [(age + 0.5) / int(made.stored[0])], n, **more)
    return (
        float(found.obs[0, 0, 0]),
        float(found.rewards[0, 0]),
        float(found.next_obs[0, 0, 0]),
        float(found.discounts[0, 0]),
    )


def test_a_single_step_is_given_back_as_it_was() -> None:
    made = replay()
    for number in range(3):
        put(made, number)
    assert newest(made, 1, 1) == (1.0, 10.0, 2.0, 0.5)
    assert sample(made, [0.4]).actions.tolist() == [[1]]


def test_n_steps_sum_up_discounted_rewards() -> None:
    made = replay()
    for number in range(4):
        put(made, number)
    # 1 + 10 / 2 + 100 / 4 and what came after the third step, for gamma^3
    assert newest(made, 3, 3) == (0.0, 31.0, 3.0, 0.125)


def test_n_steps_stop_at_the_newest_transition() -> None:
    made = replay()
    for number in range(3):
        put(made, number)
    assert newest(made, 1, 3) == (1.0, 10 + 50.0, 3.0, 0.25)
    assert newest(made, 0, 3) == (2.0, 100.0, 3.0, 0.5)


@pytest.mark.parametrize(("end", "discount"), [("terminated", 0.0), ("truncated", 0.25)])
def test_n_steps_do_not_cross_the_end_of_an_episode(end: str, discount: float) -> None:
    made = replay()
    put(made, 0)
    put(made, 1, end=end)  # its final observation is 1.5
    put(made, 2)
    put(made, 3)
    assert newest(made, 3, 3) == (0.0, 1 + 5.0, 1.5, discount)
    assert newest(made, 2, 3) == (1.0, 10.0, 1.5, 2 * discount)
    assert newest(made, 1, 3) == (2.0, 100 + 500.0, 4.0, 0.25)


def test_n_steps_never_look_beyond_the_room_there_is() -> None:
    made = replay(capacity=1000)
    for number in range(256):  # all the room that there is at first
        put(made, number % 3)
    assert made.data["obs"].shape[1] == 256
    assert newest(made, 0, 3) == (0.0, 1.0, 1.0, 0.5)


def test_each_sample_has_its_own_n() -> None:
    made = replay()
    for number in range(4):
        put(made, number)
    found = made.sample(
        np.array([0]),
        np.full((1, 3), 0.9),
        steps=np.array([[1, 2, 3]]),
        gamma=np.array([GAMMA], np.float32),
    )
    assert found.rewards.tolist() == [[1.0, 6.0, 31.0]]
    assert found.next_obs[0, :, 0].tolist() == [1.0, 2.0, 3.0]


def test_the_oldest_are_overwritten_and_returns_go_on_over_the_seam() -> None:
    made = replay(capacity=4)
    for number in range(6):
        put(made, number)
    assert made.stored.tolist() == [4]
    assert newest(made, 3, 3)[:1] == (2.0,)
    assert newest(made, 3, 3)[1:] == (100 + 500 + 2500.0, 5.0, 0.125)


def test_all_transitions_are_equally_likely() -> None:
    made = replay(capacity=6, envs=2)
    for number in range(5):
        put(made, number)
    found = sample(made, list((np.arange(600) + 0.5) / 600))
    assert np.bincount(found.actions[0]).tolist() == [0, 0, 200, 200, 200]


def test_steps_that_only_reset_are_not_stored() -> None:
    made = replay(envs=2)
    put(made, 0, end="truncated")
    put(made, 1, valid=[[False, True]])
    put(made, 2)
    assert made.stored.tolist() == [5]
    found = sample(made, list((np.arange(500) + 0.5) / 500), 3)
    assert np.bincount(found.actions[0]).tolist() == [200, 100, 200]
    seen = {(o, r) for o, r in zip(found.obs[0, :, 0], found.rewards[0], strict=True)}
    assert seen == {(0.0, 1.0), (1.0, 60.0), (2.0, 100.0)}


def test_memory_grows_with_what_is_stored_up_to_the_capacity() -> None:
    made = replay(capacity=1000, prioritized=True)
    assert made.data["obs"].shape[1] == 256
    for number in range(600):
        put(made, number % 5)
    assert made.data["obs"].shape[1] == 1000
    assert made.stored.tolist() == [600]
    assert made.trees is not None
    sample(made, [0.5], beta=np.ones(1, np.float32))
    assert made.trees.totals(made.places) == [600.0]


def test_observations_keep_their_type() -> None:
    made = Replay(4, 1, np.zeros((2, 2), np.uint8), np.zeros(3, np.float32), prioritized=False)
    made.add_row()
    assert made.data["obs"].dtype == made.data["next_obs"].dtype == np.uint8
    assert made.data["actions"].shape == (1, 4, 1, 3)


def test_rewards_are_scaled_and_clipped_one_by_one() -> None:
    made = replay()
    for number in range(3):
        put(made, number)
    scale = np.array([0.2], np.float32)
    found = sample(made, [0.9], 3, reward_scale=scale)
    assert found.rewards[0, 0] == pytest.approx(0.2 + 0.5 * 2.0 + 0.25 * 10.0)


def test_priorities_decide_how_often_and_weights_make_up_for_it() -> None:
    made = replay(prioritized=True)
    for number in range(4):
        put(made, number)
    beta = np.array([0.5], np.float32)
    even = sample(made, [0.5] * 4, beta=beta)
    assert even.actions.tolist() == [[0, 1, 2, 3]]  # one of each stratum
    assert even.weights is not None
    assert even.weights.tolist() == [[1, 1, 1, 1]]
    rows = np.array([0])
    made.set_priorities(rows, even.leaf, np.array([[1.0, 4.0, 9.0, 16.0]]), np.array([0.5]))
    found = sample(made, [0.5] * 1000, beta=beta)
    shares = np.bincount(found.actions[0]) / 1000
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4], atol=1e-3)
    assert found.weights is not None
    # (N p)^-beta over the largest: p = 0.1, 0.2, 0.3, 0.4
    wanted = np.array([0.4, 0.8, 1.2, 1.6]) ** -0.5 / 0.4**-0.5
    np.testing.assert_allclose(found.weights[0], wanted[found.actions[0]], rtol=1e-6)


def test_new_transitions_have_the_highest_priority_so_far() -> None:
    made = replay(prioritized=True)
    put(made, 0)
    first = sample(made, [0.5], beta=np.ones(1, np.float32))
    made.set_priorities(np.array([0]), first.leaf, np.array([[3.0]]), np.array([1.0]))
    put(made, 1)
    assert made.read(0)["priorities"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("prioritized", [False, True])
def test_a_row_read_and_restored_gives_the_same_samples(prioritized: bool) -> None:
    made = replay(capacity=700, envs=2, rows=3, prioritized=prioritized)
    for number in range(500):
        put(made, number % 3, end="terminated" if number % 7 == 6 else "")
    beta = np.array([0.4], np.float32) if prioritized else None
    uniform = list(np.random.default_rng(0).random(16))
    if prioritized:
        found = sample(made, uniform, beta=beta, row=1)
        errors = np.arange(1.0, 17.0)[None]
        made.set_priorities(np.array([1]), found.leaf, errors, np.array([0.7]))
    state = made.read(1)
    other = replay(capacity=700, envs=2, rows=1, prioritized=prioritized)
    assert other.fits(state)
    other.add_row(state)
    made.remove_row(0)
    wanted = sample(made, uniform, 3, row=0, beta=beta)
    got = sample(other, uniform, 3, row=1, beta=beta)
    for a, b in zip(wanted, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_of_another_shape_does_not_fit() -> None:
    made = replay()
    put(made, 0)
    state = made.read(0)
    assert replay().fits(state)
    assert not replay(envs=2).fits(state)
    assert not replay(prioritized=True).fits(state)
    assert not replay().fits({name: state[name] for name in state if name != "added"})


def test_a_slot_is_used_again_without_a_trace_of_who_was_there() -> None:
    made = replay(rows=2, prioritized=True)
    for number in range(4):
        put(made, number)
    made.remove_row(0)
    made.add_row()
    assert made.stored.tolist() == [4, 0]
    put(made, 5)
    found = sample(made, [0.1, 0.9], row=1, beta=np.ones(1, np.float32))
    assert found.actions.tolist() == [[5, 5]]


def test_cut_ends_episodes_that_do_not_go_on() -> None:
    made = replay(envs=2)
    put(made, 0)
    made.cut(0, np.array([[1.0], [7.0]], np.float32))  # the first goes on with 1
    put(made, 1)
    found = sample(made, [0.2, 0.3, 0.7, 0.8], 2)
    seen = {(o, r) for o, r in zip(found.obs[0, :, 0], found.rewards[0], strict=True)}
    assert seen == {(0.0, 6.0), (1.0, 10.0), (0.0, 1.0)}
