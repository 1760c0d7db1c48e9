"""An Optuna storage that is a view of the history, so that a sampler sees that and nothing else.

It holds the finished and running trials as given, and one scratch trial, the one being asked for,
which is forgotten afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

NAME = "history"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def frozen(
    number: int,
    state: TrialState,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    values: Sequence[float] | None = None,
    intermediate: dict[int, float] | None = None,
) -> FrozenTrial:
    """An Optuna trial; without a clock."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        values=values,
        datetime_start=EPOCH,
        datetime_complete=EPOCH if state.is_finished() else None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=intermediate or {},
    )


class HistoryStorage(BaseStorage):  # type: ignore[misc]
    """One study. `trials`: all that is known; `visible`: how many of them the sampler may see."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self.directions = list(directions)
        self.trials: list[FrozenTrial] = []
        self.visible = 0
        self.scratch: FrozenTrial | None = None
        self.attrs: dict[str, Any] = {}

    def show(self, count: int) -> None:
        """Let the sampler see the first `count` trials, and no scratch."""
        self.visible, self.scratch = count, None

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        raise NotImplementedError("the history is the only study")

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("the history is the only study")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("a sampler has no business with user attributes")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.attrs = {**self.attrs, key: value}

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.attrs

    def get_all_studies(self) -> list[Any]:
        return []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self.scratch = frozen(self.visible, TrialState.RUNNING, {}, {})
        return self.visible

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        raise NotImplementedError("what becomes of a trial is written in the history")

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        raise NotImplementedError("what becomes of a trial is written in the history")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("a sampler has no business with user attributes")

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self.get_trial(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if self.scratch is not None and trial_id == self.scratch.number:
            return self.scratch
        return self.trials[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return []
        found = self.trials[: self.visible]
        if self.scratch is not None:
            found.append(self.scratch)
        if states is not None:
            found = [trial for trial in found if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def generators(sampler: object) -> Iterator[Any]:
    """Everything in a sampler that draws random numbers, once each, in a fixed order."""
    seen: set[int] = set()

    def walk(node: object) -> Iterator[Any]:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, np.random.RandomState | np.random.Generator) or _is_lazy(node):
            yield node
        elif isinstance(node, BaseSampler) or type(node).__module__.startswith("optuna.samplers"):
            for value in getattr(node, "__dict__", {}).values():
                yield from walk(value)

    return walk(sampler)


def _is_lazy(node: object) -> bool:
    return type(node).__name__ == "LazyRandomState"


def reseed(sampler: BaseSampler, key: Iterable[int]) -> None:
    """Seed everything in `sampler` that draws random numbers from `key`."""
    found = list(generators(sampler))
    seeds = np.random.SeedSequence(list(key)).generate_state(max(1, len(found)))
    for generator, seed in zip(found, seeds[: len(found)], strict=True):
        if isinstance(generator, np.random.Generator):
            kind = type(generator.bit_generator)
            generator.bit_generator.state = kind(int(seed)).state
        else:
            target = generator.rng if _is_lazy(generator) else generator
            target.seed(int(seed))


def salt(sampler: BaseSampler) -> list[int]:
    """What a sampler's own seed was, if it was given one, as numbers for a key."""
    found: list[int] = []
    for generator in generators(sampler):
        if _is_lazy(generator) and generator._rng is not None:
            found += [int(word) for word in generator.rng.get_state()[1][:4]]
    return found
