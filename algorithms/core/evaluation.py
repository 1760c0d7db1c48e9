"""Evaluation of one member in environments of its own; touches nothing of its training.

Its seeds derive from `seed`, so two evaluations with equal seeds are equal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch

from algorithms.core.member import derived_seed
from tunerl.trial import Metrics

if TYPE_CHECKING:
    from algorithms.core.pack import AlgorithmPack

MAX_ENVS = 10


def evaluate_member(
    pack: AlgorithmPack,
    row: int,
    *,
    seed: int,
    duration: int | None = None,
    unit: str | None = None,
    explore: bool | None = None,
) -> Metrics:
    """RLlib's ``env_runners/...`` metrics over `duration` episodes (or at least so many timesteps).

    What is not given comes from the member's configuration. Each environment plays the same number
    of whole episodes, so that short ones are not over-represented. Raises what an environment
    raises.
    """
    config = pack.members[row].config
    duration = duration or config["evaluation_duration"]
    by_episodes = (unit or config["evaluation_duration_unit"]) == "episodes"
    explore = config["evaluation_explore"] if explore is None else explore
    count = min(duration, MAX_ENVS) if by_episodes else 1
    quota = np.full(count, duration // count)
    quota[: duration % count] += 1
    returns: list[float] = []
    lengths: list[int] = []
    played = np.zeros(count, np.int64)
    with contextlib.closing(_play(pack, row, seed, count, explore)) as episodes:
        while len(returns) < duration if by_episodes else sum(lengths) < duration:
            env, total, length = next(episodes)
            if not by_episodes or played[env] < quota[env]:
                returns.append(total)
                lengths.append(length)
                played[env] += 1
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
    generator = np.random.Generator(np.random.PCG64(derived_seed(seed, "evaluation")))
    running, length = np.zeros(count), np.zeros(count, np.int64)
    distribution, flat = pack.distribution, pack.flat[row : row + 1]
    with contextlib.closing(pack.make_envs(count)) as envs:
        envs.add(derived_seed(seed, "evaluation environments") >> 32)
        while True:
            obs = pack.obs_codec.encode(envs.obs)
            if pack.filter:
                obs = pack.obs_stats.normalize_row(row, obs)
            with torch.inference_mode():
                inputs = pack.policy(flat, torch.from_numpy(np.array(obs, np.float32)))
                noise = torch.from_numpy(distribution.noise(generator, (1, count)))
                action = (
                    distribution.sample(inputs, noise) if explore else distribution.mode(inputs)
                )
            batch = envs.step(pack.action_codec.decode(action.numpy()))
            if batch.error:
                raise batch.error[0]
            running += batch.reward[0]
            length += batch.valid[0]
            for env in np.nonzero(batch.terminated[0] | batch.truncated[0])[0].tolist():
                yield env, float(running[env]), int(length[env])
                running[env], length[env] = 0.0, 0
