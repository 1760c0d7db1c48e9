"""Where TuneRL and Ray Tune meet: their functions under our Tuner, our trainables under theirs,
RLlib's algorithms by name.

Invariant: nothing here runs unless it is asked for; what Ray keeps for its own functions is left
alone while one of those runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tunerl import registry
from tunerl.author import session
from tunerl.errors import InvalidInput, NotFound, TrainableError, nearest
from tunerl.trainable import Failure, TrainableSpec
from tunerl.trial import Config, ReplicaId

RLLIB = "rllib/"
SELF = ReplicaId(0, 0)


def rllib_class(name: str) -> type[Any]:
    """The class of an algorithm of RLlib's, by ``rllib/<name>`` such as ``rllib/PPO``.

    Raises `TrainableError` where ray[rllib] is not installed, `NotFound` with the nearest name.
    """
    short = name.removeprefix(RLLIB)
    try:
        from ray.rllib.algorithms.registry import ALGORITHMS
    except ImportError as error:
        raise TrainableError(
            f"{name!r} is an algorithm of RLlib's, which cannot be imported ({error}); "
            f"pip install 'ray[rllib]', or use TuneRL's own {short!r}"
        ) from error
    if short not in ALGORITHMS:
        raise NotFound(f"RLlib has no algorithm {short!r}; {nearest(short, ALGORITHMS)}")
    found: type[Any] = ALGORITHMS[short]()[0]
    return found


class _Session:
    """Stands in for Ray's session while functions of a `FunctionTrainable` run in this process."""

    world_rank = None
    metadata: Mapping[str, Any] = {}
    experiment_name = "tunerl"
    trial_resources = None
    storage = None

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None, **more: Any) -> None:
        saved = None if checkpoint is None else session.Checkpoint(_local(checkpoint))
        session.report(dict(metrics), checkpoint=saved)

    @property
    def loaded_checkpoint(self) -> Any:
        from ray.tune import Checkpoint

        found = session.get_checkpoint()
        return None if found is None else Checkpoint.from_directory(found.path)

    @property
    def trial_id(self) -> str:
        return session.get_context().get_trial_id()

    @property
    def trial_name(self) -> str:
        return session.get_context().get_trial_name()

    @property
    def trial_dir(self) -> str:
        return session.get_context().get_trial_dir()


def _local(checkpoint: Any) -> str:
    filesystem = getattr(checkpoint, "filesystem", None)
    if filesystem is not None and filesystem.type_name != "local":
        raise TrainableError(
            f"the checkpoint {checkpoint!r} is not on this machine; report a local directory"
        )
    return str(checkpoint.path)


_lock = threading.Lock()
_running = 0


def enter() -> bool:
    """From here on ``ray.tune.report`` in a function reports to us; False: Ray runs one itself."""
    global _running
    from ray.train._internal import session as theirs

    with _lock:
        if theirs._session is not None and not isinstance(theirs._session, _Session):
            return False
        theirs._session = _Session()
        _running += 1
        return True


def leave() -> None:
    """One function less; after the last one Ray's session is as it was."""
    global _running
    from ray.train._internal import session as theirs

    with _lock:
        _running -= 1
        if _running == 0:
            theirs._session = None


class _Agent:
    """One agent in a pack of its own: under ``config["seed"]`` where that is no setting of the
    trainable's, else under `seed`."""

    def __init__(self, spec: TrainableSpec, config: Config, seed: int) -> None:
        given = dict(config)
        if "seed" in given and "seed" not in spec.schema().get("properties", {}):
            seed = int(given.pop("seed"))
        resolved = spec.resolve(given)
        self.name, self.pack = spec.name, spec.open(resolved)
        self.pack.join(SELF, resolved, seed)

    def step(self) -> dict[str, Any]:
        found = self.pack.step()[SELF]
        if isinstance(found, Failure):
            raise TrainableError(found.traceback or found.error)
        return dict(found)

    def save(self, directory: str, iteration: int) -> None:
        from tunerl import checkpoints

        meta = {"trainable": self.name, "training_iteration": iteration}
        checkpoints.save(self.pack.read(SELF), f"{directory}/agent", meta)

    def load(self, directory: str) -> None:
        from tunerl import checkpoints

        self.pack.write(SELF, checkpoints.load(f"{directory}/agent")[0])


def to_ray_trainable(target: Any, *, seed: int = 0) -> type[Any]:
    """A class for ``ray.tune.Tuner``: a name such as "PPO", a class, a function or a spec of ours.

    Each trial trains one agent, under ``config["seed"]`` where the trainable has no such setting of
    its own, else under `seed`. Checkpoints are TuneRL's (safetensors and JSON). Resources are those
    that the trainable asks for; `ray.tune.with_resources` changes them. Raises what
    `registry.trainable` raises.
    """
    from ray.tune import PlacementGroupFactory
    from ray.tune import Trainable as RayTrainable

    spec = registry.trainable(target)

    class Adapter(RayTrainable):  # type: ignore[misc]
        def setup(self, config: Config) -> None:
            self._agent = _Agent(spec, config, seed)

        def step(self) -> dict[str, Any]:
            return self._agent.step()

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            self._agent.save(checkpoint_dir, self.training_iteration)

        def load_checkpoint(self, checkpoint: str) -> None:
            self._agent.load(checkpoint)

        def reset_config(self, new_config: Config) -> bool:
            self._agent.pack.close()
            self._agent = _Agent(spec, new_config, seed)
            return True

        def cleanup(self) -> None:
            self._agent.pack.close()

        @classmethod
        def default_resource_request(cls, config: Config) -> Any:
            return PlacementGroupFactory([dict(spec.resources(_default(spec, config)))])

    Adapter.__name__ = Adapter.__qualname__ = spec.name
    return Adapter


def _default(spec: TrainableSpec, config: Config) -> Config:
    """The settings by which resources are asked for: those that a trial has, its domains aside."""
    plain = {name: value for name, value in config.items() if not hasattr(value, "sample")}
    try:
        return spec.resolve(plain)
    except InvalidInput:
        return plain
