"""A logger to TensorBoard: scalars of every result, and the hyperparameters at the end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tunerl.callbacks.base import TrialView
from tunerl.callbacks.logger import LoggerCallback
from tunerl.errors import InvalidInput

TIMESTEPS = "timesteps_total"


class TBXLoggerCallback(LoggerCallback):
    """Event files by tensorboardX, one directory a trial.

    A trial that goes on gets a further file, which tells TensorBoard to leave out what an earlier
    one holds from its first step on (its `purge_step`): so no point is shown twice. Steps are
    `timesteps_total` where it is reported, else the iteration.
    """

    def __init__(self) -> None:
        """Raises `InvalidInput` where tensorboardX is not installed."""
        super().__init__()
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise InvalidInput("TBXLoggerCallback needs tensorboardX; pip install it") from error
        self._make = SummaryWriter
        self._writers: dict[int, Any] = {}

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        step = int(result.get(TIMESTEPS) or iteration)
        if trial.number not in self._writers:
            path = trial.local_path
            before = len(list(Path(path).glob("events.out.tfevents.*")))
            more = {"purge_step": step, "filename_suffix": f".{before}"} if before else {}
            self._writers[trial.number] = self._make(path, **more)
        writer = self._writers[trial.number]
        for name, value in numbers(result).items():
            writer.add_scalar(f"ray/tune/{name}", value, global_step=step)
        writer.flush()

    def log_trial_end(self, trial: TrialView, failed: bool = False) -> None:
        writer = self._writers.pop(trial.number, None)
        if writer is not None:
            settings = {
                name: value if isinstance(value, bool | int | float | str) else repr(value)
                for name, value in trial.evaluated_params.items()
            }
            if settings:
                file = writer.file_writer
                from tensorboardX.summary import hparams

                for summary in hparams(settings, numbers(trial.last_result)):
                    file.add_summary(summary)
            writer.close()


def numbers(result: dict[str, Any]) -> dict[str, float]:
    """The metrics that are finite numbers."""
    return {
        name: value
        for name, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
