"""`Learner` and `LearnerGroup`: gradients of one agent's loss on a batch, here or in Ray actors.

Invariant: the gradient of a group is the mean of those of its learners' equal parts of the batch;
it is clipped and applied once. (What a loss takes over a whole minibatch, such as the mean of the
advantages, it takes over each part.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.native import quick
from algorithms.core.lifting.optim import AdamState, clip
from algorithms.core.lifting.stack import Batch, LiftedUpdate
from algorithms.module import DEFAULT_POLICY, Weights
from algorithms.policy import with_weights
from algorithms.sampling.remote import Fleet, Gone, Recipe, check_count
from tunerl.errors import InvalidConfig, InvalidInput, Problem, TrainableError
from tunerl.trainable import State
from tunerl.trial import ReplicaId

_ID = ReplicaId(0, 0)
Arrays = dict[str, NDArray[Any]]


class LiftedGradient:
    """The gradient and the statistics of `update`'s loss, `[K, P]` and `[K, S]`."""

    def __init__(self, update: LiftedUpdate) -> None:
        self.update = update
        self.graphs: dict[Any, Callable[..., Any]] = {}

    def __call__(self, flat: Tensor, batch: Batch, hp: Batch) -> tuple[Tensor, Tensor]:
        names, settings = list(batch), list(hp)
        key = (len(flat), *((name, *value.shape) for name, value in batch.items()))
        args = (flat, *batch.values(), *hp.values())
        if key not in self.graphs:

            def lifted(flat: Tensor, *rest: Tensor) -> Any:
                items = dict(zip(names, rest[: len(names)], strict=True))
                values = dict(zip(settings, rest[len(names) :], strict=True))
                return vmap(self.update.gradient)(flat, items, values)

            update = self.update
            away = update.device.away
            self.graphs[key] = update.device.graph(lifted, args) if away else quick(lifted, args)
        gradient, statistics = self.graphs[key](*args)
        return gradient, statistics


class Learner:
    """Learns with the loss of the algorithm of `config`, on batches of its fields.

    The fields are those that the loss takes: for PPO `obs` (encoded) `[B, D]`, `actions`,
    `dist_inputs`, `logp`, `values`, `advantages`, `targets` `[B, ...]`. Raises `InvalidConfig`
    for an algorithm whose iteration is not such updates.
    """

    def __init__(self, config: AlgorithmConfig, *, seed: int | None = None) -> None:
        self.config = config.copy(copy_frozen=False)
        settings = self.config.resolved() | {"num_env_runners": 0}
        pack: Any = self.config.spec.open_pack(settings)
        self.pack = pack
        self.lifted = LiftedGradient(lifted_update(pack))
        self.pack.join(_ID, settings, (self.config["seed"] or 0) if seed is None else seed)

    def compute_gradients(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The gradient of the loss by parameters' names, beside ``statistics``; nothing changes."""
        fields = {name: torch.as_tensor(np.asarray(value))[None] for name, value in batch.items()}
        gradient, statistics = gradients(self.lifted, self.pack.flat, fields, self._hp())
        views = self.pack.layout.views(gradient[0])
        found = dict(zip(self.pack.statistics, statistics[0].tolist(), strict=False))
        return {"gradients": {n: v.numpy().copy() for n, v in views.items()}, "statistics": found}

    def apply_gradients(self, gradients: Mapping[str, Any]) -> float:
        """Clip a gradient and take a step of the optimiser along it; its norm before."""
        parts = {name: torch.as_tensor(np.asarray(value)) for name, value in gradients.items()}
        if parts.keys() != self.pack.layout.shapes.keys():
            odd = sorted(parts.keys() ^ self.pack.layout.shapes.keys())
            raise InvalidInput(f"these gradients are not of this network: {', '.join(odd)}")
        gradient = self.pack.layout.join(parts)[None]
        flat, state, norm = step(
            self.pack.update, self.pack.flat, self.pack.adam, gradient, self._hp()
        )
        self.pack.flat, self.pack.adam = flat, state
        self.pack.members[0].updates += 1
        return float(norm[0])

    def update(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """One step on one batch: the statistics of the loss, and the gradient's norm."""
        found = self.compute_gradients(batch)
        norm = self.apply_gradients(found["gradients"])
        statistics: dict[str, float] = found["statistics"]
        return {**statistics, "gradients_default_optimizer_global_norm": norm}

    def _hp(self) -> Batch:
        hp: Batch = self.pack._vectors()
        return hp

    def get_weights(self) -> dict[str, Weights]:
        """``{"default_policy": {name: array}}``."""
        views = self.pack.layout.views(self.pack.flat[0])
        return {DEFAULT_POLICY: {name: view.numpy().copy() for name, view in views.items()}}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """The inverse. Raises `InvalidInput` for those of another network."""
        own = weights.get(DEFAULT_POLICY, weights)
        self.pack.flat[0] = torch.from_numpy(with_weights(self.pack, own))

    def get_state(self) -> dict[str, Any]:
        """Parameters, optimiser, counts: everything that `set_state` needs."""
        state: State = self.pack.read(_ID)
        return {"arrays": state.arrays, "values": state.values}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.pack.write(_ID, State(state["arrays"], state["values"]))

    def part_gradient(self, flat: Any, fields: Arrays, hp: Arrays) -> tuple[Any, Any]:
        """Gradient and statistics `[K, ...]` at given parameters, as a group asks for them."""
        tensors = [
            {n: torch.from_numpy(v.copy()) for n, v in part.items()} for part in (fields, hp)
        ]
        found = gradients(self.lifted, torch.from_numpy(flat.copy()), *tensors)
        return tuple(part.numpy() for part in found)

    def ping(self) -> str:
        return "pong"

    def stop(self) -> None:
        self.pack.close()


class RemoteLearner(Learner):
    """A learner that is built from plain settings, where nothing else is known."""

    def __init__(self, spec: Any, config: Mapping[str, Any]) -> None:
        super().__init__(AlgorithmConfig.of(spec, config))


def lifted_update(pack: Any) -> LiftedUpdate:
    """What a pack updates with. Raises `InvalidConfig` where it is no mean over a batch."""
    update = getattr(pack, "update", None)
    if not isinstance(update, LiftedUpdate):
        raise InvalidConfig(
            Problem("num_learners", f"{pack.algorithm} learns in one process only; leave it at 0")
        )
    return update


def gradients(lifted: LiftedGradient, flat: Tensor, fields: Batch, hp: Batch) -> tuple[Any, Any]:
    """Of `[K, ...]`; a single row is run beside a copy of itself, as everywhere."""
    lone = len(flat) == 1
    if lone:
        flat = flat.expand(2, -1).contiguous()
        fields, hp = (
            {n: torch.cat([v, v]).contiguous() for n, v in part.items()} for part in (fields, hp)
        )
    gradient, statistics = lifted(flat, fields, hp)
    return (gradient[:1], statistics[:1]) if lone else (gradient, statistics)


def step(
    update: LiftedUpdate, flat: Tensor, state: AdamState, gradient: Tensor, hp: Batch
) -> tuple[Tensor, AdamState, Tensor]:
    """Clip a gradient `[K, P]` and apply it, per row: parameters, optimiser, norms `[K]`."""
    hp = update.rule.prepared(hp, state)

    def one(flat: Tensor, state: AdamState, gradient: Tensor, hp: Batch) -> Any:
        gradient, norm = clip(gradient, hp["grad_clip"], update.clip_by, update.layout.counts)
        return *update.rule.step(flat, gradient, state, hp), norm

    with torch.no_grad():
        found, after, norm = vmap(one)(flat, state, gradient, hp)
    return found, AdamState(*after), norm


class LearnerGroup:
    """`num_learners` learners in actors, each of which takes its part of every batch; 0: here."""

    def __init__(
        self,
        config: AlgorithmConfig,
        *,
        num_learners: int = 0,
        num_cpus_per_learner: float = 1.0,
    ) -> None:
        count = check_count("num_learners", num_learners)
        self.local = Learner(config)
        self.fleet: Fleet | None = None
        if count > 0:
            recipe = Recipe(RemoteLearner, lambda index: {"config": config.to_dict()}, config.spec)
            self.fleet = Fleet(recipe, count, cpus=num_cpus_per_learner)

    def __len__(self) -> int:
        return len(self.fleet.actors) if self.fleet else 1

    def update(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """One step of all on one batch, whose size must be a multiple of their number."""
        if self.fleet is None:
            return self.local.update(batch)
        fields = {name: torch.as_tensor(np.asarray(value))[None] for name, value in batch.items()}
        pack = self.local.pack
        spread = SpreadUpdate(pack.update, self.fleet, pack.sample_axis)
        pack.flat, pack.adam, statistics = spread(pack.flat, pack.adam, fields, pack._vectors())
        pack.members[0].updates += 1
        names = (*pack.statistics, "gradients_default_optimizer_global_norm")
        return dict(zip(names, statistics[0].tolist(), strict=True))

    def get_weights(self) -> dict[str, Weights]:
        return self.local.get_weights()

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        self.local.set_weights(weights)

    def get_state(self) -> dict[str, Any]:
        return self.local.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.local.set_state(state)

    def foreach_learner(self, func: Callable[[Learner], Any]) -> list[Any]:
        """``func(learner)`` of the one that holds the state."""
        return [func(self.local)]

    def stop(self) -> None:
        """Close what is open, end the actors."""
        self.local.stop()
        if self.fleet is not None:
            self.fleet.stop()
            self.fleet = None


class SpreadUpdate:
    """Takes the place of a `LiftedUpdate`: the gradient is the mean of those of a fleet's parts,
    cut along this axis of the fields `[K, ...]`."""

    def __init__(self, update: LiftedUpdate, fleet: Fleet, axis: int) -> None:
        self.whole, self.fleet, self.axis = update, fleet, axis
        self.sizes = update.sizes
        self.layout, self.rule, self.clip_by = update.layout, update.rule, update.clip_by

    def __call__(
        self, flat: Tensor, state: AdamState, batch: Batch, hp: Batch, at: Tensor | None = None
    ) -> tuple[Tensor, AdamState, Tensor]:
        """As `LiftedUpdate` has it. Raises `TrainableError` where a learner is lost."""
        parts = self._parts(batch)
        where = self.fleet.put((flat if at is None else at).numpy())
        settings = {name: value.numpy() for name, value in hp.items()}
        each = {
            number: (part, settings) for number, part in zip(self.fleet.actors, parts, strict=True)
        }
        answers = self.fleet.call("part_gradient", where, each=each)
        lost = [f"{n}: {a.why}" for n, a in answers.items() if isinstance(a, Gone)]
        if lost:
            raise TrainableError(f"learners are lost ({'; '.join(lost)})")
        gradient, statistics = (
            torch.stack([torch.from_numpy(answer[i].copy()) for answer in answers.values()]).mean(0)
            for i in (0, 1)
        )
        flat, state, norm = step(self.whole, flat, state, gradient, hp)
        return flat, state, torch.cat([statistics, norm[:, None]], 1)

    def several(
        self, flat: Tensor, state: AdamState, batches: Batch, hp: Batch
    ) -> tuple[Tensor, AdamState, Tensor]:
        """As `LiftedUpdate` has it."""
        total, columns = torch.zeros(()), [value.unbind(0) for value in batches.values()]
        for items in zip(*columns, strict=True):
            batch = dict(zip(batches, items, strict=True))
            flat, state, statistics = self(flat, state, batch, hp)
            total = total + statistics
        return flat, state, total / len(columns[0])

    def _parts(self, batch: Batch) -> Sequence[Arrays]:
        number = len(self.fleet.actors)
        size = next(iter(batch.values())).shape[self.axis]
        if size % number:
            raise InvalidInput(f"a minibatch of {size} cannot be divided among {number} learners")
        cut = {name: value.chunk(number, self.axis) for name, value in batch.items()}
        return [
            {n: np.ascontiguousarray(v[i].numpy()) for n, v in cut.items()} for i in range(number)
        ]


def check_learners(pack: Any, number: int) -> None:
    """Raise `InvalidConfig` where so many learners cannot share the minibatches of a pack."""
    lifted_update(pack)
    size = int(getattr(pack, "minibatch", 0) or getattr(pack, "columns", number))
    if size % number:
        raise InvalidConfig(
            Problem("num_learners", f"a minibatch of {size} cannot be divided among {number}")
        )


def spread_learning(pack: Any, config: AlgorithmConfig, number: int) -> Fleet:
    """From now on the updates of a pack's one member are those of `number` learners."""
    recipe = Recipe(RemoteLearner, lambda index: {"config": config.to_dict()}, config.spec)
    fleet = Fleet(recipe, number)
    pack.update = SpreadUpdate(pack.update, fleet, pack.sample_axis)
    return fleet
