"""Which class an agent gets, from what configuration: built afresh, or of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from algorithms import callbacks, saved
from algorithms.config import AlgorithmConfig
from algorithms.core.packs import own_evaluation
from algorithms.core.packs.own_evaluation import FIELD
from algorithms.core.specs.names import recalled
from algorithms.core.specs.spec import AlgorithmSpec
from algorithms.offline.dataset import data_may_be_gone
from tunerl import registry
from tunerl.errors import CheckpointError, InvalidConfig, NotFound
from tunerl.trial import ReplicaId

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm
    from algorithms.core.packs.pack import AlgorithmPack

log = logging.getLogger(__name__)
classes: dict[str, type[Algorithm]] = {}
"""The classes of algorithms by the name of their spec."""


def algorithm_class(spec: AlgorithmSpec) -> type[Algorithm]:
    """The class of an algorithm; one that has none gets one."""
    from algorithms.algorithm import Algorithm

    return classes.get(spec.name) or type(spec.name, (Algorithm,), {"spec": spec})


def agent_in(pack: AlgorithmPack, id: ReplicaId) -> Algorithm:
    """A member of a pack as an `Algorithm`: that which owns the pack, or one to look at it."""
    owner: Algorithm | None = pack.owner
    return owner or algorithm_class(pack.spec).within(pack, id)


def configuration(cls: type[Any], config: Any, env: Any) -> AlgorithmConfig:
    """What an agent of `cls` is to be built from, unfrozen. Raises `InvalidConfig`."""
    spec = getattr(cls, "spec", None)
    if isinstance(config, AlgorithmConfig):
        if spec is not None and config.spec.parameters is not spec.parameters:
            raise InvalidConfig(f"{cls.__name__} cannot use a configuration of {config.spec.name}")
        full = config.copy(copy_frozen=False)
        if spec is not None and config.spec.name != spec.name:  # a class derived from its algorithm
            full = AlgorithmConfig.of(spec, config.to_dict())
    elif spec is None:
        raise InvalidConfig("Algorithm alone names no algorithm; use PPO(config), for example")
    else:
        full = AlgorithmConfig.of(spec, config)
    return full.environment(env)


def of_checkpoint(cls: type[Algorithm], checkpoint: Any, replica: int | None, config: Any) -> Any:
    """See `Algorithm.from_checkpoint`."""
    state, meta = saved.load(checkpoint, replica)
    found = class_for(cls, str(meta.get("trainable")))
    settings = {**recalled(meta["config"]), **dict(config or {})}
    for name, problems in (("callbacks", callbacks.problems), (FIELD, own_evaluation.problems)):
        if name not in (config or {}) and any(problems(settings.get(name))):
            log.warning(
                "the %s %s of %s is not known in this program; the agent goes on without it "
                "(config={%r: ...} gives it another)", name, settings.pop(name), checkpoint, name
            )  # fmt: skip
    try:
        with data_may_be_gone():
            algorithm = found(settings)
    except InvalidConfig as error:
        raise CheckpointError(
            f"the configuration of {checkpoint} cannot be used ({error}); register what it "
            "names, or give other settings: config={...}"
        ) from error
    try:
        with data_may_be_gone():
            algorithm.set_state({**meta, "state": state})
    except BaseException:
        algorithm.stop()
        raise
    return algorithm


def class_for(cls: type[Algorithm], name: str) -> type[Algorithm]:
    """`cls`, or for `Algorithm` itself the class of what wrote a checkpoint."""
    own = getattr(cls, "spec", None)
    if own is not None:
        if own.name != name:
            raise CheckpointError(
                f"the checkpoint is of {name!r}, not of {own.name!r}; use Algorithm.from_checkpoint"
            )
        return cls
    if name in classes:
        return classes[name]
    try:
        spec = registry.trainable(name)
    except NotFound as error:
        raise CheckpointError(f"the checkpoint is of {name!r}: {error}") from error
    if not isinstance(spec, AlgorithmSpec):
        raise CheckpointError(f"the checkpoint is of {name!r}, which is no RL algorithm")
    return algorithm_class(spec)


def settings_of(config: Mapping[str, Any], spec: AlgorithmSpec) -> AlgorithmConfig:
    """The same with every default filled in, frozen. Raises `InvalidConfig`."""
    made = AlgorithmConfig.of(spec, config)
    made = AlgorithmConfig.of(spec, made.resolved())
    made.freeze()
    return made
