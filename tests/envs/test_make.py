"""`make`: which backend runs what, and what it says of environments that cannot be run."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from algorithms.core.envs import PackEnvs, make
from algorithms.core.envs.batched import BatchedEnvs
from tests.envs.zoo import Walk
from tunerl import registry
from tunerl.errors import InvalidConfig


def is_batched(envs: PackEnvs) -> bool:
    return isinstance(envs, BatchedEnvs)


@pytest.mark.parametrize(
    ("env_id", "config", "ours"),
    [
        ("CartPole-v1", {}, True),
        ("CartPole-v1", {"max_episode_steps": 9, "sutton_barto_reward": True}, True),
        ("CartPole-v1", {"max_episode_steps": -1}, True),
        ("CartPole-v1", {"render_mode": None}, True),
        ("CartPole-v1", {"render_mode": "rgb_array"}, False),
        ("Pendulum-v1", {"g": 3}, True),
        ("FrozenLake-v1", {}, False),
    ],
    ids=str,
)
def test_auto_takes_ours_where_id_and_arguments_are(
    env_id: str, config: dict[str, Any], ours: bool
) -> None:
    envs = make(env_id, config, 2)
    assert is_batched(envs) is ours
    envs.add(0)
    assert envs.obs.shape[:2] == (1, 2)
    if not ours:
        with pytest.raises(InvalidConfig, match="use vectorize_mode='auto'"):
            make(env_id, config, 2, vectorize_mode="batched")


def test_no_limit_never_truncates() -> None:
    envs = make("Pendulum-v1", {"max_episode_steps": -1}, 1)
    envs.add(0)
    action = np.zeros((1, 1, 1), np.float32)
    assert not any(envs.step(action).truncated.any() for _ in range(300))


def test_a_registered_name_goes_before_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_environments", {"CartPole-v1": Walk})
    envs = make("CartPole-v1", {"length": 2}, 1)
    assert envs.single_observation_space.shape == (2,)


def test_a_changed_registration_of_gymnasium_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gymnasium.spec("CartPole-v1")
    other = gymnasium.envs.registration.EnvSpec(
        id=spec.id, entry_point="tests.envs.zoo:Walk", max_episode_steps=5
    )
    monkeypatch.setitem(gymnasium.registry, spec.id, other)
    envs = make("CartPole-v1", {}, 1)
    assert not is_batched(envs)
    assert envs.single_observation_space.shape == (2,)


@pytest.mark.parametrize(
    ("env", "config", "options", "message"),
    [
        ("CartPol-v1", {}, {}, "did you mean 'CartPole-v1'"),
        ("CartPole-v77", {}, {}, "did you mean 'CartPole-v"),
        ("qqqqqqqqqq", {}, {}, "register_env"),
        ("antigravity:CartPole-v1", {}, {}, "module to import"),
        ("CartPole-v1", {"gravity": 3}, {}, "gravity"),
        ("CartPole-v1", {"max_episode_steps": 0}, {}, "max_episode_steps"),
        (3, {}, {}, "got 3"),
        ("CartPole-v1", {}, {"vectorize_mode": "fast"}, "auto, batched, envpool, sync, async"),
        ("CartPole-v1", {}, {"num_envs": 0}, "num_envs must be an integer from 1"),
        ("CartPole-v1", {}, {"num_envs": True}, "num_envs must be an integer from 1"),
    ],
    ids=str,
)
def test_bad_names_and_arguments(
    env: Any, config: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        make(env, config, **options)
    assert "antigravity" not in sys.modules


def test_a_negative_seed_is_refused() -> None:
    for env in ("CartPole-v1", Walk):
        envs = make(env, {}, 1)
        with pytest.raises(InvalidConfig, match="from 0, got -1"):
            envs.add(-1)
        assert len(envs) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [n for n in sys.modules if n.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InvalidConfig, match=r"(?i)box2d"):
        make("LunarLander-v3", {}, 1)


class OldReset(Walk):
    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0]


class NoSeed(Walk):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class OldStep(Walk):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class WrongShape(Walk):
    def _obs(self) -> Any:
        return np.zeros(3, np.float32)


class Outside(Walk):
    def _obs(self) -> Any:
        return np.full(2, 1e7, np.float32)


class NaNStart(Walk):
    def _obs(self) -> Any:
        return np.array([np.nan, 0.0], np.float32)


class TextReward(Walk):
    def step(self, action: Any) -> Any:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, "much", terminated, truncated, info


class NumberFlag(Walk):
    def step(self, action: Any) -> Any:
        obs, reward, _, truncated, info = super().step(action)
        return obs, reward, None, truncated, info


class NoSpace(Walk):
    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.action_space = None


class NotAnEnv:
    def __init__(self, config: Any) -> None:
        self.config = config


class Broken(Walk):
    def __init__(self, config: Any = None) -> None:
        raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (OldReset, r"must return \(obs, info\)"),
        (NoSeed, r"raised in reset\(seed=0\).*seed"),
        (OldStep, "terminated, truncated, info"),
        (WrongShape, r"shape \(3,\).*\(2,\)"),
        (Outside, "outside of Box"),
        (NaNStart, "NaN or infinity"),
        (TextReward, "reward 'much'"),
        (NumberFlag, "None as terminated"),
        (NoSpace, "None as its action_space"),
        (NotAnEnv, r"must derive from gymnasium\.Env"),
        (Broken, "RuntimeError: no licence"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_an_environment_that_breaks_the_rules_is_told_which(env: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        make(env, {}, 1)
    assert env.__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"observation_space": spaces.Text(4)}, "observation space Text"),
        (
            {"observation_space": spaces.Dict({"a": spaces.Sequence(spaces.Discrete(2))})},
            "observation space Sequence",
        ),
        ({"action_space": spaces.Dict({"a": spaces.Discrete(2)})}, "action space Dict"),
        ({"action_space": spaces.Box(-np.inf, np.inf, (1,))}, "finite bounds"),
    ],
    ids=str,
)
def test_spaces_that_nothing_can_use(space: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        make(Walk, space, 1)


def test_an_outdated_id_is_made_without_a_warning() -> None:
    make("CartPole-v0", {"render_mode": "rgb_array"}, 1).add(0)


def test_async_names_what_the_environment_raised_at_its_start() -> None:
    calls = []

    def creator(config: dict[str, Any]) -> Walk:
        calls.append(config)
        if len(calls) > 1:
            raise OSError("no licence left")
        return Walk(config)

    envs = make(creator, {}, 1, vectorize_mode="async")
    with pytest.raises(RuntimeError, match="OSError: no licence left"):
        envs.add(0)
    assert len(envs) == 0


class OneWay(gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """One action is allowed; the others raise."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.way, self.action_space = config["way"], config["space"]
        size = int(gymnasium.spaces.flatdim(self.action_space))
        self.flags = np.zeros(size, np.int8)
        self.flags[config["ones"]] = 1
        mask = gymnasium.spaces.MultiBinary(size)
        seen = gymnasium.spaces.Box(0.0, 1.0, (1,))
        self.observation_space = gymnasium.spaces.Dict({"flags": mask, "seen": seen})
        self.seen = {"flags": self.flags, "seen": np.zeros(1, np.float32)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.seen, {}

    def step(self, action: Any) -> Any:
        if not np.array_equal(action, self.way):
            raise ValueError(f"{action} is not the way")
        return self.seen, 0.0, True, False, {}


@pytest.mark.parametrize(
    ("space", "way", "ones"),
    [
        *((gymnasium.spaces.Discrete(4), way, [way]) for way in range(4)),
        (gymnasium.spaces.MultiDiscrete([2, 3]), [1, 0], [1, 2]),
        (gymnasium.spaces.MultiDiscrete([2, 3]), [0, 2], [0, 4]),
    ],
)
def test_an_environment_is_tried_with_an_action_that_its_mask_allows(
    space: Any, way: Any, ones: list[int]
) -> None:
    config = {"space": space, "way": way, "ones": ones}
    make(OneWay, config, 1, mask_key="flags").close()
