"""`Traces`: writes what the members of a pack do while they learn, for those that ask (`output`).

Invariant: it only looks; whether a member is traced changes none of its numbers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.offline.runs import Runs, step_columns
from algorithms.offline.writer import FORMATS, MAX_FILE_SIZE, Writer
from tunerl.errors import InvalidConfig, InvalidInput, Problem
from tunerl.trainable import Failure, vector
from tunerl.trial import Config, ReplicaId

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack


@dataclass(frozen=True)
class OutputParameters:
    """Settings of an algorithm whose packs trace what they do."""

    output: str | None = vector(
        None, "directory or URL to write all steps to, as offline data", optional=True
    )
    output_write_method: str = vector("write_parquet", "what the files are", choices=tuple(FORMATS))
    output_max_rows_per_file: int | None = vector(
        None, "start another file after so many steps; None: after each iteration", low=1,
        optional=True,
    )  # fmt: skip
    output_max_file_size: int | None = vector(
        MAX_FILE_SIZE, "start another file after so many bytes", low=1, optional=True
    )


class Traces:
    """One trace for each member whose configuration has an `output`."""

    def __init__(self, pack: AlgorithmPack) -> None:
        self.pack = pack
        self.traces: dict[ReplicaId, tuple[Runs, Writer]] = {}
        self.obs: NDArray[Any] = np.zeros(0)
        self.rows: list[ReplicaId] = []

    def check(self, config: Config) -> None:
        """Raise `InvalidConfig` where a configuration's `output` cannot be written to."""
        if config.get("output"):
            try:
                self._writer(config)
            except InvalidInput as error:
                raise InvalidConfig(Problem("output", str(error))) from error

    def begin(self) -> None:
        """Before an iteration's first step."""
        pack = self.pack
        for id, member in zip(pack.ids, pack.members, strict=True):
            if id not in self.traces and member.config.get("output"):
                self.traces[id] = Runs(pack.num_envs), self._writer(member.config)
        if self.traces:
            self._look(np.asarray(pack.envs.obs))

    def step(self, actions: NDArray[Any], logp: NDArray[Any] | None, batch: Any) -> None:
        """After each step: `actions` `[K, E, ...]` as the environments took them, `logp` `[K, E]`
        of those, and the `StepBatch`."""
        if not self.traces:
            return
        for row, id in enumerate(self.pack.ids):
            if id in self.traces and row not in batch.error:
                own = self.obs[self.rows.index(id)]
                columns = step_columns(own, actions[row], batch, row)
                if logp is not None:
                    columns["action_logp"] = np.array(logp[row], np.float32)
                self.traces[id][0].step(columns, batch.valid[row].copy())
        self._look(batch.obs)

    def watch(self, t: int, rollout: Any, batch: Any) -> None:
        """As `step`, for a sampler: what it put into its rollout."""
        if not self.traces:
            return
        actions, logp = rollout.actions[:, t], None
        if self.pack.distribution.discrete:
            inputs = torch.from_numpy(np.ascontiguousarray(rollout.dist_inputs[:, t]))
            chosen = torch.from_numpy(np.ascontiguousarray(actions))
            logp = self.pack.distribution.logp(inputs, chosen).numpy()
        self.step(self.pack.action_codec.decode(actions), logp, batch)

    def end(self) -> dict[ReplicaId, Failure]:
        """After an iteration's last step: the episodes that ended are written. Whose cannot be."""
        failed: dict[ReplicaId, Failure] = {}
        for id in list(self.traces):
            try:
                self._write(id, unfinished=False)
            except OSError as error:
                failed[id] = Failure.of(error)
                del self.traces[id]
        return failed

    def leave(self, id: ReplicaId) -> None:
        """A member goes, or goes on from another state: its episodes under way end here."""
        if id not in self.traces:
            return
        try:
            self._write(id, unfinished=True)
            self.traces[id][1].flush()
        except OSError:
            logger.exception("the last steps of %s could not be written", id)
        del self.traces[id]

    def close(self) -> None:
        for id in list(self.traces):
            self.leave(id)

    def _look(self, obs: NDArray[Any]) -> None:
        self.obs, self.rows = obs.copy(), list(self.pack.ids)

    def _write(self, id: ReplicaId, *, unfinished: bool) -> None:
        runs, writer = self.traces[id]
        for own in runs.take(unfinished=unfinished):
            for run in own:
                writer.add(run)
        if writer.max_rows is None:
            writer.flush()

    def _writer(self, config: Config) -> Writer:
        envs = self.pack.envs
        return Writer(
            config["output"],
            envs.single_observation_space,
            envs.single_action_space,
            method=config["output_write_method"],
            max_rows=config["output_max_rows_per_file"],
            max_bytes=config["output_max_file_size"],
            name=self.pack.algorithm.lower(),
        )
