"""`Solo`: a pack of one, around any `Trainable`.

Invariant: the controller cannot tell it from a pack that trains many.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tunerl.author.face import Trainable
from tunerl.author.functions import FunctionTrainable
from tunerl.author.session import Context, Session
from tunerl.errors import InvalidConfig, Problem
from tunerl.trainable import Failure, Pack, State
from tunerl.trial import Config, Metrics, ReplicaId

log = logging.getLogger(__name__)


class Solo(Pack):
    """Gives one `Trainable` the verbs of a pack of capacity one.

    An object whose class overrides `reset_config` is kept when its replica leaves, and reused for
    the next one when `reset_config` returns True.
    """

    capacity = 1

    def __init__(
        self,
        build: Callable[[Config], Trainable],
        resolve: Callable[[Config], Config] = dict,
        fixed: Collection[str] = (),
    ) -> None:
        """`build`: configuration -> trainable, within a session. `resolve`: checks and completes a
        configuration. `fixed`: names of the hyperparameters that `configure` must not change."""
        self._build, self._resolve, self._fixed = build, resolve, fixed
        self._id: ReplicaId | None = None
        self._seed = 0
        self._trainable: Trainable | None = None  # with `_id` None: kept for reuse

    def join(self, id: ReplicaId, config: Config, seed: int, state: State | None = None) -> None:
        if self._id is not None:
            raise ValueError(f"replica {id} cannot join: the pack of one holds {self._id}")
        config = self._resolve(config)
        self._start(id, config, seed)
        if state is not None:
            try:
                self._member(id).set_state(state)
            except BaseException:
                self._drop()
                raise

    def leave(self, id: ReplicaId) -> None:
        trainable = self._member(id)
        if _reusable(trainable):
            self._id = None
        else:
            self._drop()

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        if self._id is None:
            return {}
        id, trainable = self._id, self._member(self._id)
        try:
            return {id: trainable.train()}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever user code raises, SystemExit too
            self._drop()
            return {id: Failure.of(error)}

    def read(self, id: ReplicaId) -> State:
        return self._member(id).get_state()

    def write(self, id: ReplicaId, state: State) -> None:
        self._member(id).set_state(state)

    def copy(self, source: ReplicaId, target: ReplicaId) -> None:
        """With one member only onto itself; raises `KeyError` for any other pair."""
        self._member(source)
        self._member(target)

    def configure(self, id: ReplicaId, config: Config) -> None:
        """New values, by `reset_config` where the author allows it, else in a new object; the
        state is carried over by `save_checkpoint` and `load_checkpoint`."""
        trainable = self._member(id)
        config = self._resolve(config)
        self._check_fixed(trainable.config, config)
        state = trainable.get_state()
        if not trainable.reset(config):
            self._drop()
            self._start(id, config, self._seed)
        self._member(id).set_state(state)

    def close(self) -> None:
        if self._trainable is not None:
            self._drop()

    def _member(self, id: ReplicaId) -> Trainable:
        if id != self._id or self._trainable is None:
            raise KeyError(f"replica {id} is not in this pack; it holds {self._id}")
        return self._trainable

    def _start(self, id: ReplicaId, config: Config, seed: int) -> None:
        context = Context(id, seed)
        kept = self._trainable
        try:
            if kept is None or not kept.reset(config, context):
                self._drop()
                with Session(context).active():
                    self._trainable = self._build(config)
        except BaseException:
            self._drop()
            context.discard()
            raise
        self._id, self._seed = id, seed

    def _drop(self) -> None:
        """Forget the member and its object. What its cleanup raises ends nobody's trial."""
        trainable, self._trainable, self._id = self._trainable, None, None
        if trainable is None:
            return
        try:
            trainable.stop()
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.exception("%s: cleanup raised", trainable.trial_name)

    def _check_fixed(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        problems = [
            Problem(name, f"cannot change from {old.get(name)!r} to {new.get(name)!r}: it is fixed")
            for name in sorted(self._fixed)
            if old.get(name) != new.get(name)
        ]
        if problems:
            raise InvalidConfig(problems)


def _reusable(trainable: Trainable) -> bool:
    """Whether its author wrote a `reset_config`. A function is simply started anew."""
    overridden = type(trainable).reset_config is not Trainable.reset_config
    return overridden and not isinstance(trainable, FunctionTrainable)
