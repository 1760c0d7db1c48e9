"""One member's schedule of settings, as a population found it, run again without the population."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunerl.errors import InvalidSpec, Problem
from tunerl.schedulers.base import Decision, Exploit, Scheduler
from tunerl.schedulers.rungs import number
from tunerl.trial import Config

Policy = list[tuple[float, Config]]


class PopulationBasedTrainingReplay(Scheduler):
    """Every trial takes each configuration of a policy when its time has come, and keeps its state.

    `policy_file`: ``[[time, configuration], ...]`` (what `tunerl.policy.policy_of` finds in the
    store), or from Python the path of a JSON file of that or of a policy log of Ray Tune's. A
    configuration replaces those values of the trial's that it has; one at time 0 comes first.
    `time_attr`: what time is measured in. Raises `InvalidSpec` for what is no policy.
    """

    name = "pbt_replay"

    def __init__(
        self,
        policy_file: str | os.PathLike[str] | Sequence[Any],
        time_attr: str = "training_iteration",
    ) -> None:
        given = policy_file
        if isinstance(given, str | os.PathLike):
            given = _load(Path(given))
        self.policy: Policy = _checked(given)
        self.time_attr = time_attr
        self._reset()

    def _reset(self) -> None:
        self._configs: dict[int, Config] = {}
        self._next: dict[int, int] = {}
        self._times: dict[int, float] = {}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Scheduler:
        given = options.get("policy_file")
        if not isinstance(given, list | tuple):
            message = f"{given!r} given; it must be a list [[time, configuration], ...]"
            raise InvalidSpec(Problem("scheduler.policy_file", message))
        return cls(**options)

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        super().setup(metric, mode, seed)
        self._reset()

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        self._configs[trial] = config
        return self._due(trial, 0.0)

    def on_exploit(self, target: int, source: int, config: Config) -> None:
        self._configs[target] = config

    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        time = number(result, self.time_attr, "time_attr")
        if not time > self._times.get(trial, -math.inf):
            return []
        self._times[trial] = time
        return self._due(trial, time)

    def _due(self, trial: int, time: float) -> list[Decision]:
        first = position = self._next.get(trial, 0)
        config = self._configs.get(trial, {})
        while position < len(self.policy) and self.policy[position][0] <= time:
            config = _merged(config, self.policy[position][1])
            position += 1
        self._next[trial] = position
        if position == first:
            return []
        self._configs[trial] = config
        return [Exploit(trial, trial, config)]

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "policy_file": [[time, copy.deepcopy(config)] for time, config in self.policy],
            "time_attr": self.time_attr,
        }


def _merged(old: Config, new: Mapping[str, Any]) -> Config:
    made = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _merged(made[key], value) if both else value
    return made


def _load(path: Path) -> Any:
    try:
        text = path.read_text()
    except OSError as error:
        message = f"{str(path)!r} cannot be read: {error.strerror}"
        raise InvalidSpec(Problem("scheduler.policy_file", message)) from error
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        message = f"{str(path)!r} is not JSON: {error}"
        raise InvalidSpec(Problem("scheduler.policy_file", message)) from error
    return _rays(lines)


def _rays(lines: list[Any]) -> list[Any]:
    """Ray's log, an exploit a line: target, source, their iterations, old and new configuration;
    of its last chain the schedule of whoever is at its end."""
    found: list[Any] = []
    last = None
    for line in reversed(lines):
        if not isinstance(line, list) or len(line) != 6:
            message = f"{line!r} is no line of a policy log: target, source, iterations, configs"
            raise InvalidSpec(Problem("scheduler.policy_file", message))
        target, source, _, step, old, new = line
        if last is not None and target != last[0]:
            break
        last = (source, old)
        found.append([step, new])
    return [[0, last[1]], *reversed(found)] if last is not None else []


def _checked(given: Any) -> Policy:
    problems, policy = [], []
    where, before = "scheduler.policy_file", -math.inf
    entries = given if isinstance(given, Sequence) and not isinstance(given, str) else []
    if isinstance(given, list) and given and isinstance(given[0], list) and len(given[0]) == 6:
        entries = _rays(given)
    for index, entry in enumerate(entries):
        pair = isinstance(entry, list | tuple) and len(entry) == 2
        if not pair or not _time(entry[0]) or not isinstance(entry[1], Mapping):
            message = f"{entry!r} given; it must be [time, configuration], time 0 or more"
            problems.append(Problem(f"{where}[{index}]", message))
        elif entry[0] <= before:
            message = f"time {entry[0]} comes after {before}; times must grow"
            problems.append(Problem(f"{where}[{index}]", message))
        else:
            before = entry[0]
            policy.append((entry[0], dict(entry[1])))
    if not policy and not problems:
        message = f"{given!r} given; it must be a list [[time, configuration], ...]"
        problems.append(Problem(where, message))
    if problems:
        raise InvalidSpec(problems)
    return policy


def _time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < math.inf
