"""Environments of packs: `make` picks the backend, every backend is a `PackEnvs`.

``auto`` takes a batched environment of ours where there is one, else Gymnasium's own, stepped one
by one in this process: both resume exactly. EnvPool cannot (its state does not leave it), so it
is used only where it is asked for by name; so are processes (``async``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from algorithms.core.envs.atari import atari_envs, game_of
from algorithms.core.envs.base import (
    Creator,
    EnvState,
    PackEnvs,
    StepBatch,
    check_num_envs,
    sub_seeds,
)
from algorithms.core.envs.catalogue import BATCHED_IDS, batched
from algorithms.core.envs.connecting import environment
from algorithms.core.envs.envpool import pool_envs
from algorithms.core.envs.factory import EnvContext, Factory, resolve
from algorithms.core.envs.frames import StackedFrames
from algorithms.core.envs.local import LocalMember
from algorithms.core.envs.members import MemberEnvs
from algorithms.core.envs.probe import probe
from algorithms.core.envs.processes import ProcessMember
from algorithms.core.envs.spaces import ActionCodec, ObservationCodec, check_spaces
from tunerl import registry
from tunerl.errors import InvalidConfig

VECTORIZE_MODES = ("auto", "batched", "envpool", "sync", "async")

__all__ = [
    "VECTORIZE_MODES",
    "ActionCodec",
    "Creator",
    "EnvContext",
    "EnvState",
    "ObservationCodec",
    "PackEnvs",
    "StepBatch",
    "check_spaces",
    "clips_rewards",
    "make",
    "of",
    "sub_seeds",
]


def of(config: Mapping[str, Any], num_envs: int, vectorize_mode: str | None = None) -> PackEnvs:
    """What `make` makes of an algorithm's configuration."""
    return make(
        environment(config),
        config["env_config"],
        num_envs,
        vectorize_mode=vectorize_mode or config.get("gym_env_vectorize_mode", "auto"),
        framestack=config.get("framestack", 1),
        is_atari=config.get("is_atari"),
        step_timeout=config.get("env_step_timeout_s"),
        mask_key=config.get("action_mask_key", "action_mask"),
    )


def clips_rewards(config: Mapping[str, Any]) -> bool:
    """Whether an algorithm learns from the signs of the rewards only."""
    if config.get("clip_rewards") is not None:
        return bool(config["clip_rewards"])
    return config.get("is_atari") is not False and game_of(str(config["env"])) is not None


def make(
    env: str | Creator,
    env_config: Mapping[str, Any] | None = None,
    num_envs: int = 1,
    *,
    vectorize_mode: str = "auto",
    framestack: int = 1,
    is_atari: bool | None = None,
    step_timeout: float | None = None,
    mask_key: str = "action_mask",
) -> PackEnvs:
    """A pack's environments without any member yet; `num_envs` sub-environments for each member.

    `env`: a name given to `register_env`, a Gymnasium id, or a creator ``config -> Env``.
    `env_config`: the creator's argument, or the keyword arguments of ``gymnasium.make``.
    `framestack`: so many observations as one. `is_atari`: an Atari game with the usual
    preprocessing; None: where the id names one. `step_timeout`: seconds that a step may take in a
    process (``async``). `mask_key`: the part of a Dict observation that flags the allowed actions.
    Raises `InvalidConfig` for an unknown name, arguments the environment refuses, an environment
    that breaks Gymnasium's rules, or a mode that cannot run it.
    """
    made = _make(env, env_config, num_envs, vectorize_mode, is_atari, step_timeout, mask_key)
    return made if framestack == 1 else StackedFrames(made, framestack)


def _make(
    env: str | Creator,
    env_config: Mapping[str, Any] | None,
    num_envs: int,
    vectorize_mode: str,
    is_atari: bool | None,
    step_timeout: float | None,
    mask_key: str,
) -> PackEnvs:
    config = dict(env_config or {})
    check_num_envs(num_envs)
    if vectorize_mode not in VECTORIZE_MODES:
        known = ", ".join(VECTORIZE_MODES)
        raise InvalidConfig(f"vectorize_mode must be one of {known}; got {vectorize_mode!r}")
    named = isinstance(env, str) and registry.environment(env) is None
    game = game_of(str(env)) if named and vectorize_mode != "envpool" else None
    if is_atari and game is None:
        raise InvalidConfig(f"is_atari=True: {env!r} is no Atari game, such as 'ALE/Pong-v5'")
    if game is not None and is_atari is not False and vectorize_mode == "auto":
        return atari_envs(str(env), config, num_envs)
    if named and vectorize_mode in ("auto", "batched"):
        ours = batched(str(env), config, num_envs)
        if ours is not None:
            return ours
    if vectorize_mode == "batched":
        raise InvalidConfig(
            f"vectorize_mode='batched' cannot run {env!r} with {config}: batched are "
            f"{', '.join(BATCHED_IDS)} with their own arguments; use vectorize_mode='auto'"
        )
    if vectorize_mode == "envpool":
        if not named:
            raise InvalidConfig(f"vectorize_mode='envpool' takes EnvPool's tasks only, not {env!r}")
        return pool_envs(str(env), config, num_envs)
    return _one_by_one(resolve(env, config), num_envs, vectorize_mode, step_timeout, mask_key)


def _one_by_one(
    factory: Factory,
    num_envs: int,
    vectorize_mode: str,
    step_timeout: float | None,
    mask_key: str,
) -> PackEnvs:
    observation_space, action_space = probe(factory, mask_key)
    start: Any = functools.partial(LocalMember, factory, num_envs)
    if vectorize_mode == "async":
        start = functools.partial(ProcessMember, factory, num_envs, timeout=step_timeout)
    return MemberEnvs(observation_space, action_space, num_envs, start)
