"""What a scheduler is: events in, decisions out.

No clock, no I/O, no global random state, no reference to the controller; rebuilt by replaying the
recorded events in their order it goes on exactly as before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunerl.trial import Config


@dataclass(frozen=True)
class Stop:
    """End the trial early; `complete`: it had all its time (ASHA's `max_t`), as planned."""

    trial: int
    complete: bool = False


@dataclass(frozen=True)
class Pause:
    """Save the trial and free its slots."""

    trial: int


@dataclass(frozen=True)
class Resume:
    """Put a paused trial back in the queue."""

    trial: int


@dataclass(frozen=True)
class Exploit:
    """`target` takes over the state of `source` and goes on with `config`."""

    target: int
    source: int
    config: Config


Decision = Stop | Pause | Resume | Exploit


class Scheduler(ABC):
    """Decides who goes on; no decisions means: continue. `name` is its word in JSON."""

    name: str
    metric: str | None = None
    mode: str | None = None

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        """Called once before the first event. Raises `InvalidSpec` where a metric is needed."""
        self.metric, self.mode, self.seed = self.metric or metric, self.mode or mode, seed

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        """A trial was created."""
        return []

    @abstractmethod
    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        """A running trial reported (aggregate over replicas, flat keys)."""

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        """A trial ended as planned or was stopped by someone else."""
        return []

    def on_error(self, trial: int) -> list[Decision]:
        """A trial failed for good."""
        return []

    def on_idle(self) -> list[Decision]:
        """Nothing runs and the searcher has no more: resume or stop what is still paused."""
        return []

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """``{"type": name, ...options}``, from which `schedulers.create` makes an equal one."""
