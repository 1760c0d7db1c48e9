"""Whether compiling an update pays, from its number and the size of the networks."""

from __future__ import annotations

import itertools

from tunerl.trial import Config

COMPILE_SECONDS = 9.0
CALL_SECONDS = 0.55e-3  # saved at each compiled update: once,
ROW_SECONDS = 0.1e-3  # for each row,
WEIGHT_SECONDS = 1e-8  # and for each weight of a row: an optimiser goes over all of them


def saved(config: Config, rows: int) -> float:
    """Seconds that a compiled update of a pack of so many rows saves (resolved `config`)."""
    hiddens = (config.get("model") or {}).get("fcnet_hiddens") or []
    weights: int = 2 * sum(a * b for a, b in itertools.pairwise(hiddens))  # policy and value
    return CALL_SECONDS + max(2, rows) * (ROW_SECONDS + WEIGHT_SECONDS * weights)
