"""Actors and a learner that lag behind one another: copies of the weights act, batches wait.

In a pack the lag is simulated and exact: acting weights are renewed every `broadcast_interval`
updates, and a turn learns on batches collected a fixed number of turns ago.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.core.lifting.stack import Batch
from algorithms.core.packs.turns import TurnPack
from tunerl.errors import TrainableError
from tunerl.trial import Config


class LaggedPack(TurnPack):
    """`self.ages` says how old, in turns, the batches are that a turn learns on, one after the
    other; a member that has none so old yet does without. Each is learned from in `num_epochs`
    passes over minibatches of whole columns. `source`: whence the batches of a lone member come,
    if not from the sampler, with the `version` that acted; how late they are is then up to it."""

    source: Callable[[], Batch] | None = None

    @property
    @abstractmethod
    def ages(self) -> tuple[int, ...]:
        """From the configuration that all have in common."""

    @property
    def depth(self) -> int:
        """How many batches are kept."""
        return max(self.ages) + 1

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        size = self.shared["minibatch_size"] or self.samples
        self.minibatch = min(self.columns, max(1, size // self.horizon))

    def _collect(self) -> Batch:
        if self.source is None:
            return super()._collect()
        try:
            return self.source()
        except TrainableError as error:
            self.lose(0, error)
            return {}

    def learn_once(self, batch: Batch, known: Tensor) -> None:
        rows = list(range(len(self.members)))
        self.train(rows, self.refine(rows, batch))
        self.updated(rows)

    def refine(self, rows: Sequence[int], batch: Batch) -> Batch:
        """A batch `[len(rows), ...]` with what the loss needs besides what was collected."""
        return batch

    def updated(self, rows: Sequence[int]) -> None:
        """These members have made one more update."""
        due = [
            row
            for row in rows
            if self.members[row].updates % self.members[row].config["broadcast_interval"] == 0
        ]
        self.more["acting"][due] = self.flat[due]
        self.more["version"][due] = self._updates(due)

    # -- rows ---------------------------------------------------------------------------------

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        own = {"acting": parameters, "version": torch.zeros(()), "turns": torch.zeros(()).long()}
        if self.depth > 1:
            own["memory/version"] = torch.zeros(self.depth)
            own |= {f"memory/{name}": field for name, field in self._room().items()}
        return own

    def _room(self) -> Batch:
        """Empty batches `[depth, ...]` as `_fields` makes them for a member."""
        steps, dist = (self.depth, self.horizon, self.columns), self.distribution
        dtype = torch.int64 if dist.discrete else torch.float32
        size = self.obs_codec.D + self.extras.size
        room = {
            "obs": torch.zeros(self.depth, self.horizon + 1, self.columns, size),
            "actions": torch.zeros(*steps, *dist.action_shape, dtype=dtype),
            "dist_inputs": torch.zeros(*steps, dist.num_inputs),
        }
        names = ["rewards", "ends", "bootstrap"]
        if self.shared["gym_env_vectorize_mode"] == "envpool":
            names.append("weights")
        if self.recall is not None:
            n, length, state = self.recall.sequences, self.recall.length, self._state_size()
            room["states"] = torch.zeros(self.depth, n, self.columns, state)
            room["starts"] = torch.zeros(self.depth, n * length, self.columns)
        return room | {name: torch.zeros(steps) for name in names}

    def acting(self) -> Tensor:
        return self.more["acting"]

    def _updates(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor([float(self.members[row].updates) for row in rows])

    # -- learning -----------------------------------------------------------------------------

    def learn(self, batch: Batch) -> None:
        batch = {"version": self.more["version"].clone()} | batch
        every, turns = torch.arange(len(self.members)), self.more["turns"]
        if self.depth > 1:
            for name, value in batch.items():
                self.more[f"memory/{name}"][every, turns % self.depth] = value
        waited = 0 if self.source is None else min(self.ages)
        for age in (age - waited for age in self.ages):
            due = [row for row, turn in enumerate(turns.tolist()) if turn >= age]
            if due:
                self._learn_on(due, self._aged(due, age) if age else dict(batch))
        self.more["turns"] = turns + 1

    def _aged(self, rows: list[int], age: int) -> Batch:
        slots = (self.more["turns"][rows] - age) % self.depth
        own = torch.tensor(rows)
        memory = "memory/"
        return {
            name.removeprefix(memory): values[own, slots]
            for name, values in self.more.items()
            if name.startswith(memory)
        }

    def _learn_on(self, rows: list[int], batch: Batch) -> None:
        versions = batch.pop("version")
        batch = self.refine(rows, batch)
        epochs = [self.members[row].config["num_epochs"] for row in rows]
        for epoch in range(max(epochs)):
            among = [i for i, number in enumerate(epochs) if epoch < number]
            active = [rows[i] for i in among]
            part = batch if len(among) == len(rows) else {n: x[among] for n, x in batch.items()}
            for piece in self._pieces(active, part):
                self.train(active, piece, self._updates(active) - versions[among])
                self.updated(active)

    def _pieces(self, rows: list[int], batch: Batch) -> list[Batch]:
        """Minibatches of whole columns, in an order of each member's own."""
        number = self.columns // self.minibatch
        if number == 1:
            return [batch]
        orders = np.stack([self.members[r].generator.permutation(self.columns) for r in rows])
        own = torch.arange(len(rows))[:, None]
        found = []
        for part in np.split(orders[:, : number * self.minibatch], number, 1):
            columns = torch.from_numpy(part)
            found.append(
                {
                    name: value.transpose(1, 2)[own, columns].transpose(1, 2).contiguous()
                    for name, value in batch.items()
                }
            )
        return found
