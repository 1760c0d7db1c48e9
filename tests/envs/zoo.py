"""Small environments that are right, or wrong in exactly one way."""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env[Any, Any]):
    """A noisy walk on a line; everything about it can be bent by `config`.

    `draws`: where noise comes from (``np_random``, ``space``, ``global``); `fail_at`, `nan_at`,
    `die_at`, `hang_at`: the step in which to raise, return NaN, end the process, or never end, if
    `marked`.
    """

    def __init__(self, config: Any = None) -> None:
        self.config = dict(config or {})
        self.index = getattr(config, "vector_index", 0)
        self.worker = getattr(config, "worker_index", None)
        bound = np.full(2, 1e6, np.float32)
        self.observation_space = self.config.get("observation_space", spaces.Box(-bound, bound))
        self.action_space = self.config.get("action_space", spaces.Discrete(2))
        self.length = self.config.get("length", 7)
        self.closed = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.marked = seed is None or not self.config.get("mark") or self.config["mark"] == seed
        self.steps = 0
        self.place = self._noise()
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.marked and self.steps == self.config.get("fail_at"):
            raise ValueError("fell off the line")
        if self.marked and self.steps == self.config.get("die_at"):
            os._exit(3)
        if self.marked and self.steps == self.config.get("hang_at"):
            time.sleep(3600)
        self.place += float(np.sum(action)) + self._noise()
        if self.marked and self.steps == self.config.get("nan_at"):
            self.place = float("nan")
        return self._obs(), self.place, self.steps >= self.length, False, {}

    def close(self) -> None:
        self.closed = True

    def _noise(self) -> float:
        draws = self.config.get("draws", "np_random")
        if draws == "space":
            return float(self.observation_space.sample()[0] % 1)
        if draws == "global":
            return float(np.random.default_rng().normal())
        return float(self.np_random.normal())

    def _obs(self) -> Any:
        if isinstance(self.observation_space, spaces.Dict):
            return {"at": np.array([self.place], np.float32), "odd": self.steps % 2}
        return np.array([self.place, self.steps], np.float32)


DICT_SPACE = spaces.Dict({"at": spaces.Box(-1e6, 1e6, (1,)), "odd": spaces.Discrete(2)})
