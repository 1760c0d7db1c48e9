"""Callbacks: what an author wants to be told of while agents train, with RLlib's names.

Each agent of a pack gets an object of the class of its own. What a hook raises fails that agent
alone. A hook may take fewer arguments than it is offered; of those in ``**kwargs`` `rl_module` and
`policies` are left out, for they are copies of a network.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from algorithms.core.specs import names
from tunerl.errors import InvalidConfig, Problem, TrainableError, nearest

SHARED = "callbacks"
COSTLY = ("rl_module", "policies")


class RLlibCallback:
    """Derive from it, and override what is wanted.

    `algorithm`: the agent as an `Algorithm`; in a sweep all but `train` and `stop` work.
    `metrics_logger`: what it is given appears in the agent's next result. `episode`: a
    `SingleAgentEpisode` with `custom_data`, and as in older versions `user_data`,
    `custom_metrics`, `hist_data`. `env`: the agent's sub-environments are its `envs`, where there
    are objects of them. Episodes are those of training, not those of evaluation.
    """

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        """The agent is there; about to be restored, where it goes on from a checkpoint."""

    def on_checkpoint_loaded(self, *, algorithm: Any, **kwargs: Any) -> None:
        """The agent goes on from a checkpoint."""

    def on_train_result(self, *, algorithm: Any, result: dict[str, Any], **kwargs: Any) -> None:
        """After an iteration. What is changed in `result` is changed in what is reported."""

    def on_evaluate_start(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Evaluation is about to begin."""

    def on_evaluate_end(
        self, *, algorithm: Any, evaluation_metrics: dict[str, Any], **kwargs: Any
    ) -> None:
        """After evaluation. What is changed in `evaluation_metrics` is reported so."""

    def on_environment_created(
        self, *, env_runner: Any, env: Any, env_context: Any, **kwargs: Any
    ) -> None:
        """The agent's environments are there."""

    def on_episode_created(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        """An episode is about to begin."""

    def on_episode_start(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        """An episode has its first observation; again after its agent was restored in the middle
        of it, for what came before is not remembered."""

    def on_episode_step(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        """An episode has taken a step."""

    def on_episode_end(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        """An episode is over."""

    def on_sample_end(self, *, env_runner: Any, samples: list[Any], **kwargs: Any) -> None:
        """A rollout is there; `samples`: its episodes, and chunks of episodes under way."""

    def on_env_runners_recreated(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Env runners (`num_env_runners` of an algorithm with actors) were started again."""


DefaultCallbacks = RLlibCallback
HOOKS = tuple(name for name in vars(RLlibCallback) if name.startswith("on_"))
EPISODES = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end")
SAMPLING = (*EPISODES, "on_sample_end")
REFUSED = {
    "on_learn_on_batch": "a batch is that of a whole pack; on_train_result sees the statistics",
    "on_postprocess_trajectory": "trajectories of a pack are arrays; change the algorithm's file",
    "on_create_policy": "there is one policy, made by its pack; use on_algorithm_init",
    "on_sub_environment_created": "use on_environment_created: it sees all of the agent's",
    "on_workers_recreated": "it is called on_env_runners_recreated now",
    "on_evaluate_offline_start": "use on_evaluate_start",
    "on_evaluate_offline_end": "use on_evaluate_end",
}
"""RLlib's hooks that are not here, and what to use instead."""


def shared_name(callbacks: Any) -> Any:
    """What a configuration says of callbacks: names of classes and functions, which the workers of
    this process find again by them. Raises `InvalidConfig`."""
    if isinstance(callbacks, str) or callbacks is None:
        return callbacks
    if isinstance(callbacks, Mapping):
        return {hook: _shared_each(functions) for hook, functions in callbacks.items()}
    return _shared_each(callbacks)


def _shared_each(given: Any) -> Any:
    if isinstance(given, list | tuple):
        return [names.share(SHARED, thing) for thing in given]
    return names.share(SHARED, given)


def problems(given: Any) -> Iterator[Problem]:
    """What is wrong with the `callbacks` of a configuration."""
    try:
        parts = list(_parts(given))
    except InvalidConfig as error:
        yield from error.problems
        return
    for hook, thing in parts:
        if hook is not None:
            yield from _unknown(hook)
        elif not inspect.isclass(thing):
            told = f"{thing!r} is no class; functions are given by hook: on_train_result=..."
            yield Problem("callbacks", told)
        else:
            for name in dir(thing):
                if name.startswith("on_") and callable(getattr(thing, name)):
                    yield from _unknown(name, f"{thing.__name__}.")


def _unknown(hook: str, owner: str = "") -> Iterator[Problem]:
    if hook in REFUSED:
        yield Problem("callbacks", f"{owner}{hook} would never be called: {REFUSED[hook]}")
    elif hook not in HOOKS:
        yield Problem("callbacks", f"there is no hook {owner}{hook}; {nearest(hook, HOOKS)}")


def _parts(given: Any) -> Iterator[tuple[str | None, Any]]:
    """(hook, function), or (None, class), of all that is given."""
    if given is None:
        return
    if isinstance(given, Mapping):
        for hook, functions in given.items():
            for function in functions if isinstance(functions, list | tuple) else [functions]:
                found = names.shared(SHARED, function)
                if not callable(found):
                    raise InvalidConfig(Problem("callbacks", f"{hook}={found!r} is no function"))
                yield str(hook), found
        return
    for thing in given if isinstance(given, list | tuple) else [given]:
        yield None, names.shared(SHARED, thing)


def has(given: Any, hooks: Sequence[str]) -> bool:
    """Whether any of these hooks is there to be called."""
    return any(
        hook in hooks
        if hook is not None
        else any(getattr(thing, name, None) is not getattr(RLlibCallback, name) for name in hooks)
        for hook, thing in _parts(given)
    )


class Callbacks:
    """The callbacks of one agent."""

    def __init__(self, given: Any) -> None:
        """Raises `TrainableError` where an object of a class cannot be made."""
        self._calls: dict[str, list[_Call]] = {}
        for hook, thing in _parts(given):
            if hook is not None:
                label = names.word(thing).split(":")[0]
                self._calls.setdefault(hook, []).append(_Call(label, thing))
                continue
            try:
                made = thing()
            except Exception as error:
                raise TrainableError(
                    f"callbacks {thing.__name__}() raised {_told(error)}"
                ) from error
            for name in HOOKS:
                inherited = getattr(thing, name, None) is getattr(RLlibCallback, name)
                if hasattr(made, name) and not inherited:
                    call = _Call(f"{thing.__name__}.{name}", getattr(made, name))
                    self._calls.setdefault(name, []).append(call)

    def __contains__(self, hook: str) -> bool:
        return hook in self._calls

    def call(self, hook: str, offered: Mapping[str, Callable[[], Any]], **given: Any) -> None:
        """Call all that is there for `hook`; `offered` is made only where it is asked for.

        Raises `TrainableError`, with the name of the hook, from what they raise.
        """
        for call in self._calls.get(hook, ()):
            arguments = {name: value for name, value in given.items() if call.takes(name)}
            try:
                arguments |= {name: make() for name, make in offered.items() if call.takes(name)}
                call.function(**arguments)
            except Exception as error:
                told = f"callback {hook} ({call.label}) raised {_told(error)}"
                raise TrainableError(told) from error


class _Call:
    """A function and the arguments that it takes."""

    def __init__(self, label: str, function: Callable[..., Any]) -> None:
        self.label, self.function = label, function
        parameters = inspect.signature(function).parameters.values()
        self._named = {parameter.name for parameter in parameters}
        self._any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)

    def takes(self, name: str) -> bool:
        return name in self._named or (self._any and name not in COSTLY)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
