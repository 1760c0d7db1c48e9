"""What trials and their log directories are called, by functions that a program may give.

Invariant: a name is asked for once and kept, so that a trial has the same one after a restart; no
two trials share a directory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunerl.callbacks.base import TrialNames, TrialView
from tunerl.errors import InvalidInput
from tunerl.trial import Config

Creator = Callable[[TrialView], str]


@dataclass(frozen=True)
class Naming:
    """`TuneConfig.trial_name_creator` and `trial_dirname_creator`; None: the default."""

    name: Creator | None = None
    dirname: Creator | None = None

    def __bool__(self) -> bool:
        return self.name is not None or self.dirname is not None


class Names(TrialNames):
    """`given`: who names them. `drawn`: what of a configuration was searched. `failed`: is told of
    what a creator raised; the default takes its place."""

    def __init__(
        self,
        experiment_id: str,
        trainable: str,
        directory: str,
        *,
        given: Naming,
        drawn: Callable[[Config], Config],
        failed: Callable[[str, Exception], None],
    ) -> None:
        super().__init__(experiment_id, trainable, directory)
        self._given, self._drawn, self._failed = given, drawn, failed
        self._names: dict[int, str] = {}
        self._dirnames: dict[int, str] = {}
        self._taken: set[str] = set()

    def drawn(self, config: Config) -> Config:
        return self._drawn(config)

    def name(self, trial: TrialView) -> str:
        if self._given.name is None:
            return self._names.get(trial.number) or super().name(trial)
        if trial.number not in self._names:
            found = self._ask("trial_name_creator", self._given.name, trial)
            self._names[trial.number] = found or super().name(trial)
        return self._names[trial.number]

    def dirname(self, trial: TrialView) -> str:
        if trial.number in self._dirnames:
            return self._dirnames[trial.number]
        if self._given.dirname is None:
            return super().dirname(trial)
        found = self._ask("trial_dirname_creator", self._given.dirname, trial)
        if found is None or found in self._taken:
            found = f"{found}_{trial.trial_id}" if found else super().dirname(trial)
        self._dirnames[trial.number] = found
        self._taken.add(found)
        return found

    def _ask(self, what: str, creator: Creator, trial: TrialView) -> str | None:
        try:
            found = creator(trial)
            if not isinstance(found, str) or found.strip(". ") == "" or {*"/\\\0"} & {*found}:
                raise InvalidInput(
                    f"{what} gave {found!r} for trial {trial.number}; give a name without a slash"
                )
        except Exception as error:
            self._failed(what, error)
            return None
        return found

    def to_json(self) -> dict[str, Any]:
        """What has been named, for `restore`."""
        return {"names": self._names, "dirnames": self._dirnames}

    def restore(self, known: Mapping[str, Any]) -> None:
        """Take up what was named before an interruption."""
        self._names = {int(n): name for n, name in known.get("names", {}).items()}
        self._dirnames = {int(n): name for n, name in known.get("dirnames", {}).items()}
        self._taken = set(self._dirnames.values())
