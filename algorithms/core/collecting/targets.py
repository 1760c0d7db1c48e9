"""From a rollout to what the loss is computed on: rewards, values, advantages, value targets.

Invariant: every call of a network has a shape that does not depend on the members (see `stack`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.maths.returns import gae
from algorithms.core.maths.running import RunningStats

VALUE_BLOCK = 64  # samples of a member whose values are computed in one go, near the core
FINAL_BLOCK = 16  # final observations of truncated episodes, likewise

Floats = NDArray[np.float32]
Value = Callable[[Tensor], Tensor]
"""The value networks of a pack: `[K, B, D] -> [K, B]`."""


def scale_rewards(
    rollout: Rollout, stats: RunningStats, discounted: NDArray[np.float64], gamma: Floats
) -> NDArray[np.float64]:
    """Rewards divided by the running deviation of the discounted return, clipped at 10.

    `gamma` `[K]`; `discounted` `[K, E]` is the return under way, its new value is returned.
    """
    for t in range(rollout.rewards.shape[1]):
        discounted = discounted * gamma[:, None] + rollout.rewards[:, t]
        stats.update(discounted[..., None])
        scaled = rollout.rewards[:, t] / stats.std
        rollout.rewards[:, t] = np.clip(scaled, -10.0, 10.0)
        discounted[rollout.ends[:, t]] = 0.0
    return discounted


def values_of(value: Value, rollout: Rollout) -> tuple[Floats, Floats]:
    """Values `[K, T, E]` of the observations, and of what followed each step.

    What followed is worth 0 where the episode terminated, and the value of its final observation
    where it was truncated.
    """
    rows, horizon, envs = rollout.rewards.shape
    obs = torch.from_numpy(rollout.obs)
    values = np.empty(rollout.rewards.shape, np.float32)
    block = max(1, VALUE_BLOCK // envs)
    with torch.inference_mode():
        for t in range(0, horizon, block):
            part = obs[:, t : t + block].reshape(rows, -1, obs.shape[-1])
            values[:, t : t + block] = value(part).view(rows, -1, envs).numpy()
        last = value(torch.from_numpy(rollout.last_obs)).numpy()
    following = np.concatenate([values[:, 1:], last[:, None]], 1)
    following[rollout.terminated] = 0.0
    for (k, t, e), final in final_values(value, rollout):
        following[k, t, e] = final
    return values, following


def final_values(value: Value, rollout: Rollout) -> list[tuple[tuple[int, int, int], float]]:
    """Values of the final observations of truncated episodes, in blocks of a fixed size."""
    rows = len(rollout.rewards)
    own: list[list[int]] = [[] for _ in range(rows)]
    for i, (k, _, _) in enumerate(rollout.final_index):
        own[k].append(i)
    found = []
    for start in range(0, max(map(len, own), default=0), FINAL_BLOCK):
        obs = np.zeros((rows, FINAL_BLOCK, rollout.obs.shape[-1]), np.float32)
        parts = [indices[start : start + FINAL_BLOCK] for indices in own]
        for k, part in enumerate(parts):
            for slot, i in enumerate(part):
                obs[k, slot] = rollout.final_obs[i]
        with torch.inference_mode():
            values = value(torch.from_numpy(obs)).numpy()
        for k, part in enumerate(parts):
            found += [(rollout.final_index[i], values[k, slot]) for slot, i in enumerate(part)]
    return found


def advantages_of(
    rollout: Rollout, values: Floats, following: Floats, gamma: Floats, lambda_: Floats
) -> Floats:
    """GAE `[K, T, E]` with each member's `gamma` and `lambda_` `[K]`."""
    found = gae(
        np.moveaxis(rollout.rewards, 1, 0),
        np.moveaxis(values, 1, 0),
        np.moveaxis(following, 1, 0),
        np.moveaxis(rollout.ends, 1, 0),
        gamma[:, None],
        lambda_[:, None],
    )
    return np.moveaxis(found, 0, 1)


def explained_variance(fields: dict[str, Tensor]) -> list[float]:
    """1 - Var[targets - values] / Var[targets] per member, over the samples that count."""
    weights = fields.get("weights")
    targets, values = (fields[name].flatten(1) for name in ("targets", "values"))
    if weights is None:
        residual, whole = (targets - values).var(1), targets.var(1)
    else:
        residual, whole = (_variance(x, weights.flatten(1)) for x in (targets - values, targets))
    found: list[float] = (1 - residual / whole.clamp(min=1e-8)).tolist()
    return found


def _variance(x: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True).clamp(min=1.0)
    mean = (x * weights).sum(1, keepdim=True) / total
    return ((x - mean) ** 2 * weights).sum(1) / total[:, 0]
