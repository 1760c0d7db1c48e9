"""Our batched environments against Gymnasium's, step by step."""

from __future__ import annotations

import json
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms.core.envs import EnvState, PackEnvs, make, sub_seeds
from algorithms.core.envs.catalogue import BATCHED_IDS

K, E, STEPS = 2, 2, 2000
SEEDS = (7, 9)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("CartPole-v0", {}),
    ("CartPole-v1", {}),
    ("CartPole-v1", {"sutton_barto_reward": True, "max_episode_steps": 12}),
    ("Acrobot-v1", {}),
    ("Acrobot-v1", {"max_episode_steps": 40}),
    ("MountainCar-v0", {}),
    ("MountainCar-v0", {"goal_velocity": 0.05}),
    ("MountainCarContinuous-v0", {}),
    ("MountainCarContinuous-v0", {"max_episode_steps": 25}),
    ("Pendulum-v1", {}),
    ("Pendulum-v1", {"g": 9.81}),
]


def build(env_id: str, config: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> PackEnvs:
    envs = make(env_id, config, E, vectorize_mode="batched")
    for seed in seeds:
        envs.add(seed)
    return envs


def random_actions(envs: PackEnvs, rng: np.random.Generator, rows: int) -> np.ndarray:
    space = envs.single_action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(0, int(space.n), (rows, E))
    bound = 1.3 * float(space.high[0])  # beyond the bounds as well
    return rng.uniform(-bound, bound, (rows, E, 1)).astype(np.float32)


def follow(env: gymnasium.Env[Any, Any], obs: np.ndarray, envs: Any, index: int) -> None:
    """Acrobot is chaotic: put Gymnasium's state where ours is, so that each step counts alone."""
    if env.unwrapped.__class__.__name__ == "AcrobotEnv":
        env.unwrapped.state = envs._state[:, index].copy()


@pytest.mark.parametrize(("env_id", "config"), CASES, ids=lambda case: str(case))
def test_trajectories_equal_gymnasium(env_id: str, config: dict[str, Any]) -> None:
    envs = build(env_id, config)
    with warnings.catch_warnings():  # of ids that have a newer version
        warnings.simplefilter("ignore")
        singles = [gymnasium.make(env_id, **config) for _ in range(K * E)]
    seeds = [seed for member in SEEDS for seed in sub_seeds(member, E)]
    starts = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
    assert np.array_equal(envs.obs.reshape(K * E, -1), starts)
    rng = np.random.default_rng(0)
    ends = 0
    for step in range(STEPS):
        # every second hundred of steps pushes one way, so that goals and walls are reached
        actions = random_actions(envs, rng, K)
        if step % 200 >= 100:
            actions[:] = actions[0, 0]
        batch = envs.step(actions)
        assert batch.valid.all()
        assert not batch.error
        for i, env in enumerate(singles):
            at = divmod(i, E)
            action = actions[at] if actions.ndim == 3 else int(actions[at])
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (terminated, truncated) == (batch.terminated[at], batch.truncated[at])
            assert batch.reward[at] == pytest.approx(float(reward), rel=1e-6, abs=1e-6)
            if terminated or truncated:
                ends += 1
                np.testing.assert_allclose(batch.final_obs[at], obs, rtol=0, atol=1e-6)
                obs, _ = env.reset()
                assert np.array_equal(batch.obs[at], obs), "a start differs"
            else:
                np.testing.assert_allclose(batch.obs[at], obs, rtol=0, atol=1e-6)
                follow(env, obs, envs, i)
    assert ends > K


@pytest.mark.parametrize("env_id", BATCHED_IDS)
def test_a_row_does_not_depend_on_its_neighbours(env_id: str) -> None:
    alone, crowd = (
        build(env_id, {"max_episode_steps": 37}, (5,)),
        build(env_id, {"max_episode_steps": 37}, (1, 2, 5)),
    )
    rng = np.random.default_rng(1)
    row = 2
    for step in range(150):
        if step == 50:
            crowd.remove(0)
            row = 1
        if step == 100:
            crowd.add(11)
        actions = random_actions(crowd, rng, len(crowd))
        one, many = alone.step(actions[row : row + 1]), crowd.step(actions)
        assert np.array_equal(one.obs[0], many.obs[row])
        assert np.array_equal(one.reward[0], many.reward[row])
        assert np.array_equal(one.terminated[0], many.terminated[row])
        assert np.array_equal(one.truncated[0], many.truncated[row])


@pytest.mark.parametrize("env_id", BATCHED_IDS)
@pytest.mark.parametrize("before", [0, 1, 33, 500])
def test_a_row_resumed_from_its_state_goes_on_the_same(env_id: str, before: int) -> None:
    envs = build(env_id, {"max_episode_steps": 11}, (3, 4))
    rng = np.random.default_rng(2)
    for _ in range(before):
        envs.step(random_actions(envs, rng, 2))
    resumed = build(env_id, {"max_episode_steps": 11}, (8,))
    resumed.add(99, through_json(envs.read(1)))
    assert np.array_equal(resumed.obs[1], envs.obs[1])
    for _ in range(400):
        actions = random_actions(envs, rng, 2)
        one, other = envs.step(actions), resumed.step(actions)
        for name in ("obs", "reward", "terminated", "truncated"):
            assert np.array_equal(getattr(one, name)[1], getattr(other, name)[1]), name


def through_json(state: EnvState) -> EnvState:
    arrays, values = state
    return {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(values))


@pytest.mark.parametrize("env_id", ["MountainCarContinuous-v0", "Pendulum-v1"])
def test_a_nan_action_fails_its_own_row(env_id: str) -> None:
    envs = build(env_id, {}, (1, 2, 3))
    actions = np.zeros((3, E, 1), np.float32)
    actions[1, 1] = np.nan
    batch = envs.step(actions)
    assert list(batch.error) == [1]
    assert "NaN" in str(batch.error[1])
    assert np.isfinite(batch.obs[[0, 2]]).all()


def test_members_with_equal_seeds_are_equal_and_others_differ() -> None:
    envs = build("CartPole-v1", {}, (1, 1, 2))
    assert np.array_equal(envs.obs[0], envs.obs[1])
    assert not np.array_equal(envs.obs[0], envs.obs[2])
    assert len({tuple(start) for start in envs.obs[0]}) == E


def test_a_row_that_is_not_there_is_an_index_error() -> None:
    envs = build("CartPole-v1", {}, (1,))
    for row in (-1, 1):
        with pytest.raises(IndexError, match="no row"):
            envs.remove(row)
        with pytest.raises(IndexError, match="no row"):
            envs.read(row)


def test_a_state_of_another_size_is_refused_and_adds_no_row() -> None:
    envs = build("CartPole-v1", {}, (1,))
    other = make("CartPole-v1", {}, E + 1)
    other.add(1)
    with pytest.raises(ValueError, match=f"{E + 1} sub-environments"):
        envs.add(1, other.read(0))
    assert len(envs) == 1


def test_an_empty_pack_can_be_stepped() -> None:
    envs = build("CartPole-v1", {}, (1,))
    envs.remove(0)
    assert envs.step(np.zeros((0, E), int)).obs.shape == (0, E, 4)
