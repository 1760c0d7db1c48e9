"""`Factory`: how one environment is made; resolves names, explains failures, can be sent away.

Invariant: a factory that `probe` accepted makes environments that follow Gymnasium's rules.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

from algorithms.core.envs.base import Creator
from tunerl import registry
from tunerl.errors import InvalidConfig

_HARMLESS = (
    r".*is out of date\. You should consider upgrading",  # the user chose the version
    r".*Using the latest versioned environment",
    r".*Box (low|high)'s precision lowered by casting",
)


PLUGINS = {
    "ALE/": ("ale_py", None, "atari"),
    "MinAtar/": ("minatar.gym", "register_envs", "minatar"),
}
"""Ids that begin so: the module that knows them, its function that registers them (None: importing
does), and the extra of TuneRL's that installs it."""


class EnvContext(dict[str, Any]):
    """A creator's configuration with RLlib's attributes.

    `vector_index` counts a member's sub-environments. `worker_index` is always 0: which worker
    and which row a member sits in must not change what it sees.
    """

    worker_index = 0
    num_workers = 0
    remote = False

    def __init__(self, config: Mapping[str, Any], vector_index: int) -> None:
        super().__init__(config)
        self.vector_index = vector_index


_first_index = 0


def count_from(index: int) -> None:
    """In a process that holds a run of a member's sub-environments: the number of its first."""
    global _first_index
    _first_index = index


@dataclass(frozen=True)
class Factory:
    """Makes one environment after another: from a creator, else from Gymnasium's `spec`."""

    name: str
    config: Mapping[str, Any]
    creator: Creator | None = None
    spec: Any = None

    def __call__(self, vector_index: int = 0) -> gymnasium.Env[Any, Any]:
        """One new environment; raises whatever making it raises."""
        with harmless_warnings_ignored():
            if self.creator is not None:
                env: Any = self.creator(EnvContext(self.config, _first_index + vector_index))
                return env
            if self.spec.id not in gymnasium.registry:  # registered in another process
                gymnasium.registry[self.spec.id] = self.spec
            # our own `probe` has done the checks, once instead of in each environment
            options = {"disable_env_checker": True, **self.config}
            made: gymnasium.Env[Any, Any] = gymnasium.make(self.spec.id, **options)
            return made


def resolve(env: str | Creator, config: Mapping[str, Any]) -> Factory:
    """The factory of a registered name, a Gymnasium id, or a creator. Raises `InvalidConfig`."""
    if not isinstance(env, str):
        if not callable(env):
            raise InvalidConfig(
                f"an environment is a registered name, a Gymnasium id, or a function "
                f"config -> Env; got {env!r}"
            )
        return Factory(getattr(env, "__qualname__", repr(env)), config, creator=env)
    creator = registry.environment(env)
    if creator is not None:
        return Factory(env, config, creator=creator)
    if ":" in env:
        raise InvalidConfig(
            f"environment {env!r} names a module to import; import it yourself, or register "
            f"a creator with register_env, and use the id alone"
        )
    try:
        return Factory(env, config, spec=_spec(env))
    except gymnasium.error.Error as error:
        raise InvalidConfig(f"environment {env!r} is not known; {_hint(env)}") from error


def _spec(env_id: str) -> Any:
    """Gymnasium's spec of an id; one that the user registered goes along to the workers."""
    if env_id not in gymnasium.registry:
        _plug_in(env_id)
    if env_id not in gymnasium.registry:
        carried = registry.shared("gymnasium").get(env_id)
        if carried is not None:
            return carried
    with harmless_warnings_ignored():
        spec = gymnasium.spec(env_id)
    if not str(spec.entry_point).startswith("gymnasium."):
        registry.share("gymnasium", env_id, spec)
    return spec


def _plug_in(env_id: str) -> None:
    """Import the package of a known family of environments. Raises `InvalidConfig` without it."""
    for prefix, (module, register, extra) in PLUGINS.items():
        if env_id.startswith(prefix):
            try:
                found = importlib.import_module(module)
            except ImportError as error:
                install = f"pip install 'tunerl[{extra}]'"
                raise InvalidConfig(f"environment {env_id!r} needs a package: {install}") from error
            if register is not None:
                getattr(found, register)()


@contextlib.contextmanager
def harmless_warnings_ignored() -> Iterator[None]:
    """Within it, warnings that say nothing about the user's training are not shown."""
    with warnings.catch_warnings():
        for message in _HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        yield


def _hint(env_id: str) -> str:
    known = sorted({*gymnasium.registry, *registry.environments()})
    close = difflib.get_close_matches(env_id, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "give an id of gymnasium.registry, or a name given to register_env"
