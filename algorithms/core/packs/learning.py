"""A pack that learns from batches, wherever they come from: any rows at a time, one step each.

A subclass writes `update` for one agent. Its tensors (parameters, Adam's moments, targets) are
gathered for the rows that learn, run through the lifted update, and scattered back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.lifting.lift import Lifted, row_runs
from algorithms.core.lifting.optim import BETA1, BETA2, AdamState, adam
from algorithms.core.lifting.stack import Batch
from algorithms.core.packs.member import Member
from algorithms.core.packs.pack import AlgorithmPack
from tunerl.trial import Config, Metrics

SUMMED = 64  # updates whose statistics are worked out at once
MOMENTS = ("adam/mean", "adam/square", "adam/steps")


class LearningPack(AlgorithmPack):
    """`statistics` names what `update` returns under that name; `vectors` the hyperparameters that
    enter it, `[K]` each (None means no limit)."""

    statistics: tuple[str, ...]
    vectors: tuple[str, ...]

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        compile = bool(self.shared["torch_compile_learner"])
        self.learning = Lifted(
            self._one, compile=compile, kind=self.kind("learn"), device=self.device
        )
        self.columns: Batch = {}
        self.lone: Batch = {}
        self.unsummed: list[tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]] = []
        self.sums = np.zeros((0, len(self.statistics)))
        self.counts = np.zeros(0, np.int64)

    def update(self, state: Batch, batch: Batch, hp: Batch) -> tuple[Batch, Batch]:
        """One agent's learning step: `state` holds `parameters`, Adam's moments and what
        `fresh_more` names. Returns what changed of it (see `descend`), and what came of it:
        `statistics` `[S]`, and whatever else the pack wants back (`td_errors` `[B]`). A pack that
        steps otherwise overrides `stepped`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update of one agent")

    def further_columns(self, member: Member) -> Mapping[str, float]:
        """Numbers for `hp` that are no hyperparameters themselves."""
        return {}

    def target_of(self, parameters: Tensor) -> Tensor:
        """What the target network (`fresh_more`'s `target`) follows, of parameters `[..., P]`."""
        return parameters

    # -- for a subclass to call -----------------------------------------------------------------

    def begin_learning(self) -> None:
        """At the start of an iteration: hyperparameters as they are now, empty statistics."""
        rows = [self._numbers(member) for member in self.members]
        self.columns = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float32) for name in rows[0]
        }
        self.lone = {name: torch.cat([own, own]) for name, own in self.columns.items()}
        self.sums = np.zeros((len(rows), len(self.statistics)))
        self.counts = np.zeros(len(rows), np.int64)
        self.unsummed = []

    def learn(self, rows: NDArray[np.int64], batch: Batch) -> dict[str, NDArray[np.float32]]:
        """One update of some rows on batches `[R, B, ...]`; what came of it `[R, ...]`."""
        numbers = {name: value.numpy() for name, value in self.stepped(rows, batch).items()}
        self.unsummed.append((rows, numbers))
        if len(self.unsummed) == SUMMED:
            self.sum_up()
        return numbers

    def stepped(self, rows: NDArray[np.int64], batch: Batch) -> Batch:
        """The tensors of some rows after one update, in place; what came of it `[R, ...]`."""
        found: list[Batch] = []
        for run, real in row_runs(range(len(rows)), self.learning.sizes):
            results = self._run(rows[run].tolist(), real, self._part(batch, run, len(rows)))
            found.append({name: value[:real] for name, value in results.items()})
        return {
            name: (found[0][name] if len(found) == 1 else torch.cat([f[name] for f in found]))
            for name in found[0]
        }

    def summary(self, found: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The statistics `[N, S]` of what came of N updates, `[N, ...]` each."""
        return found["statistics"]

    def sum_up(self) -> None:
        """Take what came of the last updates into the statistics."""
        if not self.unsummed:
            return
        found = {
            name: np.concatenate([numbers[name] for _, numbers in self.unsummed])
            for name in self.unsummed[0][1]
        }
        statistics, start = self.summary(found), 0
        for rows, _ in self.unsummed:
            self.sums[rows] += statistics[start : start + len(rows)]
            self.counts[rows] += 1
            start += len(rows)
        self.unsummed = []

    def move_targets(self, rows: NDArray[np.int64]) -> None:
        """The target networks of some rows go the share `tau` of the way to the networks."""
        if len(rows) == 0:
            return
        index = torch.from_numpy(rows)
        tau = self.columns["tau"][index][:, None]
        old, new = self.more["target"], self.target_of(self.flat[index])
        old[index] = old[index] * (1.0 - tau) + new * tau

    def drop_columns(self, row: int) -> None:
        """A row leaves while an iteration is under way."""
        self.sum_up()
        keep = [i for i in range(len(self.counts)) if i != row]
        self.columns = {name: column[keep] for name, column in self.columns.items()}
        self.lone = {name: column[[0, 0]] for name, column in self.columns.items() if keep}
        self.sums, self.counts = self.sums[keep], self.counts[keep]

    def fail_what_is_not_finite(self) -> None:
        """Note as failed who has parameters or statistics that are NaN or infinite."""
        self.sum_up()
        self.check_finite(
            [dict(zip(self.statistics, sums, strict=True)) for sums in self.sums.tolist()]
        )

    def learner_metrics(self, row: int) -> Metrics:
        """Counts a member's updates; their means, or without any the counter alone."""
        member = self.members[row]
        names = "learners/default_policy"
        member.updates += int(self.counts[row])
        found: Metrics = {f"{names}/num_updates_lifetime": member.updates}
        if self.counts[row]:
            means = (self.sums[row] / self.counts[row]).tolist()
            found |= {
                f"{names}/{name}": value for name, value in zip(self.statistics, means, strict=True)
            }
        return found

    # -- one run --------------------------------------------------------------------------------

    def _one(self, state: Batch, batch: Batch, hp: Batch) -> Batch:
        changed, results = self.update(state, batch, hp)
        return {**changed, **results}

    def _numbers(self, member: Member) -> dict[str, float]:
        own = {
            name: float("inf") if member.config[name] is None else member.hyperparameter(name)
            for name in self.vectors
        }
        return own | dict(self.further_columns(member))

    @staticmethod
    def _part(batch: Batch, run: list[int], rows: int) -> Batch:
        if len(run) == rows:
            return batch if run == list(range(rows)) else {n: x[run] for n, x in batch.items()}
        return {name: value[run] for name, value in batch.items()}

    def _run(self, rows: list[int], real: int, batch: Batch) -> Batch:
        """Gather, update, scatter back; the results that are no state."""
        tensors = self._tensors()
        count = len(self.members)
        everyone, lone = rows == list(range(count)), count == 1
        state, hp = tensors, self.columns
        if lone:
            state, hp = {name: torch.cat([x, x]) for name, x in tensors.items()}, self.lone
        elif not everyone:
            index = torch.tensor(rows)
            state = {name: value[index] for name, value in tensors.items()}
            hp = {name: value[index] for name, value in hp.items()}
        correction, scale = corrections(state["adam/steps"].numpy())
        hp = {**hp, "correction": correction, "scale": scale}
        found = self.learning(state, batch, hp)
        changed = {name: found.pop(name) for name in tensors if name in found}
        if lone:
            self._replace({name: new[:1] for name, new in changed.items()})
        elif everyone:
            self._replace(changed)
        else:
            for name, new in changed.items():
                tensors[name][rows[:real]] = new[:real]
        return found

    def _replace(self, tensors: Batch) -> None:
        """New tensors of all members."""
        self.flat = tensors.get("parameters", self.flat)
        old = zip(MOMENTS, self.adam, strict=True)
        self.adam = AdamState(*(tensors.get(name, part) for name, part in old))
        self.more = {name: tensors.get(name, part) for name, part in self.more.items()}


def corrections(steps: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Adam's bias corrections `[R]` after so many steps: of the first moment, and the reciprocal
    root of that of the second."""
    after = steps.astype(np.float64) + 1.0
    first = 1.0 / -np.expm1(after * math.log(BETA1))
    second = 1.0 / np.sqrt(-np.expm1(after * math.log(BETA2)))
    return torch.from_numpy(first.astype(np.float32)), torch.from_numpy(second.astype(np.float32))


def descend(state: Batch, gradient: Tensor, lr: Tensor, hp: Batch) -> Batch:
    """What a step of Adam on `parameters` `[P]` changes of one agent's state.

    `lr`: one rate, or one for each parameter `[P]` (several optimisers in one).
    """
    moments = AdamState(*(state[name] for name in MOMENTS))
    parameters, moments = adam(
        state["parameters"],
        gradient,
        moments,
        lr * hp["correction"],
        hp["scale"],
        hp["adam_epsilon"],
    )
    return {"parameters": parameters, **dict(zip(MOMENTS, moments, strict=True))}
