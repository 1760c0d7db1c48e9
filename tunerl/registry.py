"""Names of trainables and environments; the one place that finds entry points.

Invariant: only what was registered, or is named by an entry point, can be reached by name.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from tunerl.author.face import Bound, Trainable, bound, is_foreign
from tunerl.author.foreign import adapted, saves
from tunerl.author.functions import FunctionTrainable
from tunerl.author.solo import Solo
from tunerl.errors import InvalidInput, NotFound, TrainableError, nearest
from tunerl.hyperparameters import resolve_fields, schema
from tunerl.trainable import Pack, TrainableSpec, hyperparameters
from tunerl.trial import Config

Creator = Callable[[dict[str, Any]], Any]

TRAINABLES, ENVIRONMENTS = "tunerl.trainables", "tunerl.environments"

_trainables: dict[str, TrainableSpec] = {}
_environments: dict[str, Creator] = {}
_shared: dict[tuple[str, str], Any] = {}


class AuthorSpec(TrainableSpec):
    """The spec of an author's class or function.

    A class may carry its hyperparameters as a dataclass of `vector`/`fixed` fields named
    ``Hyperparameters``; then configurations are checked against it.
    """

    def __init__(self, target: Any, name: str | None = None) -> None:
        """Raises `InvalidInput` for what is neither class nor function of one argument."""
        self._bound = bound(target)
        self.name = name or self._bound.__name__
        if not inspect.isclass(self._bound.target):
            _check_function(self._bound)

    @property
    def _fields(self) -> type | None:
        return getattr(self._bound.target, "Hyperparameters", None)

    def resolve(self, config: Config) -> Config:
        if self._fields is None:
            return dict(config)
        return resolve_fields(self._fields, config)

    def pack_key(self, config: Config) -> str:
        """Any configuration fits into a pack of one, as long as its worker is large enough."""
        return f"{self.name} {json.dumps(self.resources(config), sort_keys=True)}"

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """Whether the class can save itself; a function is saved when it reports a checkpoint."""
        target: Any = self._bound.target
        if is_foreign(target):
            return saves(target)
        is_class = inspect.isclass(target) and issubclass(target, Trainable)
        return is_class and target.save_checkpoint is not Trainable.save_checkpoint

    def resources(self, config: Config) -> dict[str, float]:
        asked, target = self._bound.resources, self._bound.target
        if asked is None and isinstance(target, type):
            ask = getattr(target, "default_resource_request", None)
            asked = ask(config) if ask is not None else None
        if callable(asked) and not hasattr(asked, "bundles"):  # Ray's factories are callable too
            asked = asked(config)
        return _resources(asked)

    def open(self, config: Config) -> Pack:
        fixed: list[str] = []
        if self._fields is not None:
            known = hyperparameters(self._fields)
            fixed = [name for name, info in known.items() if not info.vector]
        return Solo(_class_of(self._bound), self.resolve, fixed)

    def schema(self) -> dict[str, Any]:
        return super().schema() if self._fields is None else schema(self._fields)


def _check_function(given: Bound) -> None:
    try:
        inspect.signature(given.target).bind({}, **given.parameters)
    except ValueError:
        return  # a builtin without a signature
    except TypeError as error:
        raise InvalidInput(
            f"{given.__name__} cannot be called with the configuration alone ({error}); a function "
            "trainable takes one argument, further ones come by tunerl.with_parameters"
        ) from error


def _class_of(given: Bound) -> type[Trainable]:
    """The class to build: with parameters for its `setup`, or around a function."""
    target, parameters = given.target, given.parameters
    name = given.__name__
    if isinstance(target, type) and is_foreign(target):
        return adapted(target, parameters)
    if not (isinstance(target, type) and issubclass(target, Trainable)):
        function = functools.partial(target, **parameters)
        return type(name, (FunctionTrainable,), {"function": staticmethod(function)})
    if not parameters:
        return target

    def setup(self: Trainable, config: Config) -> None:
        target.setup(self, config, **parameters)

    return type(name, (target,), {"setup": setup})


def _resources(asked: Any) -> dict[str, float]:
    """Resources in Ray's words; ``cpu``, ``gpu`` and a PlacementGroupFactory of one bundle are
    understood. Raises `InvalidInput` for what no worker can be given."""
    if asked is None:
        return {"CPU": 1.0}
    bundles = getattr(asked, "bundles", None)
    if bundles is not None:
        if len(bundles) != 1:
            raise InvalidInput(
                f"{len(bundles)} bundles of resources given; a worker of TuneRL is one process, "
                "and nothing is set aside for actors that it would start: ask for one bundle "
                "(for RLlib: num_env_runners=0, num_learners=0)"
            )
        asked = bundles[0]
    if not isinstance(asked, Mapping):
        raise InvalidInput(f'resources are a dict such as {{"CPU": 1}}, not {asked!r}')
    words = {"cpu": "CPU", "gpu": "GPU"}
    found = {}
    for name, amount in asked.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount >= 0:
            raise InvalidInput(f"resource {name!r} is {amount!r}; give a number, 0 or more")
        if 0 < amount < 0.0001 or amount == math.inf:
            raise InvalidInput(f"resource {name!r} is {amount!r}; at least 0.0001, and finite")
        if str(name).upper() == "GPU" and amount > 1 and amount != int(amount):
            raise InvalidInput(f"{amount!r} GPUs given; above 1 it must be a whole number")
        found[words.get(str(name), str(name))] = float(amount)
    return found


def register_trainable(name: str, target: Any) -> TrainableSpec:
    """Make `target` (a `TrainableSpec`, a class, a function) known as `name`; the last one counts.

    Raises `InvalidInput` for what is no trainable.
    """
    spec = _carried(target) or AuthorSpec(target, name)
    _trainables[name] = spec
    return spec


def register_env(name: str, creator: Creator) -> None:
    """Make ``creator(env_config)`` known as the environment `name`; the last one counts."""
    if not callable(creator):
        raise InvalidInput(f"the creator of environment {name!r} is {creator!r}; give a function")
    _environments[name] = creator


def trainable(target: Any) -> TrainableSpec:
    """The spec of a registered name, a class, a function, of a spec itself or what carries one
    as its `spec` (the class of an algorithm).

    Raises `NotFound` with the nearest name, `InvalidInput` for what is no trainable,
    `TrainableError` when the package that provides it cannot be imported.
    """
    if not isinstance(target, str):
        return _carried(target) or AuthorSpec(target)
    if target in _trainables:
        return _trainables[target]
    entry = _entry_points(TRAINABLES).get(target)
    if entry is None:
        raise NotFound(f"no trainable is called {target!r}; {nearest(target, trainables())}")
    loaded = _load(entry)
    return loaded if isinstance(loaded, TrainableSpec) else AuthorSpec(loaded, target)


def _carried(target: Any) -> TrainableSpec | None:
    """The spec that `target` is, or has as its attribute `spec`."""
    spec = target if isinstance(target, TrainableSpec) else getattr(target, "spec", None)
    return spec if isinstance(spec, TrainableSpec) else None


def trainables() -> list[str]:
    """All names that `trainable` knows, sorted. Loads none of them."""
    return sorted({*_trainables, *_entry_points(TRAINABLES)})


def importable(spec: TrainableSpec) -> bool:
    """Whether another process finds this very `spec` by its name: by an entry point."""
    entry = _entry_points(TRAINABLES).get(spec.name)
    try:
        return entry is not None and spec.name not in _trainables and _load(entry) is spec
    except TrainableError:
        return False


def environment(name: str) -> Creator | None:
    """The creator registered as `name`, or None (then it may be an id of Gymnasium's).

    Raises `TrainableError` when the package that provides it cannot be imported.
    """
    if name in _environments:
        return _environments[name]
    entry = _entry_points(ENVIRONMENTS).get(name)
    if entry is None:
        return None
    creator: Creator = _load(entry)
    return creator


def environments() -> dict[str, Creator]:
    """What was given to `register_env`, by name."""
    return dict(_environments)


def share(kind: str, name: str, thing: Any) -> None:
    """Make `thing` known as `name` here and in every worker of this process; the last one counts.

    `kind`: what it is, such as ``model``; a trainable looks it up with `shared`.
    """
    _shared[kind, name] = thing


def shared(kind: str) -> dict[str, Any]:
    """What was given to `share`, by name."""
    return {name: thing for (known, name), thing in _shared.items() if known == kind}


def carried() -> dict[tuple[str, str], Any]:
    """All that a worker must be told before it can do what this process can: by kind and name."""
    return {("environment", name): made for name, made in _environments.items()} | _shared


def receive(kind: str, name: str, thing: Any) -> None:
    """Take one of what another process `carried`."""
    if kind == "environment":
        register_env(name, thing)
    else:
        share(kind, name, thing)


@functools.cache
def _entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=group)}


def _load(entry: metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise TrainableError(
            f"{entry.name!r} of entry point group {entry.group!r} cannot be loaded from "
            f"{entry.value!r}: {type(error).__name__}: {error}"
        ) from error
