"""Returns and advantages of whole episodes of different lengths, lying one after the other.

Pure. Invariant: a row of agents `[R, N]` depends on no other row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def discounted_sums(x: Floats, last: NDArray[np.bool_], decay: NDArray[Any]) -> Floats:
    """``y[t] = x[t] + decay * y[t + 1]`` within each episode, ``y = x`` in its last step.

    `x` `[R, N]`; `last` `[N]`: whether a step is the last of its episode; `decay` `[R]`.
    """
    ends = np.flatnonzero(last)
    lengths = np.diff(ends, prepend=-1)
    order = np.argsort(-lengths, kind="stable")
    ends, lengths = ends[order], lengths[order]  # the longest first: those under way lead
    factor = decay.astype(np.float32)[:, None]
    found = np.empty_like(x, np.float32)
    running = np.zeros((len(x), len(ends)), np.float32)
    for back in range(lengths[0] if len(lengths) else 0):
        under_way = int(np.searchsorted(-lengths, -back, side="left"))
        steps = ends[:under_way] - back
        running = x[:, steps] + factor * running[:, :under_way]
        found[:, steps] = running
    return found


def episode_targets(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    last: NDArray[np.bool_],
    gamma: NDArray[Any],
    lambda_: NDArray[Any],
) -> Floats:
    """Lambda-returns `[R, N]` (GAE, arXiv 1506.02438, plus the values).

    `rewards` `[N]`; `values`, `next_values` `[R, N]`: of a step's observation and of what followed
    it, the latter 0 where the episode terminated. `last` `[N]`, `gamma` and `lambda_` `[R]`.
    """
    deltas = rewards + gamma.astype(np.float32)[:, None] * next_values - values
    return discounted_sums(deltas, last, gamma * lambda_) + values


def episode_returns(
    rewards: Floats, bootstrap: Floats, last: NDArray[np.bool_], gamma: NDArray[Any]
) -> Floats:
    """Discounted returns `[R, N]`, going on after the end of the data with `bootstrap` `[R, M]`.

    `bootstrap`: the value of what followed the last step of each of the M episodes, 0 where it
    terminated. `rewards` `[N]`, `last` `[N]`, `gamma` `[R]`.
    """
    gains = np.repeat(rewards[None], len(gamma), 0)
    gains[:, last] += gamma.astype(np.float32)[:, None] * bootstrap
    return discounted_sums(gains, last, gamma)
