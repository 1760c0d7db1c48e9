"""`Runs`: what E environments give, step by step, cut into runs of one episode each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.offline.columns import Columns

Array = NDArray[Any]


class Runs:
    """The steps of E environments since the last `take`, and the episodes under way."""

    def __init__(self, num_envs: int) -> None:
        self._ticks: list[tuple[Columns, NDArray[np.bool_]]] = []
        self._open: list[list[Columns]] = [[] for _ in range(num_envs)]

    def step(self, columns: Columns, valid: NDArray[np.bool_]) -> None:
        """One step of every environment, `[E, ...]`; the arrays are kept. `valid`: which count."""
        self._ticks.append((columns, valid))

    def take(self, *, unfinished: bool = False) -> list[list[Columns]]:
        """The episodes that ended, of each environment in order; `unfinished`: all others too."""
        found: list[list[Columns]] = [[] for _ in self._open]
        if self._ticks:
            names = self._ticks[0][0]
            stacked = {name: np.stack([c[name] for c, _ in self._ticks], 1) for name in names}
            valid = np.stack([v for _, v in self._ticks], 1)
            for env, runs in enumerate(found):
                own = {name: column[env][valid[env]] for name, column in stacked.items()}
                self._cut(env, own, runs)
            self._ticks = []
        if unfinished:
            for env, runs in enumerate(found):
                runs += [_joined(pieces) for pieces in [self._open[env]] if pieces]
                self._open[env] = []
        return found

    def _cut(self, env: int, columns: Columns, runs: list[Columns]) -> None:
        start = 0
        for end in np.flatnonzero(columns["terminateds"] | columns["truncateds"]).tolist():
            piece = {name: column[start : end + 1] for name, column in columns.items()}
            runs.append(_joined([*self._open[env], piece]))
            self._open[env], start = [], end + 1
        if start < len(columns["rewards"]):
            rest = {name: column[start:] for name, column in columns.items()}
            self._open[env].append(rest)


def step_columns(obs: Array, actions: Array, batch: Any, row: int) -> Columns:
    """The columns `[E, ...]` of one member's step: what a `StepBatch` gave for `obs`, `actions`.

    `obs` and `actions` are of that member alone; everything is copied.
    """
    ended = (batch.terminated[row] | batch.truncated[row]).reshape(-1, *[1] * (obs.ndim - 1))
    return {
        "obs": obs.copy(),
        "actions": np.array(actions),
        "rewards": batch.reward[row].copy(),
        "terminateds": batch.terminated[row].copy(),
        "truncateds": batch.truncated[row].copy(),
        "new_obs": np.where(ended, batch.final_obs[row], batch.obs[row]),
    }


def _joined(pieces: list[Columns]) -> Columns:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
