"""Class trainables written for Ray Tune, known by their verbs: Ray itself is not imported here.

Invariant: what such a class saves is written as it hands it over: files, or a dict of JSON values
and arrays; Ray's own pickles around it are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunerl.author.face import Trainable
from tunerl.author.session import Context, get_context
from tunerl.errors import TrainableError
from tunerl.trainable import State
from tunerl.trial import Config

_COUNTERS = ("_timesteps_total", "_episodes_total")
_THIS = {"_timesteps_total": "timesteps_this_iter", "_episodes_total": "episodes_this_iter"}


def saves(target: type[Any]) -> bool:
    """Whether the class has a `save_checkpoint` of its own."""
    home = next(cls for cls in target.__mro__ if "save_checkpoint" in cls.__dict__)
    return home.__module__ != "ray.tune.trainable.trainable"


class Foreign(Trainable):
    """Drives an object of a class of Ray Tune's with our verbs; subclasses say which `target`."""

    target: type[Any]

    def setup(self, config: Config) -> None:
        self._inner = type(self).target(config)

    def step(self) -> Mapping[str, Any]:
        inner = self._inner
        result = inner.step()
        if not isinstance(result, Mapping):
            raise TrainableError(f"step() returned {result!r}; it must return a dict of metrics")
        found = {str(key): value for key, value in result.items() if key != "config"}
        for counter in _COUNTERS:
            count = result.get(_THIS[counter])
            if count is not None:
                setattr(inner, counter, (getattr(inner, counter, None) or 0) + count)
                found.setdefault(counter.lstrip("_"), getattr(inner, counter))
        inner._iteration = self._iteration + 1
        return found

    def save_checkpoint(self, checkpoint_dir: str) -> Mapping[str, Any] | str | None:
        saved: Mapping[str, Any] | str | None = self._inner.save_checkpoint(checkpoint_dir)
        return saved

    def load_checkpoint(self, checkpoint: Any) -> None:
        self._inner.load_checkpoint(checkpoint)

    def get_state(self) -> State:
        state = super().get_state()
        state.values["counters"] = {name: getattr(self._inner, name, None) for name in _COUNTERS}
        return state

    def set_state(self, state: State) -> None:
        super().set_state(state)
        inner = self._inner
        inner._iteration, inner._time_total = self._iteration, self._time_total
        for name, count in state.values.get("counters", {}).items():
            setattr(inner, name, count)

    def reset_config(self, new_config: Config) -> bool:
        inner = self._inner
        inner.config, inner._iteration, inner._time_total = new_config, 0, 0.0
        for name in _COUNTERS:
            setattr(inner, name, None)
        return bool(inner.reset_config(new_config))

    def reset(self, new_config: Config, context: Context | None = None) -> bool:
        done = super().reset(new_config, context)
        if done:
            self._inner._logdir = self.logdir
        return done

    def cleanup(self) -> None:
        inner = getattr(self, "_inner", None)
        if inner is not None:
            inner.stop()


def adapted(target: type[Any], parameters: Mapping[str, Any]) -> type[Trainable]:
    """A `Trainable` around a class of Ray Tune's; `parameters`: keywords for its `setup`."""

    def setup(self: Any, config: Config) -> None:
        target.setup(self, config, **parameters)

    def directory(self: Any) -> None:
        self._logdir = get_context().get_trial_dir()

    inner = type(target.__name__, (target,), {"setup": setup, "_setup_logdir": directory})
    return type(target.__name__, (Foreign,), {"target": inner})
