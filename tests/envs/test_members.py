"""Environments stepped one by one: in this process, in another, and on EnvPool."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms.core.envs import EnvState, PackEnvs, make, sub_seeds
from tests.envs.zoo import DICT_SPACE, Walk
from tunerl.errors import InvalidConfig

E = 2


def through_json(state: EnvState) -> EnvState:
    arrays, values = state
    return {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(values))


def actions_for(envs: PackEnvs, rng: np.random.Generator, rows: int) -> np.ndarray:
    space = envs.single_action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(0, int(space.n), (rows, E))
    return rng.uniform(-1, 1, (rows, E, *space.shape)).astype(np.float32)


def assert_equal_step(one: Any, row: int, other: Any, other_row: int) -> None:
    for name in ("obs", "reward", "terminated", "truncated", "valid"):
        assert np.array_equal(getattr(one, name)[row], getattr(other, name)[other_row]), name


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_sync_equals_batched(env_id: str) -> None:
    config = {"max_episode_steps": 15}
    backends = [make(env_id, config, E, vectorize_mode=mode) for mode in ("batched", "sync")]
    for envs in backends:
        envs.add(3)
        envs.add(4)
    assert np.array_equal(backends[0].obs, backends[1].obs)
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = actions_for(backends[0], rng, 2)
        one, other = (envs.step(actions) for envs in backends)
        np.testing.assert_allclose(one.obs, other.obs, atol=1e-6)
        np.testing.assert_allclose(one.reward, other.reward, rtol=1e-6)
        done = one.terminated | one.truncated
        assert np.array_equal(done, other.terminated | other.truncated)
        np.testing.assert_allclose(one.final_obs[done], other.final_obs[done], atol=1e-6)


def test_async_equals_sync_and_resumes_in_either() -> None:
    modes = ("sync", "async")
    backends = [make(Walk, {"length": 5}, E, vectorize_mode=mode) for mode in modes]
    try:
        for envs in backends:
            envs.add(3)
            envs.add(4)
        assert np.array_equal(backends[0].obs, backends[1].obs)
        rng = np.random.default_rng(0)
        for step in range(30):
            if step == 12:
                for envs in backends:
                    envs.remove(0)
            if step == 17:  # each goes on from the other's state
                states = [through_json(envs.read(0)) for envs in backends]
                for envs, state in zip(backends, reversed(states), strict=True):
                    envs.remove(0)
                    envs.add(77, state)
            rows = len(backends[0])
            actions = actions_for(backends[0], rng, rows)
            one, other = (envs.step(actions) for envs in backends)
            for row in range(rows):
                assert_equal_step(one, row, other, row)
    finally:
        for envs in backends:
            envs.close()


@pytest.mark.parametrize("config", [{}, {"draws": "space"}], ids=["np_random", "space"])
@pytest.mark.parametrize("before", [0, 3, 7, 20])
def test_a_resumed_row_goes_on_the_same(config: dict[str, Any], before: int) -> None:
    envs = make(Walk, config, E)
    envs.add(1)
    rng = np.random.default_rng(0)
    for _ in range(before):
        envs.step(actions_for(envs, rng, 1))
    envs.add(5, through_json(envs.read(0)))
    for _ in range(30):
        one = actions_for(envs, rng, 1)
        batch = envs.step(np.concatenate([one, one]))
        assert_equal_step(batch, 0, batch, 1)


def test_an_environment_that_cannot_be_replayed_starts_afresh_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    envs = make(Walk, {"draws": "global"}, E)
    envs.add(1)
    envs.step(np.zeros((1, E), int))
    with caplog.at_level(logging.WARNING):
        envs.add(1, envs.read(0))
    assert "fresh episode" in caplog.text
    assert (envs.obs[1, :, 1] == 0).all()  # no step was taken yet


def test_long_episodes_are_not_replayed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("algorithms.core.envs.replay.MAX_REPLAY", 10)
    envs = make(Walk, {"length": 1000}, E)
    envs.add(1)
    for _ in range(30):
        envs.step(np.zeros((1, E), int))
    arrays, _ = state = envs.read(0)
    assert len(arrays["actions.0"]) == 11
    envs.add(1, state)
    assert "longer than" in caplog.text
    assert (envs.obs[1, :, 1] == 0).all()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("fault", ["fail_at", "nan_at"])
def test_a_fault_fails_its_own_row_until_it_is_removed(mode: str, fault: str) -> None:
    envs = make(Walk, {fault: 2, "mark": sub_seeds(8, E)[1], "length": 99}, E, vectorize_mode=mode)
    quiet = make(Walk, {"length": 99}, E)
    try:
        for seed in (7, 8, 9):
            envs.add(seed)
            quiet.add(seed)
        for step in range(4):
            batch, expected = envs.step(np.ones((3, E), int)), quiet.step(np.ones((3, E), int))
            assert list(batch.error) == ([1] if step >= 1 else [])
            assert_equal_step(batch, 0, expected, 0)
            assert_equal_step(batch, 2, expected, 2)
        message = "fell off the line" if fault == "fail_at" else "NaN"
        assert message in str(batch.error[1])
        envs.remove(1)
        quiet.remove(1)
        batch, expected = envs.step(np.ones((2, E), int)), quiet.step(np.ones((2, E), int))
        assert not batch.error
        assert_equal_step(batch, 1, expected, 1)
    finally:
        envs.close()


def test_a_hanging_environment_fails_its_own_row_when_its_time_is_up() -> None:
    config = {"hang_at": 2, "mark": sub_seeds(8, E)[0]}
    envs = make(Walk, config, E, vectorize_mode="async", step_timeout=2.0)
    try:
        envs.add(7)
        envs.add(8)
        assert not envs.step(np.zeros((2, E), int)).error
        batch = envs.step(np.zeros((2, E), int))
        assert list(batch.error) == [1]
        assert "did not answer within 2 seconds (env_step_timeout_s)" in str(batch.error[1])
        envs.remove(1)
        assert not envs.step(np.zeros((1, E), int)).error
    finally:
        envs.close()


def test_a_number_that_is_not_finite_is_named() -> None:
    envs = make(Walk, {"nan_at": 1, "mark": sub_seeds(8, E)[1]}, E)
    envs.add(8)
    error = envs.step(np.zeros((1, E), int)).error[0]
    assert "nan: element 0 of the observation of sub-environment 1" in str(error)
    envs.close()


def test_a_dead_process_fails_its_own_row() -> None:
    config = {"die_at": 1, "mark": sub_seeds(8, E)[0]}
    envs = make(Walk, config, E, vectorize_mode="async")
    try:
        envs.add(7)
        envs.add(8)
        batch = envs.step(np.zeros((2, E), int))
        assert list(batch.error) == [1]
        assert "exit code 3" in str(batch.error[1])
        envs.remove(1)
        assert not envs.step(np.zeros((1, E), int)).error
    finally:
        envs.close()


def test_creators_get_the_index_of_the_sub_environment_and_never_the_row() -> None:
    made: list[Walk] = []

    def creator(config: dict[str, Any]) -> Walk:
        made.append(Walk(config))
        return made[-1]

    envs = make(creator, {"length": 3}, E)
    envs.add(1)
    envs.add(2)
    probe, *members = made
    assert probe.closed
    assert [env.index for env in members] == [0, 1, 0, 1]
    assert {env.worker for env in members} == {0}
    assert members[0].config == {"length": 3}
    envs.remove(0)
    assert [env.closed for env in members] == [True, True, False, False]


def test_dictionaries_arrive_as_vectors() -> None:
    envs = make(Walk, {"observation_space": DICT_SPACE}, E)
    envs.add(1)
    assert envs.obs.shape == (1, E, 3)
    assert envs.obs.dtype == np.float32
    batch = envs.step(np.zeros((1, E), int))
    assert np.array_equal(batch.obs[0, :, 1:], [[0, 1], [0, 1]])  # one-hot of an odd step


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1"])
def test_envpool_resumes_by_replay_and_masks_its_reset_steps(env_id: str) -> None:
    pytest.importorskip("envpool")
    limit = 9
    envs = make(env_id, {"max_episode_steps": limit}, E, vectorize_mode="envpool")
    envs.add(1)
    envs.add(2)
    assert not np.array_equal(envs.obs[0], envs.obs[1])
    rng = np.random.default_rng(0)
    before = np.zeros((2, E), bool)
    elapsed = np.zeros((2, E), int)
    for step in range(40):
        batch = envs.step(actions_for(envs, rng, 2))
        assert np.array_equal(batch.valid, ~before), step
        elapsed = np.where(batch.valid, elapsed + 1, 0)
        assert (batch.reward[~batch.valid] == 0).all()
        assert np.array_equal(batch.truncated, (elapsed >= limit) & ~batch.terminated)
        before = batch.terminated | batch.truncated
        assert np.array_equal(batch.final_obs[before], batch.obs[before])
    envs.add(5, through_json(envs.read(1)))
    for _ in range(30):
        actions = actions_for(envs, rng, 3)
        actions[2] = actions[1]
        batch = envs.step(actions)
        assert_equal_step(batch, 1, batch, 2)
    envs.close()


def test_envpool_cartpole_ends_as_gymnasium_does() -> None:
    """EnvPool's flags were wrong at times: compare the ends of episodes that balance to the end."""
    pytest.importorskip("envpool")
    envs = make("CartPole-v1", {"max_episode_steps": 60}, E, vectorize_mode="envpool")
    envs.add(1)
    single = gymnasium.make("CartPole-v1", max_episode_steps=60)
    single.reset(seed=0)
    fell = ended = 0
    start = envs.obs[0, 0].copy()
    single.unwrapped.state = start.astype(np.float64)
    rng = np.random.default_rng(0)
    good = True
    for _ in range(600):
        obs = envs.obs[0, 0]
        action = int(obs[2] + 0.3 * obs[3] > 0) if good else int(rng.integers(2))
        batch = envs.step(np.full((1, E), action))
        if not batch.valid[0, 0]:
            single.reset()
            single.unwrapped.state = batch.obs[0, 0].astype(np.float64)
            continue
        _, reward, terminated, truncated, _ = single.step(action)
        assert batch.reward[0, 0] == reward
        assert (batch.terminated[0, 0], batch.truncated[0, 0]) == (terminated, truncated)
        if terminated or truncated:
            good = not good
        fell += terminated
        ended += truncated
    assert fell
    assert ended
    envs.close()


def test_envpool_says_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("envpool")
    with pytest.raises(InvalidConfig, match="'CartPole-v1'"):
        make("CartPol-v1", {}, 1, vectorize_mode="envpool")
    with pytest.raises(InvalidConfig, match="bogus"):
        make("CartPole-v1", {"bogus": 1}, 1, vectorize_mode="envpool")
    with pytest.raises(InvalidConfig, match="cannot set seed"):
        make("CartPole-v1", {"seed": 1}, 1, vectorize_mode="envpool")
    with pytest.raises(InvalidConfig, match="EnvPool's tasks only"):
        make(Walk, {}, 1, vectorize_mode="envpool")
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(InvalidConfig, match=r"pip install 'tunerl\[envpool\]'"):
        make("CartPole-v1", {}, 1, vectorize_mode="envpool")


def test_lunar_lander_of_envpool_has_usable_bounds() -> None:
    pytest.importorskip("envpool")
    envs = make("LunarLander-v3", {}, 1, vectorize_mode="envpool")
    assert not np.isfinite(envs.single_observation_space.low).any()
    envs.add(0)
    assert envs.single_observation_space.contains(envs.obs[0, 0])
    envs.close()


ORPHANS = """
import os, signal
from algorithms.core.envs import make
from tests.envs.zoo import Walk
envs = make(Walk, {}, 1, vectorize_mode="async")
for seed in range(3):
    envs.add(seed)
print(len(envs), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_end_with_a_parent_that_was_killed() -> None:
    """They hold the output open: `run` returns only when the last of them has gone."""
    script = [sys.executable, "-c", ORPHANS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout == "3\n", done.stderr
    assert done.returncode == -signal.SIGKILL
