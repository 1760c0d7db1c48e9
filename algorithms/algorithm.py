"""`Algorithm`: one agent to train, evaluate, ask for actions, save and restore: a pack of one.

Invariant: asking it for anything changes none of its training; what was saved and restored goes on
exactly as what was not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from algorithms import saved
from algorithms.config import AlgorithmConfig
from algorithms.core.evaluation import evaluate_member
from algorithms.core.member import derived_seed
from algorithms.core.names import plain, recalled
from algorithms.core.spec import AlgorithmSpec
from algorithms.policy import DEFAULT_POLICY, Module, Policy, Weights, check_policy, with_weights
from algorithms.results import ResultDict
from tunerl import registry
from tunerl.errors import (
    CheckpointError,
    Conflict,
    InvalidConfig,
    InvalidInput,
    NotFound,
    TrainableError,
)
from tunerl.hyperparameters import resolve_fields
from tunerl.trainable import Failure, State
from tunerl.trial import ReplicaId

if TYPE_CHECKING:
    from algorithms.core.on_policy import OnPolicyPack

_classes: dict[str, type[Algorithm]] = {}


class Algorithm:
    """One agent of the algorithm `spec`. A subclass needs no more than that attribute.

    `config`: a configuration object or a dict of settings; `env` goes before the one it names.
    Without a seed (``debugging(seed=...)``) each agent draws one of its own.
    Raises `InvalidConfig`. Usable as a context manager, which calls `stop` at its end.
    """

    spec: ClassVar[AlgorithmSpec]

    def __init__(
        self, config: AlgorithmConfig | Mapping[str, Any] | None = None, env: Any = None
    ) -> None:
        full = _configuration(type(self), config, env)
        self._configure(full)
        self._seed = 0 if full["seed"] is not None else secrets.randbits(31)
        self._id = ReplicaId(0, 0)
        pack: Any = self.config.spec.open(self._settings)
        self._pack: OnPolicyPack | None = pack
        try:
            pack.join(self._id, self._settings, self._seed)
        except BaseException:
            self.stop()
            raise
        self._policy: Policy | None = None
        self._generator = self._action_generator()
        self._failed: Failure | None = None
        self._run = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "spec" in cls.__dict__:
            _classes[cls.spec.name] = cls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"{self.name}({self._settings['env']!r}, iteration {self.iteration})"

    @property
    def name(self) -> str:
        """The name under which the algorithm is registered."""
        return self.config.spec.name

    @property
    def iteration(self) -> int:
        """How many training iterations its agent has behind it."""
        return int(self._state().values["member"]["iteration"])

    training_iteration = iteration

    # -- training -------------------------------------------------------------------------------

    def train(self) -> ResultDict:
        """One training iteration; its metrics and the configuration.

        Raises `TrainableError` when the agent fails (its environment raises, its loss is NaN): it
        can then only be restored, or stopped.
        """
        pack = self._member()
        report = pack.step()[self._id]
        self._policy = None
        if isinstance(report, Failure):
            self._failed = report
            raise TrainableError(f"{self.name} failed: {report.error}\n{report.traceback}")
        result = ResultDict.nested(report)
        result["config"] = plain(self._settings)
        return result

    def evaluate(
        self,
        duration: int | None = None,
        unit: str | None = None,
        seed: int | None = None,
        *,
        explore: bool | None = None,
    ) -> ResultDict:
        """Play in environments of its own; ``["env_runners"]["episode_return_mean"]`` and so on.

        `duration`: of what `unit` says ("episodes" or "timesteps"). `explore`: sampled instead of
        the likeliest actions. What is not given is as configured. Equal seeds give equal numbers;
        None is the agent's own.
        """
        pack = self._member()
        given = {
            "evaluation_duration": duration,
            "evaluation_duration_unit": unit,
            "evaluation_explore": explore,
        }
        given = {name: value for name, value in given.items() if value is not None}
        resolve_fields(self.config.spec.parameters, given)
        row, seed = pack.ids.index(self._id), self._seed if seed is None else seed
        metrics = evaluate_member(
            pack, row, seed=seed, duration=duration, unit=unit, explore=explore
        )
        return ResultDict.nested(metrics)

    def stop(self) -> None:
        """Close the environments. Twice is no error."""
        if self._pack is not None:
            self._pack.close()
            self._pack = None

    # -- acting ---------------------------------------------------------------------------------

    def compute_single_action(
        self, observation: Any, *, explore: bool = False, full_fetch: bool = False
    ) -> Any:
        """The action for one observation, as the environment takes it: the likeliest one.

        `explore`: a sampled one. `full_fetch`: ``(action, [], what the network said)``.
        Raises `InvalidInput` for what is no observation.
        """
        found = self.get_policy().compute_single_action(observation, explore=explore)
        return found if full_fetch else found[0]

    def compute_actions(self, observations: Any, *, explore: bool = False) -> Any:
        """Actions for several observations: an array for a sequence or an array of them, a
        dictionary for a dictionary of them by any key."""
        if isinstance(observations, Mapping):
            asked = list(observations.values())
            actions = self.get_policy().compute_actions(asked, explore=explore)[0]
            return dict(zip(observations, actions, strict=True))
        return self.get_policy().compute_actions(observations, explore=explore)[0]

    def get_policy(self, policy_id: str = DEFAULT_POLICY) -> Policy:
        """The agent as it is now; training does not change what was handed out."""
        check_policy(policy_id)
        if self._policy is None:
            self._policy = Policy(self._member(), self._state(), self._generator)
        return self._policy

    def get_module(self, module_id: str = DEFAULT_POLICY) -> Module:
        """Its network with a copy of its present weights, a torch module."""
        return self.get_policy(module_id).model

    def get_weights(self) -> dict[str, Weights]:
        """``{"default_policy": {name: array}}``."""
        return {DEFAULT_POLICY: self.get_policy().get_weights()}

    def set_weights(self, weights: Mapping[str, Mapping[str, Any]]) -> None:
        """The inverse of `get_weights`. Raises `InvalidInput` for those of another network."""
        if set(weights) != {DEFAULT_POLICY}:
            raise InvalidInput(f"give {{{DEFAULT_POLICY!r}: weights}}, as get_weights() does")
        pack, state = self._member(), self._state()
        state.arrays["parameters"] = with_weights(pack, weights[DEFAULT_POLICY])
        pack.write(self._id, state)
        self._policy = None

    # -- saving ---------------------------------------------------------------------------------

    def save(self, checkpoint_dir: Any = None) -> saved.SavedPath:
        """Write its full state; the path. A checkpoint that lies in `checkpoint_dir` is replaced.

        Without a directory: a new one below ``$TUNERL_HOME/algorithms`` (``~/.tunerl``).
        Raises `CheckpointError` where something else lies there, `StorageFull`.
        """
        state = self.get_state()
        if checkpoint_dir is None:
            self._run = self._run or saved.new_run(self.name)
            checkpoint_dir = f"{self._run}/checkpoint_{self.iteration:06d}"
        return saved.save(state.pop("state"), saved.uri_of(checkpoint_dir), state)

    def restore(self, checkpoint: Any, *, replica: int | None = None) -> None:
        """Go on from a checkpoint (anything that `from_checkpoint` takes) of an agent like this.

        Raises `CheckpointError` for one of another algorithm or network, and stays as it was.
        """
        state, meta = saved.load(checkpoint, replica)
        self.set_state({**meta, "state": state})

    save_to_path = save
    restore_from_path = restore

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Any, *, replica: int | None = None, config: Any = None
    ) -> Algorithm:
        """The agent of a checkpoint, of whatever algorithm wrote it.

        `checkpoint`: a directory, a URL, a zip file, or a Result or Checkpoint of a sweep.
        `replica`: which one, where there are several; None: that with the best mean return.
        `config`: settings that differ from the saved ones. An environment or network that was given
        as a class is found again where this program has used it, else it is to be given here.
        Raises `CheckpointError`, `CorruptCheckpoint`.
        """
        state, meta = saved.load(checkpoint, replica)
        found = _class_for(cls, str(meta.get("trainable")))
        try:
            algorithm = found({**recalled(meta["config"]), **dict(config or {})})
        except InvalidConfig as error:
            raise CheckpointError(
                f"the configuration of {checkpoint} cannot be used ({error}); register what it "
                "names, or give other settings: config={...}"
            ) from error
        try:
            algorithm.set_state({**meta, "state": state})
        except BaseException:
            algorithm.stop()
            raise
        return algorithm

    def get_state(self) -> dict[str, Any]:
        """Everything that `set_state` needs to go on bit for bit; `state` holds the arrays."""
        state, config = self._state(), plain(self._settings)
        member = state.values["member"]
        member["config"] = config
        clock = {"training_iteration": member["iteration"], "time_total_s": member["time_total_s"]}
        own = {"trainable": self.name, "replica": 0, "seed": self._seed, "config": config}
        return {**clock, **own, "state": state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`; the agent takes over the seed too, so nothing differs."""
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
                pack.join(self._id, self._settings, self._seed, before)
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"the checkpoint does not fit {self!r}: {error}") from error
        self._configure(AlgorithmConfig.of(self.config.spec, settings))
        self._seed, self._failed, self._policy = int(state["seed"]), None, None
        self._generator = self._action_generator()

    # -- the pack -------------------------------------------------------------------------------

    def _configure(self, config: AlgorithmConfig) -> None:
        self.config = AlgorithmConfig.of(config.spec, config.resolved())
        self.config.freeze()
        self._settings = dict(self.config.items())

    def _running(self) -> OnPolicyPack:
        if self._pack is None:
            raise Conflict(f"this {self.name} was stopped; build or restore another one")
        return self._pack

    def _member(self) -> OnPolicyPack:
        pack = self._running()
        if self._failed is not None:
            raise Conflict(f"this {self.name} failed ({self._failed.error}); restore a checkpoint")
        return pack

    def _state(self) -> State:
        return self._member().read(self._id)

    def _action_generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(derived_seed(self._seed, "compute_actions")))


def algorithm_class(spec: AlgorithmSpec) -> type[Algorithm]:
    """The class of an algorithm; one that has none gets one."""
    return _classes.get(spec.name) or type(spec.name, (Algorithm,), {"spec": spec})


def _configuration(cls: type[Algorithm], config: Any, env: Any) -> AlgorithmConfig:
    spec = getattr(cls, "spec", None)
    if isinstance(config, AlgorithmConfig):
        if spec is not None and config.spec.name != spec.name:
            raise InvalidConfig(f"{cls.__name__} cannot use a configuration of {config.spec.name}")
        full = config.copy(copy_frozen=False)
    elif spec is None:
        raise InvalidConfig("Algorithm alone names no algorithm; use PPO(config), for example")
    else:
        full = AlgorithmConfig.of(spec, config)
    return full.environment(env)


def _class_for(cls: type[Algorithm], name: str) -> type[Algorithm]:
    """`cls`, or for `Algorithm` itself the class of what wrote a checkpoint."""
    own = getattr(cls, "spec", None)
    if own is not None:
        if own.name != name:
            raise CheckpointError(
                f"the checkpoint is of {name!r}, not of {own.name!r}; use Algorithm.from_checkpoint"
            )
        return cls
    try:
        spec = registry.trainable(name)
    except NotFound as error:
        raise CheckpointError(f"the checkpoint is of {name!r}: {error}") from error
    if not isinstance(spec, AlgorithmSpec):
        raise CheckpointError(f"the checkpoint is of {name!r}, which is no RL algorithm")
    return algorithm_class(spec)
