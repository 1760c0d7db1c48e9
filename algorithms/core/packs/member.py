"""One member of a pack: what is its own besides the rows of the stacked arrays.

Invariant: `generator` is the only source of its randomness after its initial weights, and every
number a member reports comes from its own history.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.packs.logger import MetricsLogger
from algorithms.core.specs.names import plain
from tunerl.trial import Config, Metrics

WINDOW = 100


def window_of(config: Mapping[str, Any]) -> int:
    """Over how many of the last episodes returns are averaged."""
    return int(config.get("metrics_num_episodes_for_smoothing", WINDOW))


def scheduled(value: Any, step: int) -> float:
    """A constant, or the value at `step` of ``[[0, v0], [t1, v1], ...]``, linear in between."""
    if isinstance(value, list | tuple):
        steps, values = zip(*value, strict=True)
        return float(np.interp(step, steps, values))
    return float(value)


def schedule_values(value: Any, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """A constant or a schedule at each of some steps `[T]`."""
    if isinstance(value, list | tuple):
        times, levels = zip(*value, strict=True)
        found: NDArray[np.float32] = np.interp(steps, times, levels).astype(np.float32)
        return found
    return np.full(len(steps), value, np.float32)


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose of a member ("network", "environments", ...)."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(2)
    return int(words[0]) << 31 | int(words[1]) >> 1


class Episodes:
    """Returns and lengths of a member's episodes: those under way, and the last `window` ended."""

    def __init__(self, num_envs: int, window: int = WINDOW) -> None:
        self.running_return = np.zeros(num_envs)
        self.running_length = np.zeros(num_envs, np.int64)
        self.returns: deque[float] = deque(maxlen=window)
        self.lengths: deque[int] = deque(maxlen=window)
        self.lifetime = 0
        self.recent = 0

    def add(
        self,
        rewards: NDArray[np.float32],
        ends: NDArray[np.bool_],
        valid: NDArray[np.bool_],
    ) -> None:
        """Take in a rollout `[T, E]`: rewards, where an episode ended, which steps were real."""
        times, envs = np.nonzero(ends)
        total = np.cumsum(np.where(valid, rewards, 0.0), 0, dtype=np.float64) + self.running_return
        length = np.cumsum(valid, 0) + self.running_length
        returned, counted = np.zeros_like(self.running_return), np.zeros_like(self.running_length)
        for t, e in zip(times.tolist(), envs.tolist(), strict=True):
            self.returns.append(float(total[t, e] - returned[e]))
            self.lengths.append(int(length[t, e] - counted[e]))
            returned[e], counted[e] = total[t, e], length[t, e]
        self.recent = len(times)
        self.lifetime += len(times)
        self.running_return = total[-1] - returned
        self.running_length = length[-1] - counted

    def keep(self, window: int) -> None:
        """From now on the last `window` count."""
        if window != self.returns.maxlen:
            self.returns = deque(self.returns, window)
            self.lengths = deque(self.lengths, window)

    def metrics(self) -> Metrics:
        """RLlib's names; NaN until the first episode has ended."""
        returns, lengths = self.returns or [float("nan")], self.lengths or [float("nan")]
        return {
            "env_runners/episode_return_mean": float(np.mean(returns)),
            "env_runners/episode_return_min": float(np.min(returns)),
            "env_runners/episode_return_max": float(np.max(returns)),
            "env_runners/episode_len_mean": float(np.mean(lengths)),
            "env_runners/num_episodes": self.recent,
            "env_runners/num_episodes_lifetime": self.lifetime,
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "running_return": self.running_return.tolist(),
            "running_length": self.running_length.tolist(),
            "returns": list(self.returns),
            "lengths": list(self.lengths),
            "lifetime": self.lifetime,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], window: int = WINDOW) -> Episodes:
        made = cls(len(data["running_return"]), window)
        made.running_return = np.array(data["running_return"], np.float64)
        made.running_length = np.array(data["running_length"], np.int64)
        made.returns.extend(data["returns"])
        made.lengths.extend(data["lengths"])
        made.lifetime = data["lifetime"]
        return made


@dataclass
class Member:
    """A replica in a pack. `adaptive`: what the algorithm adjusts by itself (KL coefficient)."""

    config: Config
    seed: int
    generator: np.random.Generator
    episodes: Episodes
    iteration: int = 0
    env_steps: int = 0
    updates: int = 0
    time_total_s: float = 0.0
    adaptive: dict[str, float] = field(default_factory=dict)
    logger: MetricsLogger = field(default_factory=MetricsLogger)

    def hyperparameter(self, name: str) -> float:
        """Its value at this point of training; schedules run over lifetime environment steps."""
        return scheduled(self.config[name], self.env_steps)

    def to_json(self) -> dict[str, Any]:
        return {
            "config": plain(self.config),
            "seed": self.seed,
            "generator": self.generator.bit_generator.state,
            "episodes": self.episodes.to_json(),
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "updates": self.updates,
            "time_total_s": self.time_total_s,
            "adaptive": dict(self.adaptive),
            "logged": self.logger.to_json(),
        }

    def load(self, data: Mapping[str, Any]) -> None:
        """Take over a history; keeps its own config and seed."""
        self.generator.bit_generator.state = data["generator"]
        self.episodes = Episodes.from_json(data["episodes"], window_of(self.config))
        for name in ("iteration", "env_steps", "updates", "time_total_s"):
            setattr(self, name, data[name])
        self.adaptive = dict(data["adaptive"])
        self.logger = MetricsLogger(data.get("logged"))
