"""Advantages and returns: pure functions on `[T, ...]` arrays, any agents and environments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def gae(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    ends: NDArray[np.bool_],
    gamma: NDArray[Any] | float,
    lambda_: NDArray[Any] | float,
) -> Floats:
    """Generalised advantage estimation (arXiv 1506.02438); all of shape `[T, ...]`.

    `next_values[t]` is the value of what followed step t: 0 where the episode terminated, the value
    of the final observation where it was truncated. `ends[t]` cuts the trace after step t.
    `gamma` and `lambda_` broadcast against one step's shape.
    """
    deltas = rewards + gamma * next_values - values
    carry = (np.float32(1) - ends) * np.asarray(gamma * lambda_, np.float32)
    advantages = np.empty_like(deltas)
    running = np.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + carry[t] * running
        advantages[t] = running
    return advantages


def rewards_to_go(
    rewards: Floats, ends: NDArray[Any], gamma: NDArray[Any] | float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Discounted sums of the rewards from each step to its episode's end, `[T, ...]`, and whether
    that end is known, i.e. lies within the T steps. `gamma` broadcasts against one step's shape."""
    found, known = np.empty_like(rewards), np.empty(rewards.shape, np.bool_)
    running, knows = np.zeros_like(rewards[0]), np.zeros(rewards.shape[1:], np.bool_)
    for t in range(len(rewards) - 1, -1, -1):
        ended = ends[t] > 0
        running = rewards[t] + np.where(ended, np.float32(0), gamma * running)
        knows = knows | ended
        found[t], known[t] = running, knows
    return found, known
