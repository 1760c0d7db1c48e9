"""`PoolMember`: a member on an EnvPool of its own, since a pool takes seeds only when it is built.

Invariant: NEXT_STEP autoreset is told through `valid`. A pool's state does not leave it: resuming
builds it again and replays all actions since, up to `MAX_STEPS`; beyond them it starts afresh.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from algorithms.core.envs.base import Array, EnvState, StepBatch, check_size, sub_seeds
from algorithms.core.envs.factory import harmless_warnings_ignored
from algorithms.core.envs.members import Member, MemberEnvs, array_of, empty_step
from tunerl.errors import InvalidConfig, nearest

MAX_STEPS = 50_000
_UNBOUNDED = 1e30  # EnvPool writes float32's smallest and largest number for "no bound"

_log = logging.getLogger(__name__)


def pool_envs(env_id: str, config: Mapping[str, Any], num_envs: int) -> MemberEnvs:
    """A pack on EnvPool; `config`: keyword arguments of the task. Raises `InvalidConfig`."""
    pool = _build(env_id, config, [0])
    observation, action = pool.single_observation_space, pool.single_action_space
    pool.close()
    box = gymnasium.spaces.Box
    if not isinstance(observation, box) or not isinstance(action, box | gymnasium.spaces.Discrete):
        raise InvalidConfig(
            f"EnvPool's {env_id!r} has the spaces {observation} and {action}; only Box "
            f"observations and Box or Discrete actions can be used with vectorize_mode='envpool'"
        )
    dtype = array_of(observation)[1]
    if dtype.kind == "f":
        with harmless_warnings_ignored():
            observation = box(_low(observation), _high(observation), dtype=np.float32)

    def start(seed: int, state: EnvState | None) -> Member:
        return PoolMember(env_id, config, observation, num_envs, seed, state)

    return MemberEnvs(observation, action, num_envs, start)


class PoolMember(Member):
    """One pool of E sub-environments in one thread: a pack has a core, not a machine."""

    what = "an EnvPool"

    def __init__(
        self,
        env_id: str,
        config: Mapping[str, Any],
        observation_space: gymnasium.Space[Any],
        num_envs: int,
        seed: int,
        state: EnvState | None = None,
    ) -> None:
        self._env_id = env_id
        self._config = config
        self._space = observation_space
        self._num_envs = num_envs
        if state is None:
            self._open(seed, generation=0)
        else:
            check_size(len(state[0]["obs"]), num_envs)
            self._restore(state)

    def send(self, actions: Array) -> None:
        cast = np.ascontiguousarray(actions, self._action_dtype)
        if len(self._actions) <= MAX_STEPS:
            self._actions.append(cast.copy())
        self._pool.send(cast)

    def receive(self) -> StepBatch:
        obs, reward, terminated, truncated, _ = self._pool.recv()
        out = self._step
        np.logical_or(out.terminated, out.truncated, out=out.valid)
        np.logical_not(out.valid, out=out.valid)
        out.obs[:] = obs
        out.final_obs[:] = obs
        out.reward[:] = reward
        out.terminated[:] = terminated
        out.truncated[:] = truncated
        return out

    def read(self) -> EnvState:
        arrays: dict[str, Array] = {"obs": self.obs.copy(), "actions": np.array(self._actions)}
        return arrays, {"seed": self._seed, "generation": self._generation}

    def close(self) -> None:
        self._pool.close()

    def _open(self, seed: int, generation: int) -> None:
        """A pool of its own seeds, another for each `generation` (how often it was lost)."""
        self._seed, self._generation = seed, generation
        seeds = sub_seeds(seed, self._num_envs * (generation + 1))[-self._num_envs :]
        self._pool, first = self.build(seeds)
        dtype = np.dtype(self._pool.single_action_space.dtype)
        self._action_dtype = np.dtype(np.int32) if dtype.kind in "iu" else dtype
        self._actions: list[Array] = []
        self._step = empty_step(self._num_envs, self._space)
        self.obs = self._step.obs
        self.obs[:] = first

    def build(self, seeds: list[int]) -> tuple[Any, Array]:
        """A pool with one sub-environment for each seed, and its first observations."""
        pool = _build(self._env_id, self._config, seeds)
        return pool, pool.reset()[0]

    def _restore(self, state: EnvState) -> None:
        arrays, values = state
        self._open(values["seed"], values["generation"])
        if len(arrays["actions"]) <= MAX_STEPS:
            for actions in arrays["actions"]:
                self.send(actions)
                self.receive()
            if np.array_equal(self.obs, arrays["obs"]):
                return
        _log.warning(
            "%s could not be brought back to where it was (it took more than %d steps, or its task "
            "does not repeat itself); its sub-environments begin fresh episodes",
            self.what,
            MAX_STEPS,
        )
        self.close()
        self._open(values["seed"], values["generation"] + 1)


def _build(env_id: str, config: Mapping[str, Any], seeds: list[int]) -> Any:
    try:
        import envpool
    except ImportError as error:
        raise InvalidConfig(
            "vectorize_mode='envpool' needs EnvPool: pip install 'tunerl[envpool]', or use 'auto'"
        ) from error
    known = envpool.list_all_envs()
    if env_id not in known:
        raise InvalidConfig(f"EnvPool has no task {env_id!r}; {nearest(env_id, known)}")
    reserved = {"num_envs", "batch_size", "num_threads", "seed"} & config.keys()
    if reserved:
        raise InvalidConfig(f"env_config cannot set {', '.join(sorted(reserved))} of an EnvPool")
    try:
        with harmless_warnings_ignored():
            pool = envpool.make_gymnasium(
                env_id, num_envs=len(seeds), num_threads=1, seed=seeds, **config
            )
            _ = pool.single_observation_space, pool.single_action_space
    except (TypeError, ValueError, AssertionError) as error:
        raise InvalidConfig(
            f"EnvPool cannot make {env_id!r} with env_config {dict(config)}: {error}"
        ) from error
    return pool


def _low(space: Any) -> Array:
    low: Array = np.where(np.abs(space.low) > _UNBOUNDED, -np.inf, space.low)
    return np.where(low == np.finfo(np.float32).tiny, -np.inf, low).astype(np.float32)


def _high(space: Any) -> Array:
    high: Array = np.where(np.abs(space.high) > _UNBOUNDED, np.inf, space.high)
    return high.astype(np.float32)
