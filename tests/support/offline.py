"""Small offline data for tests: played by a rule of thumb, or made up."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from algorithms.offline import json_lines, parquet
from algorithms.offline.spaces_json import to_json
from tests.algorithms import support  # noqa: F401  (registers the probe environments)

Columns = dict[str, np.ndarray[Any, Any]]


@functools.cache
def folder() -> Path:
    """A directory for as long as this process lives."""
    made = tempfile.mkdtemp(prefix="tunerl-offline-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def play(env: Any, episodes: int, act: Any, seed: int = 0) -> Columns:
    """Transitions of some whole episodes; ``act(observation, generator)``."""
    generator = np.random.default_rng(seed)
    names = ("obs", "actions", "rewards", "terminateds", "truncateds", "new_obs", "eps_id")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(episodes):
        obs, done = env.reset(seed=seed * 1000 + number)[0], False
        while not done:
            action = act(obs, generator)
            new, reward, terminated, truncated, _ = env.step(action)
            step = (obs, action, reward, terminated, truncated, new, number)
            for name, value in zip(names, step, strict=True):
                rows[name].append(value)
            obs, done = new, terminated or truncated
    return {name: np.array(column) for name, column in rows.items()}


def balance(obs: Any, generator: Any) -> int:
    """A rule of thumb that keeps CartPole's pole up."""
    return int(3 * obs[2] + obs[3] + 0.1 * obs[1] + 0.05 * obs[0] > 0)


def spaces(env: Any) -> dict[str, Any]:
    return {
        "observation_space": to_json(env.observation_space),
        "action_space": to_json(env.action_space),
    }


def write(path: Path, columns: Columns, described: dict[str, Any]) -> str:
    """One file, of the kind that its name says."""
    kind = parquet if path.suffix == ".parquet" else json_lines
    kind.write(str(path), columns, described)
    return str(path)


@functools.cache
def random_cartpole() -> str:
    """A Parquet file of twenty episodes of random steps in CartPole."""
    env = gymnasium.make("CartPole-v1")
    columns = play(env, 20, lambda obs, generator: int(generator.integers(2)))
    return write(folder() / "random-cartpole.parquet", columns, spaces(env))


@functools.cache
def random_pendulum() -> str:
    """A Parquet file of two episodes of random steps in Pendulum."""
    env = gymnasium.make("Pendulum-v1")
    columns = play(env, 2, lambda obs, generator: generator.uniform(-2, 2, 1).astype(np.float32))
    return write(folder() / "random-pendulum.parquet", columns, spaces(env))
