"""A pack of agents that imitate data: a policy (and value) network, one loss, one optimiser."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from algorithms.core.lifting.optim import AdamState
from algorithms.core.lifting.stack import Batch, LiftedUpdate, chunks
from algorithms.core.packs.offline_pack import OfflinePack, Statistics
from tunerl.trial import Config


class ImitationPack(OfflinePack):
    """`statistics` names what `loss` returns beside the loss; `vectors` the `[K]` inputs of it."""

    statistics: tuple[str, ...]
    vectors: tuple[str, ...]

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.update = LiftedUpdate(
            self.layout,
            self.network,
            self.loss,
            bool(self.shared["torch_compile_learner"]),
            clip_by=self.shared["grad_clip_by"],
            kind=self.kind("update"),
            device=self.device,
        )

    @abstractmethod
    def loss(self, call: Any, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        """One agent's loss on one minibatch, and the statistics `[S]`. `call` is its network."""

    def learn(self, rows: list[int], updates: int) -> list[Statistics]:
        names = (*self.statistics, "gradients_default_optimizer_global_norm")
        found: list[Statistics] = []
        for start, size in chunks(len(rows), self.update.sizes):
            chunk = rows[start : start + size]
            means = self._updates(chunk, size, updates)
            found += [dict(zip(names, mean, strict=True)) for mean in means[: len(chunk)].tolist()]
        rates = [self.members[row].hyperparameter("lr") for row in rows]
        return [
            statistics | {"default_optimizer_learning_rate": rate}
            for statistics, rate in zip(found, rates, strict=True)
        ]

    def _updates(self, chunk: list[int], size: int, updates: int) -> Tensor:
        """So many updates of some members, in `size` rows; mean statistics `[size, S]`."""
        rows = chunk + [chunk[-1]] * (size - len(chunk))
        flat, adam = self.flat[rows], AdamState(*(part[rows] for part in self.adam))
        hp, index = self._vectors(rows), self.draw(rows, updates)
        extra = self.prepare(rows)
        total = torch.zeros(())
        for i in range(updates):
            batch = self.minibatch(rows, index[i])
            batch |= {name: column.gather(1, index[i]) for name, column in extra.items()}
            flat, adam, statistics = self.update(flat, adam, batch, hp)
            self.after_update(hp, statistics)
            total = total + statistics
        real = len(chunk)
        self.flat[chunk] = flat[:real]
        for part, new in zip(self.adam, adam, strict=True):
            part[chunk] = new[:real]
        self.after_updates(chunk, hp)
        return total / updates

    def _vectors(self, rows: list[int]) -> Batch:
        """The hyperparameters that enter the update, `[R]` each; None means no limit."""
        columns = {}
        for name in self.vectors:
            own = []
            for row in rows:
                member = self.members[row]
                if name in member.adaptive:
                    own.append(member.adaptive[name])
                elif member.config[name] is None:
                    own.append(float("inf"))
                else:
                    own.append(member.hyperparameter(name))
            columns[name] = torch.tensor(own, dtype=torch.float32)
        return columns

    def prepare(self, rows: list[int]) -> Batch:
        """Further columns `[R, N]` of an iteration, which differ between members."""
        return {}

    def after_update(self, hp: Batch, statistics: Tensor) -> None:
        """Between two updates: adjust what the next one takes."""

    def after_updates(self, chunk: list[int], hp: Batch) -> None:
        """At the end of an iteration: keep what the algorithm adjusts by itself."""
