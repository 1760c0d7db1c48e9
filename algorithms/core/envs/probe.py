"""`probe`: makes an environment once and says precisely what is wrong with it.

Invariant: what passes can be reset with a seed, returns observations of its space and five-tuples.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium import spaces

from algorithms.core.envs.factory import Factory
from algorithms.core.envs.spaces import ACTIONS, OBSERVATIONS, check_spaces
from tunerl.errors import InvalidConfig

Spaces = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]


def probe(factory: Factory, mask_key: str = "action_mask") -> Spaces:
    """The observation and action space of what `factory` makes. Raises `InvalidConfig`.

    `mask_key`: the part of a Dict observation that flags the actions it may be tried with.
    """
    try:
        env = factory()
    except Exception as error:
        _refuse(factory, f"cannot be made with env_config {dict(factory.config)}", error)
    if not isinstance(env, gymnasium.Env):
        raise InvalidConfig(
            f"environment {factory.name!r} is a {type(env).__module__}.{type(env).__qualname__}; "
            f"it must derive from gymnasium.Env (the old gym package is not supported)"
        )
    try:
        return _check(factory, env, mask_key)
    finally:
        env.close()


def _check(factory: Factory, env: gymnasium.Env[Any, Any], mask_key: str) -> Spaces:
    for kind in ("observation_space", "action_space"):
        space = getattr(env, kind, None)
        if not isinstance(space, gymnasium.Space):
            _refuse(factory, f"has {space!r} as its {kind}; it must be a gymnasium.Space")
    check_spaces(
        env.observation_space, env.action_space, observations=OBSERVATIONS, actions=ACTIONS
    )
    seen = _check_reset(factory, env)
    _check_step(factory, env, seen.get(mask_key) if isinstance(seen, dict) else None)
    return env.observation_space, env.action_space


def _check_reset(factory: Factory, env: gymnasium.Env[Any, Any]) -> Any:
    """The first observation."""
    try:
        result = env.reset(seed=0)
    except Exception as error:
        _refuse(factory, "raised in reset(seed=0)", error)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        _refuse(factory, f"returned {_short(result)} from reset; it must return (obs, info)")
    _check_observation(factory, result[0], env.observation_space, "reset")
    return result[0]


def _check_step(factory: Factory, env: gymnasium.Env[Any, Any], mask: Any) -> None:
    env.action_space.seed(0)
    flags = _as_mask(env.action_space, mask)
    action = env.action_space.sample() if flags is None else env.action_space.sample(mask=flags)
    try:
        result = env.step(action)
    except Exception as error:
        _refuse(factory, f"raised in step({action!r})", error)
    if not (isinstance(result, tuple) and len(result) == 5):
        _refuse(
            factory,
            f"returned {_short(result)} from step; it must return "
            f"(obs, reward, terminated, truncated, info)",
        )
    obs, reward, terminated, truncated, info = result
    _check_observation(factory, obs, env.observation_space, "step")
    number = reward.item() if isinstance(reward, np.ndarray) and reward.ndim == 0 else reward
    if not isinstance(number, Real) or not np.isfinite(float(number)):
        _refuse(factory, f"returned the reward {_short(reward)}; it must be a finite number")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            _refuse(factory, f"returned {_short(flag)} as {name}; it must be a bool")
    if not isinstance(info, dict):
        _refuse(factory, f"returned {_short(info)} as info; it must be a dictionary")


def _check_observation(
    factory: Factory, obs: Any, space: gymnasium.Space[Any], where: str, path: str = "observation"
) -> None:
    """Like ``space.contains`` but forgiving of dtypes (they are cast) and telling what is wrong."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        keys = list(space.spaces) if isinstance(space, spaces.Dict) else range(len(space.spaces))
        given = list(obs) if isinstance(obs, dict) else range(len(obs)) if _is_row(obs) else None
        if given is None or set(given) != set(keys):
            _refuse(factory, f"returned {_short(obs)} from {where}; {path} must have {list(keys)}")
        for key in keys:
            _check_observation(factory, obs[key], space[key], where, f"{path}[{key!r}]")
        return
    try:
        array = np.asarray(obs, dtype=space.dtype)
    except (TypeError, ValueError) as error:
        _refuse(factory, f"returned {_short(obs)} from {where}; {path} must be of {space}", error)
    if array.shape != (space.shape or ()):
        _refuse(
            factory,
            f"returned an {path} of shape {array.shape} from {where}; its space says {space.shape}",
        )
    if not np.isfinite(array).all():
        _refuse(factory, f"returned an {path} from {where} that holds NaN or infinity: {array}")
    if not space.contains(array if array.ndim else array[()]):
        _refuse(factory, f"returned an {path} from {where} outside of {space}: {_short(array)}")


def _as_mask(space: gymnasium.Space[Any], flags: Any) -> Any:
    """Flags of the allowed actions as a discrete space takes them; None for other spaces."""
    if flags is None or not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return None
    flat: Any = (np.ravel(flags) > 0.5).astype(np.int8)
    if isinstance(space, spaces.Discrete):
        return flat if len(flat) == space.n else None
    counts = np.ravel(space.nvec)
    if len(flat) != counts.sum() or space.nvec.ndim != 1:
        return None
    return tuple(np.split(flat, np.cumsum(counts)[:-1]))


def _is_row(obs: Any) -> bool:
    return isinstance(obs, tuple | list)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _refuse(factory: Factory, what: str, error: Exception | None = None) -> NoReturn:
    why = f": {type(error).__name__}: {error}" if error is not None else ""
    raise InvalidConfig(f"environment {factory.name!r} {what}{why}") from error
