"""A pack of agents of one algorithm: who is in it, and what each one's full state is.

What members have in common (environment, spaces, network shape) is fixed when the pack opens; what
is a member's own is a row of the stacked arrays and a `Member`. Rows move up when one leaves; ids
never do.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.memory import Mind
from algorithms.core.dists.distributions import Distribution
from algorithms.core.lifting.heap import keep_pages
from algorithms.core.lifting.optim import AdamState
from algorithms.core.lifting.stack import LiftedForward
from algorithms.core.maths.running import RunningStats
from algorithms.core.packs.ground import Ground
from algorithms.core.packs.iteration import Reports, advance
from algorithms.core.packs.member import Episodes, Member, derived_seed, window_of
from algorithms.core.packs.reporting import not_finite
from algorithms.offline.trace import Traces
from tunerl.errors import CheckpointError, Conflict, InvalidConfig, TrainableError
from tunerl.trainable import Failure, State
from tunerl.trial import Config, Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.core.packs.hooks import Hooks


class AlgorithmPack(Ground):
    """Membership and state; a subclass says what a training iteration is (`iterate`).

    `resolve`: configuration with defaults, or `InvalidConfig`. `key`: equal for those that may
    share this pack.
    """

    algorithm: str
    policy: LiftedForward
    """What the networks say of observations: ``[K, P], [K, B, D] -> [K, B, num_inputs]``."""
    weight_noise = 0
    """How many normal draws an agent's network takes beside an observation, when it explores."""
    sample_axis = 1  # along which a batch's fields `[K, ...]` may be cut: samples, or sequences
    spec: Any = None
    owner: Any = None  # the `Algorithm` whose only agent is in here
    busy = iterating = False

    def __init__(
        self, config: Config, resolve: Callable[[Config], Config], key: Callable[[Config], str]
    ) -> None:
        super().__init__(config, resolve, key)
        keep_pages()
        self.traces = Traces(self)
        self.ids: list[ReplicaId] = []
        self.members: list[Member] = []
        self.flat = torch.zeros(0, self.layout.size)
        self.adam = AdamState(self.flat.clone(), self.flat.clone(), torch.zeros(0))
        more = self.fresh_more(torch.zeros(self.layout.size))
        self.more = {name: one.new_zeros((0, *one.shape)) for name, one in more.items()}
        self.return_stats = RunningStats(1)
        self.discounted = np.zeros((0, self.num_envs))
        self.capacity = self.shared["max_pack_size"]
        self.seeds: dict[ReplicaId, int] = {}  # as they were given
        self.failures: dict[ReplicaId, Failure] = {}  # of the iteration under way
        self.hooks = self._hooks(self.shared["callbacks"])

    def _hooks(self, callbacks: Any) -> Hooks | None:
        if not callbacks:
            return None
        from algorithms.core.packs.hooks import Hooks  # they know episodes, which know packs

        return Hooks(self, callbacks)

    def mind(self, num_envs: int) -> Mind:
        """What says what a member would do, in so many environments apart from its training."""
        return Mind(self.policy)

    # -- membership ---------------------------------------------------------------------------

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        if id in self.ids:
            raise ValueError(f"replica {id} is already in this pack; it cannot join twice")
        if len(self.ids) >= self.capacity:
            raise ValueError(f"the pack is full ({self.capacity} members); it cannot join")
        self.put_back(id, config, seed, state)
        if self.hooks is not None:
            try:
                self.hooks.entered(id, restored=state is not None)
            except TrainableError:
                self.leave(id)
                raise

    def put_back(
        self, id: ReplicaId, config: Config, seed: int, state: State | None = None
    ) -> None:
        """`join` of one that callbacks know already."""
        config = self._checked(config)
        self.traces.check(config)
        self.seeds[id] = seed
        if config["seed"] is not None:
            seed = derived_seed(seed, f"seed {config['seed']}")
        self._enter(id, config, seed, state)

    def _enter(self, id: ReplicaId, config: Config, seed: int, state: State | None) -> None:
        member = Member(
            config,
            seed,
            np.random.Generator(np.random.PCG64(derived_seed(seed, "actions"))),
            Episodes(self.num_envs, window_of(config)),
            adaptive=self.initial_adaptive(config),
        )
        if state is None:
            self.sampler.add(derived_seed(seed, "environments") >> 32)
            self._append(self.fresh_parameters(seed))
        else:
            self.check_state(state)
            self._append_state(member, state)
        self.ids.append(id)
        self.members.append(member)
        self.on_enter(len(self.ids) - 1, state)

    def leave(self, id: ReplicaId) -> None:
        self._drop(self._row(id))

    def configure(self, id: ReplicaId, config: Config) -> None:
        member = self.members[self._row(id)]
        member.config = self._checked(config)
        member.episodes.keep(window_of(member.config))

    def write(self, id: ReplicaId, state: State) -> None:
        if self.iterating:
            raise Conflict("this agent is collecting or learning; change it in on_train_result")
        if self.hooks is not None:
            self.hooks.forget_episodes(id)
        member, before = self.members[self._row(id)], self.read(id)
        self.leave(id)
        try:
            self._enter(id, member.config, member.seed, state)
        except Exception:
            self._enter(id, member.config, member.seed, before)
            raise

    def read(self, id: ReplicaId) -> State:
        row = self._row(id)
        member = self.members[row]
        env_arrays, env_values = self.sampler.read(row)
        arrays = {f"environment/{name}": array for name, array in env_arrays.items()}
        for name, tensor in self._tensors().items():
            arrays[name] = tensor[row].numpy().copy()
        for name, stats in (("observations", self.obs_stats), ("returns", self.return_stats)):
            for part, array in zip(("mean", "m2", "count"), stats.read(row), strict=True):
                arrays[f"{name}/{part}"] = array
        arrays["discounted"] = self.discounted[row].copy()
        arrays |= self.own_arrays(row)
        values = {
            "algorithm": self.algorithm,
            "member": member.to_json(),
            "environment": env_values,
        }
        return State(arrays, values)

    def close(self) -> None:
        self.traces.close()
        self.sampler.close()

    def step(self) -> Reports:
        return advance(self)

    # -- what a subclass may add --------------------------------------------------------------

    @abstractmethod
    def iterate(self) -> Reports:
        """One training iteration of every member; whoever fails in it has left."""

    def rounds(self) -> int:
        """How many of these are at least reported as one."""
        return 1

    def evaluated(self, member: Member, found: Metrics) -> None:
        """What a member reached in evaluation at its interval."""

    def initial_adaptive(self, config: Config) -> dict[str, float]:
        """Values that the algorithm adjusts by itself, at the start."""
        return {}

    def fresh_more(self, parameters: Tensor) -> dict[str, Tensor]:
        """Further tensors of a member beside its parameters `[P]`, by name (a target network)."""
        return {}

    def own_arrays(self, row: int) -> dict[str, NDArray[Any]]:
        """What else belongs to the full state of a member."""
        return {}

    def check_state(self, state: State) -> None:
        """Raise `CheckpointError` for a state that cannot be that of a member."""
        if state.values.get("algorithm") != self.algorithm:
            raise CheckpointError(
                f"the state is of {state.values.get('algorithm')!r}, this pack trains "
                f"{self.algorithm!r}; give it a checkpoint of that"
            )
        size = state.arrays["parameters"].size
        if size != self.layout.size:
            raise CheckpointError(
                f"the state has {size} parameters, the network of this configuration "
                f"{self.layout.size}; give it the model settings it was trained with"
            )

    def on_enter(self, row: int, state: State | None) -> None:
        """A member has come, fresh or from a state."""

    def actor(self, member: Member) -> Distribution:
        """The distribution from which the member takes its actions at this point of training."""
        return self.distribution

    def on_drop(self, row: int) -> None:
        """A row is about to be removed (from a rollout under way, say)."""

    # -- rows ---------------------------------------------------------------------------------

    def _row(self, id: ReplicaId) -> int:
        try:
            return self.ids.index(id)
        except ValueError:
            raise KeyError(f"replica {id} is not in this pack") from None

    def _checked(self, config: Config) -> Config:
        config = self.resolve(config)
        if self.key(config) != self.pack_key:
            raise InvalidConfig(
                "the configuration differs from the pack's in a fixed hyperparameter or in its "
                "environment; it needs a pack of its own"
            )
        return config

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "parameters": self.flat,
            "adam/mean": self.adam.mean,
            "adam/square": self.adam.square,
            "adam/steps": self.adam.steps,
            **self.more,
        }

    def _append(
        self,
        parameters: Tensor,
        adam: AdamState | None = None,
        more: dict[str, Tensor] | None = None,
    ) -> None:
        zeros = torch.zeros_like(parameters)
        adam = adam or AdamState(zeros, zeros, torch.zeros(()))
        more = self.fresh_more(parameters) if more is None else more
        self.more = {n: torch.cat([rows, more[n][None]]) for n, rows in self.more.items()}
        self.flat = torch.cat([self.flat, parameters[None]])
        self.adam = AdamState(
            *(torch.cat([rows, row[None]]) for rows, row in zip(self.adam, adam, strict=True))
        )
        self.return_stats.add()
        self.discounted = np.concatenate([self.discounted, np.zeros((1, self.num_envs))])

    def _append_state(self, member: Member, state: State) -> None:
        """Go on from a state. One of another seed (an exploit) lends all but its randomness."""
        arrays, values = state.arrays, state.values
        member.load(values["member"])
        tensors = {name: torch.from_numpy(arrays[name].copy()) for name in self._tensors()}
        if values["member"]["seed"] == member.seed:
            own = {
                name.removeprefix("environment/"): array
                for name, array in arrays.items()
                if name.startswith("environment/")
            }
            self.sampler.add(
                derived_seed(member.seed, "environments") >> 32, (own, values["environment"])
            )
        else:
            branch = derived_seed(member.seed, f"branch {member.iteration}")
            member.generator = np.random.Generator(np.random.PCG64(branch))
            member.episodes.running_return[:] = 0.0
            member.episodes.running_length[:] = 0
            self.sampler.add(branch >> 32)
        self._append(
            tensors["parameters"],
            AdamState(tensors["adam/mean"], tensors["adam/square"], tensors["adam/steps"]),
            {name: tensors[name] for name in self.more},
        )
        for name, stats in (("observations", self.obs_stats), ("returns", self.return_stats)):
            mean, m2, count = (arrays[f"{name}/{part}"] for part in ("mean", "m2", "count"))
            stats.write(len(self.members), (mean, m2, count))
        self.discounted[-1] = arrays["discounted"]

    def _drop(self, row: int) -> None:
        self.traces.leave(self.ids[row])
        self.on_drop(row)
        keep = torch.tensor([i for i in range(len(self.ids)) if i != row], dtype=torch.int64)
        self.sampler.remove(row)
        self.flat = self.flat[keep]
        self.adam = AdamState(*(rows[keep] for rows in self.adam))
        self.more = {name: rows[keep] for name, rows in self.more.items()}
        self.return_stats.remove(row)
        self.discounted = np.delete(self.discounted, row, 0)
        del self.ids[row], self.members[row]

    # -- who fails in an iteration ----------------------------------------------------------------

    def lose(self, row: int, error: Exception) -> None:
        """A member's environment or callback raised: it leaves at once, in the middle."""
        self.failures[self.ids[row]] = Failure.of(error)
        self._drop(row)

    def check_finite(self, statistics: Sequence[Mapping[str, float]]) -> None:
        """Note as failed who has parameters or statistics (one mapping a row) that are not."""
        finite = torch.isfinite(self.flat).all(1).tolist()
        for row, (id, member) in enumerate(zip(self.ids, self.members, strict=True)):
            wrong = [name for name, value in statistics[row].items() if not np.isfinite(value)]
            if not finite[row] or wrong:
                self.failures[id] = not_finite(member, wrong)

    def ended(self, reports: Reports) -> Reports:
        """An iteration's outcome: those that failed leave, the reports tell of them too."""
        for id in [id for id in self.ids if id in self.failures]:
            self.leave(id)
        return reports | self.failures
