"""Asynchronous Advantage Actor-Critic (Mnih et al., arXiv 1602.01783), written for one agent.

Workers with weights of their own, each somewhat old, take fragments and the gradient at *their*
weights; the gradients are applied one by one to the shared weights, with shared statistics of the
optimiser, and who delivered takes the shared weights over. Here workers deliver in turn, so that a
gradient is always `num_env_runners` - 1 updates late, and runs repeat exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.a2c import A2CPack
from algorithms.algorithm import Algorithm
from algorithms.config import AlgorithmConfig
from algorithms.core.lifting.stack import Batch, LiftedForward
from algorithms.core.specs.turn_parameters import ActorCriticParameters
from algorithms.core.specs.turn_spec import TurnSpec
from tunerl.trainable import fixed, vector


@dataclass(frozen=True)
class A3CParameters(ActorCriticParameters):
    """What can be tuned. RLlib's names where it has one."""

    num_env_runners: int = fixed(4, "workers with weights of their own (0 counts as 1)", low=0)
    num_envs_per_env_runner: int = fixed(2, "sub-environments of each worker", low=1)
    rollout_fragment_length: int = fixed(
        10, "steps of each sub-environment before a worker takes a gradient", low=1
    )
    train_batch_size: int | None = fixed(
        None, "environment steps of all workers in a round, rounded up to whole fragments; None: "
        "one fragment of each sub-environment", low=1, optional=True,
    )  # fmt: skip
    opt_type: str = fixed(
        "rmsprop", "rmsprop_tf: as TensorFlow has it", choices=("rmsprop", "rmsprop_tf", "adam")
    )
    use_gae: bool = vector(True, "False: n-step returns, as lambda_ 1")
    lambda_: float = vector(1.0, "GAE's lambda", low=0.0, high=1.0, search={"uniform": [0.8, 1.0]})
    use_critic: bool = vector(True, "False: the value is no baseline, it only ends the returns")
    normalize_advantages: bool = vector(False, "mean 0 and deviation 1 in each worker's batch")


class A3CPack(A2CPack):
    """A2C's loss, with gradients that come late."""

    algorithm = "A3C"

    @property
    def workers(self) -> int:
        return max(1, int(self.shared["num_env_runners"]))

    def parts(self) -> int:
        return 1

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        return {
            "workers": parameters.expand(self.workers, -1).clone(),
            "versions": torch.zeros(self.workers),
        }

    def bound(self, method: LiftedForward) -> Callable[..., Tensor]:
        run = method.bind(self.more["workers"].flatten(0, 1))

        def call(*args: Tensor) -> Tensor:
            rows, envs = args[0].shape[:2]
            shape = rows * self.workers, envs // self.workers
            found = run(*(part.reshape(*shape, *part.shape[2:]) for part in args))
            return found.reshape(rows, envs, *found.shape[2:])

        return call

    def learn(self, batch: Batch) -> None:
        every, copies = list(range(len(self.members))), self.more["workers"]
        for worker, columns in enumerate(self._columns()):
            own = {name: value.index_select(2, columns) for name, value in batch.items()}
            updates = torch.tensor([float(member.updates) for member in self.members])
            late = updates - self.more["versions"][:, worker]
            self.train(every, own, late, copies[:, worker].contiguous())
            copies[:, worker] = self.flat
            self.more["versions"][:, worker] = updates + 1

    def learn_once(self, batch: Batch, known: Tensor) -> None:
        super().learn_once(batch, known)
        updates = torch.tensor([float(member.updates) for member in self.members])
        self.more["workers"] = self.flat[:, None].expand(-1, self.workers, -1).clone()
        self.more["versions"] = updates[:, None].expand(-1, self.workers).clone()

    def _columns(self) -> list[Tensor]:
        """The columns of a batch that are each worker's."""
        columns = torch.arange(self.columns).view(self.fragments, self.workers, -1)
        return [columns[:, worker].reshape(-1) for worker in range(self.workers)]


SPEC = TurnSpec("A3C", A3CParameters, A3CPack)


class A3CConfig(AlgorithmConfig):
    """The configuration of an A3C agent; its fields are those of `A3CParameters`."""

    spec = SPEC


class A3C(Algorithm):
    """One A3C agent."""

    spec = SPEC
