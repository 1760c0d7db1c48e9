"""Evaluation of one member in environments of its own; touches nothing of its training.

Its seeds derive from `seed`, so two evaluations with equal seeds are equal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from algorithms.core import envs
from algorithms.core.envs import PackEnvs, StepBatch
from algorithms.core.packs.member import derived_seed
from tunerl.errors import InvalidConfig, Problem
from tunerl.trial import Config, Metrics

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack

MAX_ENVS = 10
DIFFERENT = ("env", "env_config")
"""What `evaluation_config` may say otherwise than the configuration, beside `explore`."""


def with_explore(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the ``explore`` of `evaluation_config` under our name of it."""
    found = dict(settings)
    given = found.get("evaluation_config")
    if isinstance(given, Mapping) and "explore" in given:
        found["evaluation_explore"] = given["explore"]
        found["evaluation_config"] = {name: v for name, v in given.items() if name != "explore"}
        if not found["evaluation_config"]:
            del found["evaluation_config"]
    return found


def evaluation_environment(config: Config) -> Config:
    """`env` and `env_config` of evaluation: those of training, with what evaluation has of its own.

    Of the same environment only those arguments differ that are given; another one takes them all.
    """
    own: Mapping[str, Any] = config["evaluation_config"] or {}
    env, given = own.get("env") or config["env"], own.get("env_config") or {}
    same = env == config["env"]
    return {"env": env, "env_config": {**config["env_config"], **given} if same else dict(given)}


def evaluation_problems(
    config: Config, spaces_of: Callable[[Config], tuple[Any, Any]]
) -> Iterator[Problem]:
    """What is wrong with `evaluation_config`: unknown settings, an environment of other spaces."""
    own = config["evaluation_config"]
    for name in own or {}:
        if name not in DIFFERENT:
            allowed = "only 'explore', 'env' and 'env_config' may differ in evaluation"
            yield Problem(f"evaluation_config.{name}", allowed)
    if not own or set(own) - set(DIFFERENT):
        return
    try:
        elsewhere = {name: value for name, value in config.items() if name != "input_"}
        there = spaces_of({**elsewhere, **evaluation_environment(config)})
        here = spaces_of(config)
    except InvalidConfig as error:
        yield from (Problem(f"evaluation_config.{p.path}", p.message) for p in error.problems)
        return
    for what, other, own_space in zip(("observation", "action"), there, here, strict=True):
        if other != own_space:
            told = f"its {what} space is {other}, that of training {own_space}; they must be equal"
            yield Problem("evaluation_config.env", told)


def evaluate_member(
    pack: AlgorithmPack,
    row: int,
    *,
    seed: int,
    duration: int | None = None,
    unit: str | None = None,
    explore: bool | None = None,
    more: Callable[[int], int] | None = None,
) -> Metrics:
    """RLlib's ``env_runners/...`` metrics over `duration` episodes (or at least so many timesteps).

    What is not given comes from the member's configuration. Each environment plays the same number
    of whole episodes, so that short ones are not over-represented. `more`: told how many were
    played, how many are to follow; instead of `duration`. Raises what an environment raises.
    """
    config = pack.members[row].config
    by_episodes = (unit or config["evaluation_duration_unit"]) == "episodes"
    explore = config["evaluation_explore"] if explore is None else explore
    duration = duration or config["evaluation_duration"]
    duration = more(0) if more is not None else duration
    returns: list[float] = []
    lengths: list[int] = []
    count = max(1, min(duration, MAX_ENVS)) if by_episodes else 1
    with contextlib.closing(_play(pack, row, seed, count, explore)) as episodes:
        while duration > 0:
            quota = np.full(count, duration // count)
            quota[: duration % count] += 1
            before = len(returns) if by_episodes else sum(lengths)
            while (len(returns) if by_episodes else sum(lengths)) - before < duration:
                env, total, length = next(episodes)
                if not by_episodes or quota[env] > 0:
                    returns.append(total)
                    lengths.append(length)
                    quota[env] -= 1
            duration = more(len(returns) if by_episodes else sum(lengths)) if more else 0
    return _summary(returns, lengths)


def _summary(returns: list[float], lengths: list[int]) -> Metrics:
    if not returns:
        return {"env_runners/num_episodes": 0, "env_runners/num_env_steps_sampled": 0}
    return {
        "env_runners/episode_return_mean": float(np.mean(returns)),
        "env_runners/episode_return_min": float(np.min(returns)),
        "env_runners/episode_return_max": float(np.max(returns)),
        "env_runners/episode_len_mean": float(np.mean(lengths)),
        "env_runners/num_episodes": len(returns),
        "env_runners/num_env_steps_sampled": int(np.sum(lengths)),
    }


def _play(
    pack: AlgorithmPack, row: int, seed: int, count: int, explore: bool
) -> Generator[tuple[int, float, int], None, None]:
    """Episodes without end in `count` fresh environments: (environment, return, length) of each."""
    running, length = np.zeros(count), np.zeros(count, np.int64)
    with contextlib.closing(_environments(pack, pack.members[row].config, count)) as playing:
        for batch in steps(pack, row, playing, seed=seed, explore=explore):
            running += batch.reward[0]
            length += batch.valid[0]
            for env in np.nonzero(batch.terminated[0] | batch.truncated[0])[0].tolist():
                yield env, float(running[env]), int(length[env])
                running[env], length[env] = 0.0, 0


def steps(
    pack: AlgorithmPack, row: int, playing: PackEnvs, *, seed: int, explore: bool
) -> Generator[StepBatch, None, None]:
    """What each step gives, `[1, E]`, of one member that plays in `playing` (without a row yet).

    Raises what an environment raises.
    """
    generator = np.random.Generator(np.random.PCG64(derived_seed(seed, "evaluation")))
    distribution, flat = pack.actor(pack.members[row]), pack.flat[row : row + 1]
    mind, count = pack.mind(playing.num_envs), playing.num_envs
    playing.add(derived_seed(seed, "evaluation environments") >> 32)
    while True:
        obs = pack.obs_codec.encode(playing.obs)
        if pack.filter:
            obs = pack.obs_stats.normalize_row(row, obs)
        with torch.inference_mode():
            weights = _weight_noise(pack, generator) if explore else ()
            inputs = mind(flat, torch.from_numpy(np.array(obs, np.float32)), *weights)
            noise = torch.from_numpy(distribution.noise(generator, (1, count)))
            action = distribution.sample(inputs, noise) if explore else distribution.mode(inputs)
        batch = playing.step(pack.action_codec.decode(action.numpy()))
        if batch.error:
            raise batch.error[0]
        mind.after(action.numpy(), batch)
        yield batch


def _environments(pack: AlgorithmPack, config: Config, count: int) -> PackEnvs:
    if not config["evaluation_config"]:
        return pack.make_envs(count)
    found = evaluation_environment(config)
    return envs.of({**pack.shared, "env": found["env"], "env_config": found["env_config"]}, count)


def _weight_noise(pack: AlgorithmPack, generator: np.random.Generator) -> tuple[Tensor, ...]:
    """What a network with noise in its weights takes beside observations, for one row."""
    if not pack.weight_noise:
        return ()
    return (torch.from_numpy(generator.standard_normal((1, pack.weight_noise), np.float32)),)
