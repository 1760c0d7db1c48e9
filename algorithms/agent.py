"""`Agent`: one agent in a pack of its own: its configuration, its full state, its life.

Invariant: what was saved and restored goes on exactly as what was not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from algorithms import building
from algorithms.config import AlgorithmConfig
from algorithms.core.packs.member import Member, derived_seed
from algorithms.core.specs.names import plain
from algorithms.core.specs.spec import AlgorithmSpec
from algorithms.policy import Policy
from tunerl.errors import CheckpointError, Conflict, TrainableError
from tunerl.trainable import Failure, State
from tunerl.trial import ReplicaId

if TYPE_CHECKING:
    from algorithms.core.envs import PackEnvs
    from algorithms.core.packs.pack import AlgorithmPack
    from algorithms.sampling.of_agent import Runners


class Agent:
    """What `Algorithm` stands on; see there."""

    spec: ClassVar[AlgorithmSpec]
    in_sweep = False  # then a worker runs it, and it has none of its own
    runners: Runners | None = None

    def __init__(
        self,
        config: AlgorithmConfig | Mapping[str, Any] | None = None,
        env: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        full = building.configuration(type(self), config, env)
        drawn = 0 if full["seed"] is not None else secrets.randbits(31)
        self._configure(full)
        pack: Any = self.config.spec.open_pack(self._settings)
        self._sit(pack, ReplicaId(0, 0), drawn if seed is None else seed)
        pack.owner = self
        try:
            if self._settings.get("num_learners", 0) > 1:
                from algorithms.sampling.learner import check_learners

                check_learners(pack, self._settings["num_learners"])
            pack.join(self._id, self._settings, self._seed)
        except BaseException:
            self.stop()
            raise

    @classmethod
    def within(cls, pack: AlgorithmPack, id: ReplicaId) -> Self:
        """A member of a pack that somebody else drives: all but `train` and `stop` work."""
        made = cls.__new__(cls)
        member = pack.members[pack.ids.index(id)]
        made._configure(AlgorithmConfig.of(pack.spec, member.config))
        made._sit(pack, id, pack.seeds[id])
        made._guest = True
        return made

    def _sit(self, pack: AlgorithmPack, id: ReplicaId, seed: int) -> None:
        self._pack: AlgorithmPack | None = pack
        self._id, self._seed = id, seed
        self._guest = False
        self._policy: Policy | None = None
        self._seen: tuple[Member, int, int] | None = None
        self._generator = self._action_generator()
        self._failed: Failure | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"{self.name}({self._settings['env']!r})"

    # -- what it is -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name under which the algorithm is registered."""
        return self.config.spec.name

    @property
    def iteration(self) -> int:
        """How many training iterations its agent has behind it."""
        return self.record.iteration

    training_iteration = iteration

    @property
    def record(self) -> Member:
        """What it counts (iterations, environment steps, episodes), and its random generator."""
        pack = self._member()
        return pack.members[pack.ids.index(self._id)]

    @property
    def failure(self) -> Failure | None:
        """Why it cannot go on, if it failed."""
        return self._failed

    @property
    def pack(self) -> AlgorithmPack:
        """The pack of one that it is. Raises `Conflict` where it cannot go on."""
        return self._member()

    def stop(self) -> None:
        """Close the environments, end its actors. Twice is no error."""
        self._own()
        if self.runners is not None:
            self.runners.stop()
        if self._pack is not None:
            self._pack.close()
            self._pack = None

    # -- its configuration and state ------------------------------------------------------------

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Other values of settings that may change while it trains (learning rate, ...); True.

        Raises `InvalidConfig` for those that fix the shape of the agent or its environment.
        """
        config = building.settings_of({**self.config.to_dict(), **new_config}, self.config.spec)
        self._member().configure(self._id, dict(config.items()))
        self._configure(config)
        return True

    def get_state(self) -> dict[str, Any]:
        """Everything that `set_state` needs to go on bit for bit; `state` holds the arrays."""
        state, config = self._state(), plain(self._settings)
        member = state.values["member"]
        member["config"] = config
        clock = {"training_iteration": member["iteration"], "time_total_s": member["time_total_s"]}
        own = {"trainable": self.name, "replica": 0, "seed": self._seed, "config": config}
        return {**clock, **own, "state": state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`; the agent takes over the seed too, so nothing differs.

        Raises `CheckpointError` for a state of another algorithm or network, and stays as it was.
        """
        if state.get("trainable") != self.name:
            raise CheckpointError(
                f"the checkpoint is of {state.get('trainable')!r}, this is a {self.name!r}; use "
                "Algorithm.from_checkpoint"
            )
        pack, before = self._running(), None
        if self._id in pack.ids:
            before = pack.read(self._id)
            pack.leave(self._id)
        settings = {**self._settings, "seed": state["config"].get("seed")}
        try:
            pack.join(self._id, settings, int(state["seed"]), state["state"])
        except Exception as error:
            if before is not None:
                pack.put_back(self._id, self._settings, self._seed, before)
            if isinstance(error, CheckpointError | TrainableError):
                raise
            raise CheckpointError(f"the checkpoint does not fit {self!r}: {error}") from error
        self._configure(AlgorithmConfig.of(self.config.spec, settings))
        self._seed, self._failed, self._policy = int(state["seed"]), None, None
        self._generator = self._action_generator()

    def take(self, state: State) -> None:
        """Go on from an agent's full state, with the seed of one's own."""
        own = {"trainable": self.name, "seed": self._seed, "config": plain(self._settings)}
        self.set_state({**own, "state": state})

    def seat(self) -> tuple[AlgorithmPack, int]:
        """The pack that it is in, and its row there now."""
        pack = self._member()
        return pack, pack.ids.index(self._id)

    def _own(self) -> None:
        """Raise `Conflict` unless one may train or stop it now."""
        if self._guest:
            raise Conflict("this agent is trained by a sweep, which alone can train or stop it")
        if self._pack is not None and self._pack.busy:
            raise Conflict("this agent is in an iteration; train or stop it when that is over")

    def _has_changed(self) -> bool:
        """Whether it has learned, or was replaced, since this was asked last."""
        record, before = self.record, self._seen
        self._seen = record, record.iteration, record.updates
        return before is None or before[0] is not record or before[1:] != self._seen[1:]

    # -- the pack -------------------------------------------------------------------------------

    def _configure(self, config: AlgorithmConfig) -> None:
        self.config = building.settings_of(config.to_dict(), config.spec)
        self._settings = dict(self.config.items())

    def make_envs(self, num_envs: int) -> PackEnvs:
        """Fresh environments like its own, to play in; to be closed. Raises `InvalidConfig`."""
        return self._member().make_envs(num_envs)

    def _running(self) -> AlgorithmPack:
        if self._pack is None:
            raise Conflict(f"this {self.name} was stopped; build or restore another one")
        return self._pack

    def _member(self) -> AlgorithmPack:
        pack = self._running()
        if self._failed is not None:
            raise Conflict(f"this {self.name} failed ({self._failed.error}); restore a checkpoint")
        return pack

    def _state(self) -> State:
        return self._member().read(self._id)

    def _action_generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(derived_seed(self._seed, "compute_actions")))
