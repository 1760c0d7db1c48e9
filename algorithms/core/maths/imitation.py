"""How likely an agent makes the actions in data, where bounds cut off what it puts out.

An environment gets the nearest action within the bounds: a normal's mean beyond a bound does there
what was done at the bound, however far beyond it is. To ask for that very mean would make a steep
function of one that need not be.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.dists.distributions import Distribution
from algorithms.core.lifting.stack import Batch

AT = 1e-3  # how near to a bound is at it, as a share of the range
CERTAIN = -0.5 * math.log(2.0 * math.pi)  # log deviation of a normal of density 1 at its mean


def sides(actions: NDArray[np.float32], space: spaces.Box) -> NDArray[np.float32]:
    """1 where an action `[N, *action]` is at its upper bound, -1 at its lower, else 0; `[N, n]`."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    near = np.where(np.isfinite(high - low), AT * (high - low), 0.0)
    upper, lower = actions >= high - near, actions <= low + near
    found: NDArray[np.float32] = upper.astype(np.float32) - lower
    return found.reshape(len(actions), -1)


def logp_of(distribution: Distribution, dist_inputs: Tensor, batch: Batch) -> Tensor:
    """Log-probability `[B]` of a batch's actions.

    With `sides` `[B, n]` in it the distribution is a normal whose actions are clipped: a mean
    beyond the bound that the action is at does that for certain (in the limit of small deviations),
    so nothing pulls it back.
    """
    actions = batch["actions"]
    if "sides" in batch:
        mean, log_std = dist_inputs.chunk(2, -1)
        beyond = (mean - actions) * batch["sides"] > 0
        mean = torch.where(beyond, actions, mean)
        dist_inputs = torch.cat([mean, torch.where(beyond, CERTAIN, log_std)], -1)
    return distribution.logp(dist_inputs, actions)
