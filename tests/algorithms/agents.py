"""Environments and agents that the tests of `Algorithm` share."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from algorithms import register_env
from algorithms.results import ResultDict

TINY: dict[str, Any] = {
    "env": "CartPole-v1",
    "num_envs_per_env_runner": 2,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 1,
    "model": {"fcnet_hiddens": [8]},
    "seed": 3,
}


class Parts(gymnasium.Env[Any, Any]):
    """Dictionary observations and two choices; ``{"fails": n}``: the n-th step raises."""

    observation_space = spaces.Dict(
        {"place": spaces.Discrete(3), "speed": spaces.Box(-1.0, 1.0, (2,))}
    )
    action_space = spaces.MultiDiscrete([2, 3])

    def __init__(self, config: dict[str, Any]) -> None:
        self.fails, self.steps = config.get("fails"), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def look(self) -> dict[str, Any]:
        speed = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"place": int(self.np_random.integers(3)), "speed": speed}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == self.fails:
            raise ValueError("the floor gave way")
        self.time += 1
        return self.look(), float(action[0]), self.time == 5, False, {}


class Network(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(inputs, outputs + 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.out(obs)
        return found[:, :-1], found[:, -1]


register_env("test-algorithm/parts", Parts)


def timeless(result: ResultDict) -> dict[str, Any]:
    return {name: value for name, value in result.flat().items() if not name.startswith("time_")}


def same(one: ResultDict, other: ResultDict) -> bool:
    return repr(timeless(one)) == repr(timeless(other))  # a NaN is not itself
