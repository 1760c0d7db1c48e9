"""Environments of packs: `make` picks the backend, every backend is a `PackEnvs`.

``auto`` takes a batched environment of ours where there is one, else Gymnasium's own, stepped one
by one in this process: both resume exactly. EnvPool cannot (its state does not leave it), so it
is used only where it is asked for by name; so are processes (``async``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.core.envs.base import Creator, EnvState, PackEnvs, StepBatch, sub_seeds
from algorithms.core.envs.catalogue import BATCHED_IDS, batched
from tunerl.errors import InvalidConfig

VECTORIZE_MODES = ("auto", "batched", "envpool", "sync", "async")

__all__ = [
    "VECTORIZE_MODES",
    "Creator",
    "EnvState",
    "PackEnvs",
    "StepBatch",
    "make",
    "sub_seeds",
]


def make(
    env: str | Creator,
    env_config: Mapping[str, Any] | None = None,
    num_envs: int = 1,
    *,
    vectorize_mode: str = "auto",
) -> PackEnvs:
    """A pack's environments without any member yet; `num_envs` sub-environments for each member.

    `env`: a name given to `register_env`, a Gymnasium id, or a creator ``config -> Env``.
    `env_config`: the creator's argument, or the keyword arguments of ``gymnasium.make``.
    Raises `InvalidConfig` for an unknown name, arguments the environment refuses, an environment
    that breaks Gymnasium's rules, or a mode that cannot run it.
    """
    config = dict(env_config or {})
    if vectorize_mode not in VECTORIZE_MODES:
        known = ", ".join(VECTORIZE_MODES)
        raise InvalidConfig(f"vectorize_mode must be one of {known}; got {vectorize_mode!r}")
    creator = _registered(env) if isinstance(env, str) else env
    if isinstance(env, str) and creator is None and vectorize_mode in ("auto", "batched"):
        ours = batched(env, config, num_envs)
        if ours is not None:
            return ours
    if vectorize_mode == "batched":
        raise InvalidConfig(
            f"vectorize_mode='batched' cannot run {env!r} with {config}: batched are "
            f"{', '.join(BATCHED_IDS)} with their own arguments; use vectorize_mode='auto'"
        )
    raise NotImplementedError


def _registered(name: str) -> Creator | None:
    try:
        from tunerl.registry import environment
    except ImportError:
        return None
    creator: Creator | None = environment(name)
    return creator
