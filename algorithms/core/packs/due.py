"""Who has to learn when: the members of a pack sample together, but each learns at its own times.

Pure arithmetic on `[K]` arrays. Invariant: a member's times depend on its own steps and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from algorithms.core.packs.member import Member

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
CARRIED = ("ticks", "unpaid", "credit", "last_target_update_ts", "num_target_updates")
"""What a member carries from iteration to iteration, in `Member.adaptive`."""


@dataclass
class Due:
    """Per member `[K]`: environment steps sampled and ticks (steps of each sub-environment) so far;
    steps since its last round of learning; updates owed; its settings.

    `rate`: updates per environment step; NaN: one a round. A round comes every `fragment` ticks,
    once `starts` transitions are stored. `target_every`: environment steps between updates of the
    target network.
    """

    sampled: Ints
    ticks: Ints
    unpaid: Ints
    credit: Floats
    last_target_update_ts: Ints
    num_target_updates: Ints
    fragment: Ints
    rate: Floats
    starts: Ints
    target_every: Ints

    @classmethod
    def of(cls, members: Sequence[Member], capacity: int) -> Due:
        """`capacity`: of a replay buffer; nobody waits for more."""

        def column(values: list[float], kind: type = np.int64) -> NDArray[np.generic]:
            return np.array(values, kind)

        def setting(name: str) -> list[float]:
            return [member.config[name] for member in members]

        rates = [
            float("nan")
            if m.config["training_intensity"] is None
            else m.config["training_intensity"] / m.config["train_batch_size"]
            for m in members
        ]
        starts = setting("num_steps_sampled_before_learning_starts")
        carried = {
            name: column([m.adaptive[name] for m in members], float if name == "credit" else int)
            for name in CARRIED
        }
        found: dict[str, object] = {
            **carried,
            "sampled": column([m.env_steps for m in members]),
            "fragment": column(setting("rollout_fragment_length")),
            "rate": column(rates, float),
            "starts": column([max(1, min(start, capacity)) for start in starts]),
            "target_every": column(setting("target_network_update_freq")),
        }
        return cls(**found)  # type: ignore[arg-type]

    def carried(self, row: int) -> Mapping[str, float]:
        """What the member must carry."""
        return {name: float(getattr(self, name)[row]) for name in CARRIED}

    def tick(self, steps: Ints) -> NDArray[np.bool_]:
        """Every member took `steps` `[K]` environment steps; who has a round of learning now."""
        self.sampled += steps
        self.unpaid += steps
        self.ticks += 1
        found: NDArray[np.bool_] = self.ticks % self.fragment == 0
        return found

    def round(self, now: NDArray[np.bool_], stored: Ints) -> Ints:
        """How many updates each member makes in this round `[K]`; `stored` transitions each."""
        learning = now & (stored >= self.starts)
        owed = np.where(np.isnan(self.rate), 1.0, self.rate * self.unpaid)
        self.credit += np.where(learning, owed, 0.0)
        self.unpaid[now] = 0
        updates = np.where(learning, np.floor(self.credit + 1e-9), 0.0)
        self.credit -= updates
        return updates.astype(np.int64)

    def targets(self, rows: Ints) -> Ints:
        """Which of these rows, which have just learned, bring their target network up to date."""
        passed = self.sampled[rows] - self.last_target_update_ts[rows]
        due: Ints = rows[passed >= self.target_every[rows]]
        self.last_target_update_ts[due] = self.sampled[due]
        self.num_target_updates[due] += 1
        return due

    def drop(self, row: int) -> None:
        for entry in fields(self):
            setattr(self, entry.name, np.delete(getattr(self, entry.name), row))
