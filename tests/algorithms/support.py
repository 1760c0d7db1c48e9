"""Probe environments with known answers, and shorthands for packs of tiny PPO agents.

The environments are registered as ``probe/<name>`` when this module is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.ppo import SPEC
from tunerl.registry import register_env
from tunerl.trainable import Failure, State
from tunerl.trial import Metrics, ReplicaId

TINY: dict[str, Any] = {
    "env": "CartPole-v1",
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_envs_per_env_runner": 2,
    "num_epochs": 2,
    "model": {"fcnet_hiddens": [8]},
}


CONNECTORS = {"env_to_module_connector", "module_to_env_connector"}
"""See tests/sampling/test_connectors."""
RUNNERS = {
    "num_cpus_per_env_runner",
    "sample_timeout_s",
    "restart_failed_env_runners",
    "max_num_env_runner_restarts",
    "num_learners",
}
"""Settings of a lone agent's actors; see tests/sampling."""
APART = {"min_time_s_per_iteration", "custom_evaluation_function", "num_gpus_per_learner"}
"""What all algorithms have; tested in test_reporting, test_own_evaluation and test_device."""


def tiny(**changes: Any) -> dict[str, Any]:
    """A configuration whose iterations take milliseconds."""
    return {**TINY, **changes}


def open_pack(config: dict[str, Any]) -> OnPolicyPack:
    pack = SPEC.open(SPEC.resolve(config))
    assert isinstance(pack, OnPolicyPack)
    return pack


def timeless(outcome: Metrics | Failure) -> Metrics:
    """Metrics without what depends on the clock; NaN as a word, so that equal is equal."""
    assert not isinstance(outcome, Failure), outcome.traceback
    clocks = ("time_this_iter_s", "time_total_s")
    return {k: v if v == v else "NaN" for k, v in outcome.items() if k not in clocks}


def parameters(pack: OnPolicyPack, id: ReplicaId) -> torch.Tensor:
    """A copy of the member's parameters `[P]`."""
    return pack.flat[pack.ids.index(id)].clone()


def train(pack: OnPolicyPack, id: ReplicaId, iterations: int) -> list[Metrics]:
    """The metrics of one member in each of some iterations of its whole pack."""
    return [timeless(pack.step()[id]) for _ in range(iterations)]


def lone(config: dict[str, Any], seed: int, iterations: int) -> tuple[list[Metrics], State]:
    """What a replica alone in its pack reports, and its state afterwards."""
    pack, id = open_pack(config), ReplicaId(0, 0)
    pack.join(id, config, seed)
    found = train(pack, id, iterations), pack.read(id)
    pack.close()
    return found


def values(pack: OnPolicyPack, observations: Iterable[Any]) -> np.ndarray[Any, Any]:
    """What each member thinks the observations are worth: `[K, B]`."""
    obs = torch.tensor(np.array(list(observations)), dtype=torch.float32)
    with torch.no_grad():
        return pack.value(pack.flat, obs.expand(len(pack.members), *obs.shape)).numpy()


def likeliest(pack: OnPolicyPack, observations: Iterable[Any]) -> np.ndarray[Any, Any]:
    """Each member's most likely action in each of the observations: `[K, B, ...]`."""
    obs = torch.tensor(np.array(list(observations)), dtype=torch.float32)
    with torch.no_grad():
        inputs = pack.policy(pack.flat, obs.expand(len(pack.members), *obs.shape))
    return pack.distribution.mode(inputs).numpy()


class Probe(gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """Episodes of one step, observation 0, reward 1; the others bend one thing."""

    observation_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (1,))
    action_space: spaces.Space[Any] = spaces.Discrete(2)
    length = 1

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        self.seen = self.see()
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self.reward(action)
        self.time += 1
        self.seen = self.see()
        ended = self.time >= self.length
        return self.seen, reward, ended and not self.limited, ended and self.limited, {}

    limited = False

    def see(self) -> Any:
        return np.zeros(1, np.float32)

    def reward(self, action: Any) -> float:
        return 1.0


class Signs(Probe):
    """The observation is -1 or 1, at random; so is the reward."""

    def see(self) -> Any:
        return self.np_random.choice(np.array([-1.0, 1.0], np.float32), 1)

    def reward(self, action: Any) -> float:
        return float(self.seen[0])


class TwoSteps(Probe):
    """Observation 0, then 1; reward 1 for the second step."""

    length = 2

    def see(self) -> Any:
        return np.array([min(self.time, 1)], np.float32)

    def reward(self, action: Any) -> float:
        return float(self.time)


class Endless(Probe):
    """Reward 1 for ever, cut off every five steps (``{"ends": True}``: ended)."""

    length = 5

    @property
    def limited(self) -> bool:  # type: ignore[override]
        return not self.config.get("ends", False)


class Choice(Signs):
    """Reward 1 for action 2 where the observation is 1, for action 0 where it is -1."""

    action_space = spaces.Discrete(3)

    def reward(self, action: Any) -> float:
        return float(action == (2 if self.seen[0] > 0 else 0))


class Choices(Signs):
    """Half a reward for each of two choices that is right: (1, 0) and (0, 2)."""

    action_space = spaces.MultiDiscrete([2, 3])

    def reward(self, action: Any) -> float:
        right = (1, 0) if self.seen[0] > 0 else (0, 2)
        return 0.5 * sum(int(a == b) for a, b in zip(action, right, strict=True))


class Target(Signs):
    """The nearer the action to half the observation, the better."""

    action_space = spaces.Box(-1.0, 1.0, (1,))

    def reward(self, action: Any) -> float:
        return -float((action[0] - 0.5 * self.seen[0]) ** 2)


class Grid(Probe):
    """Episodes of random length with noisy observations `[3]` and two choices; for invariance.

    ``fail``: raise in that step of an episode of a faulty agent; ``nan``: a NaN observation there;
    ``huge``: a reward of 1e30. Faulty is whoever's first draw is below `faulty`.
    """

    observation_space = spaces.Box(-10.0, 10.0, (3,))
    action_space = spaces.MultiDiscrete([2, 3])

    total, faulty = 0, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        gymnasium.Env.reset(self, seed=seed)
        if seed is not None:
            self.total = 0
            self.faulty = self.np_random.random() < self.config.get("faulty", 0.0)
        self.length = int(self.np_random.integers(2, 9))
        self.limit = bool(self.np_random.integers(2))
        return super().reset(options=options)

    @property
    def limited(self) -> bool:  # type: ignore[override]
        return self.limit

    def see(self) -> Any:
        noise = self.np_random.normal(size=3).astype(np.float32)
        if self.faulty and self.total == self.config.get("nan"):
            noise[1] = np.nan
        return noise

    def reward(self, action: Any) -> float:
        self.total += 1
        if self.faulty and self.total == self.config.get("fail"):
            raise ValueError("the floor gave way")
        if self.faulty and self.total == self.config.get("huge"):
            return 1e30
        return float(self.seen[0] * action[0] - 0.1 * action[1])


class Picture(Signs):
    """A little picture, dark or bright; reward 1 for the action that says which."""

    observation_space = spaces.Box(0, 255, (5, 5, 1), np.uint8)

    def see(self) -> Any:
        self.bright = int(self.np_random.integers(2))
        return np.full((5, 5, 1), 40 + 160 * self.bright, np.uint8)

    def reward(self, action: Any) -> float:
        return float(action == self.bright) + 0.01 * float(self.seen[0, 0, 0])


class Allowed(Probe):
    """Two of four actions are allowed; an action that is not raises. ``key``: the mask's name."""

    action_space = spaces.Discrete(4)
    length = 5

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.key = config.get("key", "action_mask")
        mask, seen = spaces.MultiBinary(4), spaces.Box(-1.0, 1.0, (2,))
        self.observation_space = spaces.Dict({self.key: mask, "observations": seen})

    def see(self) -> Any:
        self.flags = np.zeros(4, np.int8)
        self.flags[self.np_random.choice(4, 2, replace=False)] = 1
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {self.key: self.flags, "observations": seen}

    def reward(self, action: Any) -> float:
        if self.key == "action_mask" and not self.seen[self.key][action]:
            raise ValueError(f"action {action} is not allowed")
        return float(action == np.flatnonzero(self.seen[self.key])[0])


class Single(Grid):
    """The same with one choice of three."""

    action_space = spaces.Discrete(3)

    def reward(self, action: Any) -> float:
        return super().reward((action, 1))


PROBES: dict[str, type[Probe]] = {
    "probe/constant": Probe,
    "probe/signs": Signs,
    "probe/two-steps": TwoSteps,
    "probe/endless": Endless,
    "probe/choice": Choice,
    "probe/choices": Choices,
    "probe/target": Target,
    "probe/grid": Grid,
    "probe/single": Single,
    "probe/picture": Picture,
    "probe/allowed": Allowed,
}
for name, kind in PROBES.items():
    register_env(name, kind)
