"""Returns of a fragment as tensor operations, so that they are part of a loss: v-trace and GAE.

Everything is one agent's and time-major `[T, M]`: T steps in each of M columns. `following[t]` is
the value of what followed step t: 0 where the episode terminated, the value of its last observation
where it was truncated; `ends[t]` (0 or 1) cuts the trace after step t.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class VTrace(NamedTuple):
    """`targets` of the values, and `advantages` of the policy gradient, `[T, M]`."""

    targets: Tensor
    advantages: Tensor


def discounted_sums(terms: Tensor, carry: Tensor) -> Tensor:
    """`y[t] = terms[t] + carry[t] * y[t + 1]`, from the last step backwards; `[T, M]`."""
    running = torch.zeros_like(terms[0])
    found = []
    for term, share in zip(reversed(terms.unbind(0)), reversed(carry.unbind(0)), strict=True):
        running = term + share * running
        found.append(running)
    return torch.stack(found[::-1])


def gae(
    rewards: Tensor, values: Tensor, following: Tensor, ends: Tensor, gamma: Tensor, lambda_: Tensor
) -> Tensor:
    """Generalised advantage estimation (arXiv 1506.02438)."""
    deltas = rewards + gamma * following - values
    return discounted_sums(deltas, gamma * lambda_ * (1.0 - ends))


def vtrace(
    log_ratios: Tensor,
    rewards: Tensor,
    values: Tensor,
    following: Tensor,
    ends: Tensor,
    gamma: Tensor,
    lambda_: Tensor,
    clip_rho: Tensor,
    clip_pg_rho: Tensor,
) -> VTrace:
    """V-trace (arXiv 1802.01561, equation 1 and section 4.2), c clipped at 1.

    `log_ratios` are log(target policy / behaviour policy) of the actions taken. On-policy and with
    `lambda_` 1 the targets are n-step returns. Thresholds may be infinite.
    """
    ratios = log_ratios.exp()
    rho = torch.minimum(ratios, clip_rho)
    deltas = rho * (rewards + gamma * following - values)
    carry = gamma * lambda_ * ratios.clamp(max=1.0) * (1.0 - ends)
    corrections = discounted_sums(deltas, carry)
    later = torch.cat([corrections[1:], torch.zeros_like(corrections[:1])])
    following = following + (1.0 - ends) * later
    advantages = torch.minimum(ratios, clip_pg_rho) * (rewards + gamma * following - values)
    return VTrace(values + corrections, advantages)
