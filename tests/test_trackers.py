"""Loggers to real trackers on this machine: MLflow with a database, Weights & Biases offline."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import laboratory
from tests.test_tuner_callbacks import Diary, drive
from tunerl import MLflowLoggerCallback, WandbLoggerCallback
from tunerl.trial import ExperimentStatus

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # theirs
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


def test_a_trial_is_one_mlflow_run_over_a_crash(run: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        tracking = pytest.importorskip("mlflow.tracking")
        pytest.importorskip("mlflow.store.tracking.sqlalchemy_store")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def logger() -> MLflowLoggerCallback:
        return MLflowLoggerCallback(uri, experiment_name="climbs", tags={"who": "me"})

    experiment = run(param_space={"lr": {"grid_search": [1.0, 2.0]}}, checkpoint={"frequency": 1})
    with pytest.raises(KeyboardInterrupt):
        drive(experiment, logger(), Diary(killed_at=3))
    assert drive(experiment, logger()) is ExperimentStatus.COMPLETED
    client = tracking.MlflowClient(uri)
    found = client.get_experiment_by_name("climbs")
    runs = client.search_runs([found.experiment_id])
    assert sorted(r.data.params["lr"] for r in runs) == ["1.0", "2.0"]
    for each in runs:
        points = client.get_metric_history(each.info.run_id, "score")
        assert sorted(point.step for point in points) == [1, 2, 3]
        assert each.data.tags["who"] == "me"
        assert each.info.status == "FINISHED"


def test_a_trial_is_an_offline_wandb_run(run: Any) -> None:
    pytest.importorskip("wandb")
    experiment = run(param_space={"lr": {"grid_search": [1.0, 2.0]}})
    drive(experiment, WandbLoggerCallback(project="climbs"))
    events = [e.message for e in experiment.store.events(experiment.id) if "callback" in e.kind]
    assert events == []
    runs = list(Path(experiment.home, experiment.id, "wandb").glob("offline-run-*"))
    ids = sorted(path.name.split("-", 3)[-1] for path in runs)
    assert ids == [f"{experiment.id}-00000", f"{experiment.id}-00001"]
    assert all(list(path.glob("*.wandb")) for path in runs)
