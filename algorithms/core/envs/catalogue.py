"""Which Gymnasium ids have a batched environment of ours, and with which arguments.

Invariant: what `batched` returns equals ``gymnasium.make`` of the same id and arguments; anything
it is not sure of it refuses (None), and the id goes to Gymnasium itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from algorithms.core.envs.acrobot import Acrobot
from algorithms.core.envs.base import PackEnvs
from algorithms.core.envs.cartpole import CartPole
from algorithms.core.envs.mountain_car import MountainCar, MountainCarContinuous
from algorithms.core.envs.pendulum import Pendulum

ORIGIN = "gymnasium.envs.classic_control."

_REAL = (int, float)
_BATCHED: dict[str, tuple[Callable[..., PackEnvs], dict[str, tuple[type, ...]]]] = {
    "CartPole-v0": (CartPole, {"sutton_barto_reward": (bool,)}),
    "CartPole-v1": (CartPole, {"sutton_barto_reward": (bool,)}),
    "Acrobot-v1": (Acrobot, {}),
    "MountainCar-v0": (MountainCar, {"goal_velocity": _REAL}),
    "MountainCarContinuous-v0": (MountainCarContinuous, {"goal_velocity": _REAL}),
    "Pendulum-v1": (Pendulum, {"g": _REAL}),
}
BATCHED_IDS = tuple(_BATCHED)


def batched(env_id: str, config: Mapping[str, Any], num_envs: int) -> PackEnvs | None:
    """Our environment for a Gymnasium id, or None where id or arguments are not ours."""
    spec = gymnasium.registry.get(env_id)
    if env_id not in _BATCHED or spec is None or not _is_original(spec):
        return None
    create, known = _BATCHED[env_id]
    arguments = dict(config)
    limit = arguments.pop("max_episode_steps", None)
    arguments.pop("disable_env_checker", None)
    if arguments.pop("render_mode", None) is not None:
        return None
    for name, value in arguments.items():
        if name not in known or not isinstance(value, known[name]):
            return None
    if limit is None:
        limit = spec.max_episode_steps
    elif limit == -1:
        limit = None
    elif isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        return None
    return create(num_envs, limit, **arguments)


def _is_original(spec: Any) -> bool:
    return (
        isinstance(spec.entry_point, str)
        and spec.entry_point.startswith(ORIGIN)
        and not spec.additional_wrappers
        and not spec.kwargs
    )
