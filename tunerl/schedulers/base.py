"""What a scheduler is: events in, decisions out.

No clock, no I/O, no global random state, no reference to the controller; rebuilt by replaying the
recorded events in their order it goes on exactly as before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunerl.keywords import Checked
from tunerl.trial import Config

if TYPE_CHECKING:
    from tunerl.space import Space


@dataclass(frozen=True)
class Verdict:
    """Why a trial is stopped: at `time` it had `value`, where `needed` was asked for by what
    `rivals` others had. NaN: no number. `bracket`: that of rung schedulers. `by`: who judged it,
    where that is not the scheduler itself and says no more than yes or no."""

    time: float
    value: float
    needed: float
    rivals: int
    bracket: int | None = None
    by: str | None = None

    def __str__(self) -> str:
        value = "no number" if math.isnan(self.value) else f"{self.value:.6g}"
        others = f"{self.rivals} other{'s' * (self.rivals != 1)}"
        if self.by is not None:
            return f"had {value} at {self.time:g}, which {self.by} pruned, knowing {others}"
        if math.isnan(self.needed):
            return f"had {value} at {self.time:g}, and nobody else will come to go on with"
        return f"had {value} at {self.time:g}, where {self.needed:.6g} was needed against {others}"


@dataclass(frozen=True)
class Stop:
    """End the trial early; `complete`: it had all its time (ASHA's `max_t`), as planned."""

    trial: int
    complete: bool = False
    verdict: Verdict | None = field(default=None, compare=False)


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
    """`target` takes over the state of `source` and goes on with `config`.

    Where both are the same trial it keeps its state and takes the configuration only.
    """

    target: int
    source: int
    config: Config


@dataclass(frozen=True)
class Widen:
    """Judge the trial on `seeds` replicas from now on; new ones train to where it stands."""

    trial: int
    seeds: int


@dataclass(frozen=True)
class Allocate:
    """Let a pack of the trial occupy `resources` from its next start on, which is at once."""

    trial: int
    resources: dict[str, float]


Decision = Stop | Pause | Resume | Exploit | Widen | Allocate


class Scheduler(Checked, ABC):
    """Decides who goes on; no decisions means: continue. `name` is its word in JSON.

    `most_seeds`: on how many replicas it may come to judge a trial (`Widen`); 0: never on more than
    the experiment says.
    """

    name: str
    metric: str | None = None
    mode: str | None = None
    most_seeds: int = 0

    def setup(self, metric: str | None, mode: str | None, seed: int) -> None:
        """Called once before the first event. Raises `InvalidSpec` where a metric is needed."""
        self.metric, self.mode, self.seed = self.metric or metric, self.mode or mode, seed

    def complete(self, space: Space) -> Space:
        """The search space with whatever this scheduler changes and the space lacks."""
        return space

    def introduce(
        self, space: Space, trials: int | None, structural: Callable[[Space], set[str]]
    ) -> None:
        """Called once after `setup`: the completed space, how many trials there will be (None: no
        end), and what tells which paths of a space a trial cannot change while it trains. Raises
        `InvalidSpec`."""

    def on_add(self, trial: int, config: Config) -> list[Decision]:
        """A trial was created."""
        return []

    def on_replicas(  # most schedulers do not look at replicas
        self, trial: int, replicas: Sequence[Mapping[str, Any]]
    ) -> None:
        """Each replica's own metrics, by index, of the result that is shown next; only where there
        are several."""

    @abstractmethod
    def on_result(self, trial: int, result: Mapping[str, Any]) -> list[Decision]:
        """A running trial reported (aggregate over replicas, flat keys)."""

    def on_complete(self, trial: int, result: Mapping[str, Any] | None) -> list[Decision]:
        """A trial ended as planned or was stopped by someone else."""
        return []

    def on_error(self, trial: int) -> list[Decision]:
        """A trial failed for good."""
        return []

    def on_exploit(self, target: int, source: int, config: Config) -> None:
        """An exploit was recorded; `config` is what the target goes on with (the one decided was
        perhaps refused)."""

    def on_idle(self) -> list[Decision]:
        """Nothing runs and the searcher has no more: resume or stop what is still paused."""
        return []

    def rungs_of(self, trial: int) -> tuple[int, Sequence[float]] | None:
        """The bracket of a trial and the times of its rungs; None for schedulers without rungs."""
        return None

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Scheduler:
        """The one with these options, as `to_json` writes them. Raises `InvalidSpec`."""
        return cls(**options)

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """``{"type": name, ...options}``, from which `schedulers.create` makes an equal one."""
