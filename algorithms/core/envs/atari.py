"""Atari games on ALE's vector environment, with the preprocessing of the DQN papers: every fourth
frame, the larger of the last two, 84 x 84 in grey, four of them as one observation, up to 30 no-ops
at the start.

Invariant: like EnvPool's, its state does not leave it; resuming replays all actions.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from algorithms.core.envs.base import Array, EnvState, StepBatch
from algorithms.core.envs.envpool import PoolMember
from algorithms.core.envs.members import Member, MemberEnvs
from tunerl.errors import InvalidConfig, nearest

OWN = {"batch_size", "num_threads", "thread_affinity_offset", "autoreset_mode", "reward_clipping"}
"""Keyword arguments of ALE's that are not for the user: rewards are clipped by `clip_rewards`."""

_ID = re.compile(r"ALE/(?P<new>\w+)-v\d+|(?P<old>\w+?)(NoFrameskip|Deterministic)-v\d+")


def game_of(env_id: str) -> str | None:
    """The game, in snake_case, that an id such as "ALE/MsPacman-v5" names; None: no Atari game."""
    found = _ID.fullmatch(env_id)
    if found is None:
        return None
    name = found["new"] or found["old"]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def atari_envs(env_id: str, config: Mapping[str, Any], num_envs: int) -> MemberEnvs:
    """A pack of Atari games; `config`: keyword arguments of ALE's vector environment.

    Raises `InvalidConfig` for an unknown game or argument, or without the package.
    """
    game = game_of(env_id)
    _check(env_id, game, config)
    first = _made(str(game), config, 1)
    observation, action = first.single_observation_space, first.single_action_space

    def start(seed: int, state: EnvState | None) -> Member:
        return AtariMember(str(game), config, observation, num_envs, seed, state)

    return MemberEnvs(observation, action, num_envs, start)


def _check(env_id: str, game: str | None, config: Mapping[str, Any]) -> None:
    try:
        from ale_py import roms
        from ale_py.vector_env import AtariVectorEnv
    except ImportError as error:
        raise InvalidConfig(f"{env_id!r} needs ALE: pip install 'tunerl[atari]'") from error
    games = roms.get_all_rom_ids()
    if game not in games:
        raise InvalidConfig(f"there is no Atari game {game!r}; {nearest(str(game), games)}")
    known = set(inspect.signature(AtariVectorEnv.__init__).parameters)
    known -= {"self", "game", "num_envs", *OWN}
    for name in config:
        if name not in known:
            raise InvalidConfig(
                f"env_config cannot set {name!r} of an Atari game; {nearest(name, known)}"
            )


def _made(game: str, config: Mapping[str, Any], num_envs: int) -> Any:
    from ale_py.vector_env import AtariVectorEnv

    own = {"num_threads": 1, "autoreset_mode": "SameStep", "reward_clipping": False}
    try:
        return AtariVectorEnv(game, num_envs, **{**config, **own})
    except Exception as error:
        raise InvalidConfig(
            f"the Atari game {game!r} cannot be made with env_config {dict(config)}: {error}"
        ) from error


class AtariMember(PoolMember):
    """E games in one thread."""

    what = "an Atari environment"

    def build(self, seeds: list[int]) -> tuple[Any, Array]:
        pool = _made(self._env_id, self._config, len(seeds))
        return pool, pool.reset(seed=np.array(seeds))[0]

    def receive(self) -> StepBatch:
        obs, reward, terminated, truncated, info = self._pool.recv()
        out = self._step
        out.obs[:], out.reward[:] = obs, reward
        out.terminated[:], out.truncated[:] = terminated, truncated
        if "final_obs" in info:
            ended = out.terminated | out.truncated
            out.final_obs[ended] = info["final_obs"][ended]
        return out

    def close(self) -> None:
        """A game is freed with its last reference."""
        self._pool = None
