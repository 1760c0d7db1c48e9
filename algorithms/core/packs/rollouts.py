"""What packs have in common that learn from rollouts: who acts, what is valued, what is remembered.

Invariant: a member's recurrent state at the beginning of a sequence is the one it acted with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from algorithms.core.collecting.memory import Carried, Mind, Recall, recurrent
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.sampler import Act, sampling
from algorithms.core.envs import StepBatch
from algorithms.core.lifting.stack import LiftedForward, caller
from algorithms.core.nets import RecurrentActorCritic
from algorithms.core.packs.pack import AlgorithmPack
from tunerl.trial import Config


class RolloutPack(AlgorithmPack):
    """`recurrent`: whether the loss takes networks with a memory.

    `last_too`: the loss takes the observation after a rollout's last step, too.
    """

    recurrent = False
    last_too = False

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.policy = LiftedForward(self.layout, self._half("policy", 0), self.kind("policy"))
        self.value = LiftedForward(self.layout, self._half("value", 1), self.kind("value"))
        if self.recall is not None:
            step = caller(self.network, "step")
            self.network_step = LiftedForward(self.layout, step, self.kind("step"))
            self.sampler.memory = self.recall
            self.sampler.watchers.append(self._remember)
        self.sampler.watchers.append(self.traces.watch)

    @property
    def horizon(self) -> int:
        """T: the steps of each sub-environment in a rollout."""
        raise NotImplementedError

    def _half(self, name: str, index: int) -> Callable[..., Tensor]:
        """The network's method `policy` or `value`; without it, that part of its forward.

        A layer that goes by such a name is no method: it does not take observations.
        """
        if hasattr(type(self.network), name):
            return caller(self.network, name)
        whole = caller(self.network)
        return lambda parameters, obs: whole(parameters, obs)[index]

    # -- who acts -----------------------------------------------------------------------------

    def acting(self) -> Tensor:
        """The parameters that act, `[K, P]`."""
        return self.flat

    def bound(self, method: LiftedForward) -> Callable[..., Tensor]:
        """A method of the network with the parameters that act."""
        return method.bind(self.acting())

    def _acting(self) -> Act:
        if self.recall is None:
            return sampling(self.bound(self.policy), self.distribution)
        step = partial(self.recall.act, self.bound(self.network_step))
        return sampling(step, self.distribution)

    # -- what is remembered -------------------------------------------------------------------

    @cached_property
    def recall(self) -> Recall | None:
        """What members of recurrent networks carry; they learn from whole sequences."""
        if not recurrent(self.shared["model"]):
            return None
        return Recall(
            self.extras,
            self._state_size(),
            self.num_envs,
            self.distribution.num_inputs,
            self.horizon,
            self.shared["model"]["max_seq_len"],
            last=self.last_too,
        )

    def _state_size(self) -> int:
        assert isinstance(self.network, RecurrentActorCritic)
        size: int = self.network.state_size
        return size

    def _remember(self, t: int, rollout: Rollout, batch: StepBatch) -> None:
        assert self.recall is not None

        def step(obs: Tensor, state: Tensor) -> Tensor:
            return self.bound(self.network_step)(obs, state)

        self.recall.after(t, rollout, batch, step)

    def mind(self, num_envs: int) -> Mind:
        if self.recall is None:
            return super().mind(num_envs)
        carried = Carried(self.extras, self._state_size(), num_envs)
        carried.add()
        return Mind(self.network_step, carried, self.distribution.num_inputs)
