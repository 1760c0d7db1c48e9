"""Loggers to experiment trackers: MLflow, Weights & Biases. Each needs its own package.

Invariant: a trial is one run of the tracker, over all interruptions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from tunerl.callbacks.base import TrialView
from tunerl.callbacks.logger import LoggerCallback
from tunerl.callbacks.tensorboard import numbers
from tunerl.errors import InvalidInput

ITERATION = "training_iteration"
TAG = "tunerl.trial"


class MLflowLoggerCallback(LoggerCallback):
    """One MLflow run a trial: its parameters, metrics by iteration, and how it ended.

    Ray Tune's arguments. `tracking_uri`: a directory, a database or a server; None: MLflow's own
    default. `experiment_name`: made if it is not there. `tags`: of every run.
    `save_artifact`: also the trial's directory, at its end.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        registry_uri: str | None = None,
        experiment_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        save_artifact: bool = False,
    ) -> None:
        """Raises `InvalidInput` where MLflow is not installed."""
        super().__init__()
        try:
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise InvalidInput("MLflowLoggerCallback needs MLflow: tunerl[mlflow]") from error
        self._client, self._metric = MlflowClient(tracking_uri, registry_uri), Metric
        self._name, self._tags, self._save = experiment_name, dict(tags or {}), save_artifact
        self._experiment = ""
        self._runs: dict[int, str] = {}

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        name = self._name or info.get("experiment_name") or "tunerl"
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)

    def written(self, trial: TrialView) -> int:
        """What the trial's run holds already; a run is made where there is none."""
        label = f"{trial.experiment_id}/{trial.trial_id}"
        found = self._client.search_runs([self._experiment], f"tags.`{TAG}` = '{label}'")
        if not found:
            tags = self._tags | {TAG: label, "trial_name": str(trial)}
            run = self._client.create_run(self._experiment, tags=tags, run_name=str(trial))
            self._runs[trial.number] = run.info.run_id
            for name, value in trial.config.items():
                self._client.log_param(run.info.run_id, name, value)
            return 0
        self._runs[trial.number] = found[0].info.run_id
        self._client.update_run(found[0].info.run_id, status="RUNNING")
        return int(found[0].data.metrics.get(ITERATION, 0))

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        when = int(result.get("timestamp") or iteration)
        metrics = [
            self._metric(name, float(value), when, iteration)
            for name, value in numbers(result).items()
        ]
        self._client.log_batch(self._runs[trial.number], metrics=metrics)

    def log_trial_end(self, trial: TrialView, failed: bool = False) -> None:
        run = self._runs.pop(trial.number)
        if self._save:
            self._client.log_artifacts(run, trial.local_path)
        over = "FINISHED" if trial.status.finished else "RUNNING"
        self._client.set_terminated(run, "FAILED") if failed else self._client.update_run(run, over)


class WandbLoggerCallback(LoggerCallback):
    """One Weights & Biases run a trial, kept on this machine unless `mode` is "online".

    `project`, `group`: where it belongs; `config`: further settings of every run; what else
    ``wandb.init`` takes goes there. Offline runs lie below the experiment's directory, for
    ``wandb sync``; a trial that goes on gets a further one with the same id.
    """

    def __init__(
        self,
        project: str | None = None,
        group: str | None = None,
        *,
        mode: str = "offline",
        excludes: list[str] | None = None,
        config: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Raises `InvalidInput` where wandb is not installed."""
        super().__init__()
        try:
            import wandb
        except ImportError as error:
            raise InvalidInput("WandbLoggerCallback needs wandb: tunerl[wandb]") from error
        self._wandb, self._mode = cast(Any, wandb), mode
        self._project, self._group = project, group
        self._excludes, self._config, self._kwargs = set(excludes or ()), dict(config or {}), kwargs
        self._directory: str | None = None
        self._runs: dict[int, Any] = {}
        self._last: dict[str, int] = {}  # the last iteration written, by trial id

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        self._directory = str(info["directory"])
        os.makedirs(self._directory, exist_ok=True)
        self._group = self._group or info.get("experiment_name")

    def log_trial_start(self, trial: TrialView) -> None:
        self._runs[trial.number] = self._wandb.init(
            id=f"{trial.experiment_id}-{trial.trial_id}",
            name=str(trial),
            resume="allow",
            reinit="create_new",
            project=self._project,
            group=self._group,
            mode=self._mode,
            dir=self._directory,
            config={**self._config, **trial.config},
            **self._kwargs,
        )

    def written(self, trial: TrialView) -> int:
        return self._last.get(trial.trial_id, 0)

    def log_trial_result(self, iteration: int, trial: TrialView, result: dict[str, Any]) -> None:
        shown = {n: v for n, v in numbers(result).items() if n not in self._excludes}
        self._runs[trial.number].log(shown, step=iteration)
        self._last[trial.trial_id] = iteration

    def log_trial_end(self, trial: TrialView, failed: bool = False) -> None:
        self._runs.pop(trial.number).finish(exit_code=1 if failed else 0)

    def get_state(self) -> dict[str, Any]:
        return {"last": self._last}

    def set_state(self, state: dict[str, Any]) -> None:
        self._last = {str(trial): int(at) for trial, at in state["last"].items()}
