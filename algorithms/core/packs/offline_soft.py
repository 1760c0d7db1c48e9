"""A pack of actor-critics that learn from files: a loss of several networks, target critics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.envs.spaces import check_spaces
from algorithms.core.lifting.descent import Descent
from algorithms.core.lifting.stack import Batch
from algorithms.core.nets.soft_nets import Nets, segments
from algorithms.core.packs.member import Member
from algorithms.core.packs.offline_pack import OfflinePack, Statistics
from algorithms.core.specs.offline_spec import OfflineSpec
from algorithms.core.specs.soft_spec import problems, with_defaults
from algorithms.core.specs.spec import spaces_of
from algorithms.offline.spaces_json import from_json
from tunerl.errors import InvalidConfig, Problem
from tunerl.trial import Config

Array = NDArray[Any]


class OfflineActorCriticPack(OfflinePack):
    """`rates` names the learning rate of each part of the network; `vectors` what else enters the
    loss, `[K]` each; `statistics` what the loss tells. The loss gets rewards in which a value v of
    the data's units is (v - mean) / deviation of the returns, where `normalize_returns` asks."""

    needed = ("obs", "actions", "rewards", "new_obs", "terminateds")
    statistics: tuple[str, ...]
    rates: Mapping[str, str]
    vectors: tuple[str, ...]

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.descent = Descent(
            self.network,
            self.loss,
            rates=self.rates,
            followed="critics",
            batch_size=self.batch_size,
            compile=bool(self.shared["torch_compile_learner"]),
            kind=self.kind("learn"),
            device=self.device,
        )

    @abstractmethod
    def loss(self, nets: Nets, batch: Batch, hp: Batch) -> tuple[Tensor, Batch]:
        """One agent's loss on one minibatch, and `statistics` `[S]`."""

    def dice(self, member: Member) -> dict[str, Array]:
        """The random numbers of a member's next update."""
        return {}

    def further(self, member: Member, update: int) -> dict[str, float]:
        """Numbers for `hp` at a member's update with this number, from 0."""
        return {}

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        return {"target": parameters[segments(self.layout)["critics"]].clone()}

    def learn(self, rows: list[int], updates: int) -> list[Statistics]:
        names = (*self.statistics, *(f"gradients_{part}_global_norm" for part in self.rates))
        tensors, hp, index = self._tensors(), self._hyper(), self.draw(rows, updates)
        mean, std = torch.tensor([self.scale(self.members[row].config) for row in rows]).mT[
            ..., None
        ]
        total = torch.zeros(len(rows), len(names))
        for i in range(updates):
            batch = self.minibatch(rows, index[i])
            batch["next_obs"] = batch.pop("new_obs")
            alive = 1.0 - batch.pop("terminateds")
            discounts = alive * hp["gamma"][rows][:, None]
            batch["rewards"] = (batch["rewards"] + (discounts - 1.0) * mean) / std
            batch["discounts"] = discounts
            numbers = [self.dice(self.members[row]) for row in rows]
            for name in numbers[0]:
                batch[name] = torch.from_numpy(np.stack([own[name] for own in numbers]))
            found = self.descent(tensors, rows, batch, hp | self._further(i))
            self.descent.follow(tensors, rows, hp["tau"])
            total += found["statistics"]
        means = (total / updates).tolist()
        return [dict(zip(names, mean, strict=True)) for mean in means]

    def _further(self, done: int) -> Batch:
        every = [self.further(member, member.updates + done) for member in self.members]
        return {name: torch.tensor([own[name] for own in every]) for name in every[0]}

    def _hyper(self) -> Batch:
        names = {*self.rates.values(), *self.vectors, "adam_epsilon", "grad_clip", "gamma", "tau"}
        return {
            name: torch.tensor(
                [
                    float("inf") if m.config[name] is None else m.hyperparameter(name)
                    for m in self.members
                ],
                dtype=torch.float32,
            )
            for name in sorted(names)
        }


class OfflineSoftSpec(OfflineSpec):
    """`advice`: what to use for action spaces that it does not take."""

    def __init__(self, name: str, parameters: type, pack: Any, *, advice: str = "") -> None:
        kinds = (spaces.Box,) if advice else (spaces.Box, spaces.Discrete)
        super().__init__(name, parameters, pack, actions=kinds)
        self.advice = advice

    def resolve(self, config: Config) -> Config:
        full = super().resolve(with_defaults(config, self.parameters))
        if full["observation_filter"] == "auto":
            own = full["model"]["custom_preprocessor"] is not None
            numbers = not own and _numbers(from_json(full["observation_space"]))
            full["observation_filter"] = "MeanStdFilter" if numbers else "NoFilter"
        return full

    def problems(self, config: Config) -> list[Problem]:
        found: list[Problem] = []
        if config["env"] is not None:
            found = self._unfit(lambda: spaces_of(config))
        found += super().problems(config) if not found or config["input_"] is None else []
        if not found:
            found = self._unfit(lambda: self.spaces(config)) + problems(config)
        return found

    def _unfit(self, both: Any) -> list[Problem]:
        try:
            check_spaces(*both(), actions=self.actions)
        except InvalidConfig as error:
            return [
                Problem(p.path or "env", p.message + (f"; {self.advice}" if self.advice else ""))
                for p in error.problems
            ]
        return []


def _numbers(space: spaces.Space[Any]) -> bool:
    """Whether observations are vectors of numbers: no choices, no pictures."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.values() if isinstance(space, spaces.Dict) else space.spaces
        return all(map(_numbers, parts))
    return isinstance(space, spaces.Box) and len(space.shape) <= 1
