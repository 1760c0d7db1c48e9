"""Which samples (or sequences of them) make up each minibatch of an epoch.

Invariant: a member's order comes from its own generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms.core.packs.member import Member


def minibatches(
    members: Sequence[Member], rows: Sequence[int], size: int, units: int, minibatch: int
) -> Tensor:
    """Where the samples of each minibatch lie in the flattened fields: `[M, size, B]`.

    `members` sit in `rows` of the fields, with `units` samples each; the last stands in where
    there are fewer than `size`. A fresh permutation per member and epoch; what is left over after
    the last full minibatch waits for the next epoch's permutation.
    """
    number = units // minibatch
    used = number * minibatch
    orders = []
    for row, member in zip(rows, members, strict=True):
        order = np.arange(units)
        if member.config["shuffle_batch_per_epoch"]:
            order = member.generator.permutation(units)
        orders.append(order[:used] + row * units)
    orders += [orders[-1]] * (size - len(rows))
    index = np.stack(orders).reshape(size, number, minibatch)
    return torch.from_numpy(np.ascontiguousarray(index.transpose(1, 0, 2)))
