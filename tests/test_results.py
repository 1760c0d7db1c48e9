"""`ResultGrid` and `Result`: what is best, what each replica did, tables, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb
from tunerl import (
    Checkpoint,
    CheckpointConfig,
    ResultGrid,
    RunConfig,
    TuneConfig,
    Tuner,
    grid_search,
    report,
)
from tunerl.errors import InvalidInput
from tunerl.results.grid import NoBestResult
from tunerl.runtime.local import LocalRuntime

CURVES = {
    "rises": [1.0, 2.0, 3.0],
    "falls": [9.0, 1.0, 0.0],
    "breaks": [2.0, 2.5, math.nan],
    "steady": [2.5, 2.5, 2.5],
}


def follow(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in CURVES[config["curve"]]:
        yield {"score": value, "deep": {"er": {"score": value}}}


def run(trainable: Any, space: dict[str, Any], tune: TuneConfig, **more: Any) -> ResultGrid:
    config = RunConfig(runtime=LocalRuntime(3), verbose=0, **more)
    return Tuner(trainable, param_space=space, tune_config=tune, run_config=config).fit()


@pytest.fixture
def grid() -> ResultGrid:
    return run(follow, {"curve": grid_search(list(CURVES))}, TuneConfig(metric="score", mode="max"))


@pytest.mark.parametrize(
    ("more", "curve"),
    [
        ({}, "rises"),
        ({"mode": "min"}, "falls"),
        ({"scope": "all"}, "falls"),
        ({"scope": "avg"}, "falls"),
        ({"scope": "all", "mode": "min"}, "falls"),
        ({"metric": "deep/er/score"}, "rises"),
        ({"scope": "last-5-avg", "mode": "min"}, "rises"),
        ({"filter_nan_and_inf": False, "mode": "min"}, "falls"),
    ],
)
def test_the_best_result_by_scope(grid: ResultGrid, more: dict[str, Any], curve: str) -> None:
    assert grid.get_best_result(**more).config["curve"] == curve


def test_a_missing_metric_names_the_nearest(grid: ResultGrid) -> None:
    with pytest.raises(NoBestResult, match="'score'"):
        grid.get_best_result(metric="scor")
    with pytest.raises(RuntimeError):
        grid.get_best_result(metric="scor")
    with pytest.raises(InvalidInput, match="last-5-avg"):
        grid.get_best_result(scope="last-5-av")
    with pytest.raises(InvalidInput, match="mode"):
        grid.get_best_result(mode="maximum")


def test_metrics_read_flat_and_nested(grid: ResultGrid) -> None:
    metrics = grid[0].metrics
    assert metrics["deep/er/score"] == metrics["deep"]["er"]["score"] == 3.0
    assert metrics.get("deep")["er/score"] == 3.0
    assert metrics.get("none", 7) == 7
    with pytest.raises(KeyError, match="deep/er/score"):
        metrics["deep/er/scor"]


def test_the_grid_is_a_sequence(grid: ResultGrid) -> None:
    assert len(grid) == 4
    assert [result.trial for result in grid] == [0, 1, 2, 3]
    assert [result.trial for result in grid[1:3]] == [1, 2]
    assert grid.errors == []
    assert "4 trials" in repr(grid)
    assert "score=3.0" in repr(grid[0])


def test_the_table_has_one_row_a_trial(grid: ResultGrid) -> None:
    frame = grid.get_dataframe()
    assert list(frame["config/curve"]) == list(CURVES)
    assert list(frame["score"][[0, 1, 3]]) == [3.0, 0.0, 2.5]
    assert set(frame["status"]) == {"TERMINATED"}
    best = grid.get_dataframe(filter_metric="score", filter_mode="max")
    assert list(best["score"]) == [3.0, 9.0, 2.5, 2.5]
    assert list(best["training_iteration"]) == [3, 1, 2, 1]
    assert list(grid[0].metrics_dataframe["score"]) == [1.0, 2.0, 3.0]


def test_replicas_and_their_statistics_are_shown() -> None:
    grid = run(
        Climb,
        {"lr": grid_search([1.0, 2.0])},
        TuneConfig(metric="seed", mode="max", num_seeds=3),
        stop={"training_iteration": 2},
    )
    result = grid[1]
    assert [replica["seed"] for replica in result.replicas] == list(result.seeds)
    assert result.statistics["n"] == 3
    assert result.statistics["values"] == [float(seed) for seed in result.seeds]
    assert result.metrics["seed"] == pytest.approx(result.statistics["mean"])
    assert result.summarize("score")["std"] == 0.0
    with pytest.raises(InvalidInput, match="score"):
        result.summarize("scores")
    frame = grid.get_dataframe()
    for name in ("mean", "iqm", "std"):
        assert frame[f"seed/{name}"][1] == pytest.approx(result.statistics[name])


def test_without_a_metric_the_best_result_needs_one() -> None:
    grid = run(Climb, {"lr": grid_search([1.0, 2.0])}, TuneConfig(), stop={"score": 2.0})
    with pytest.raises(InvalidInput, match="metric"):
        grid.get_best_result()
    assert {result.metrics["score"] for result in grid} == {2.0}
    assert grid.get_best_result("training_iteration", "min").config == {"lr": 2.0}


def test_checkpoints_come_best_first_with_their_metrics(tmp_path: Path) -> None:
    grid = run(
        Climb,
        {"lr": 1.0},
        TuneConfig(metric="score", mode="max"),
        stop={"training_iteration": 4},
        storage_path=tmp_path,
        checkpoint_config=CheckpointConfig(
            num_to_keep=2, checkpoint_score_attribute="nested/score", checkpoint_frequency=1
        ),
    )
    (result,) = grid
    assert [metrics["score"] for _, metrics in result.best_checkpoints] == [1.0, 2.0, 4.0]
    assert result.checkpoint is not None
    assert result.checkpoint.path == f"{result.path}/checkpoint_000004/0"
    assert result.path.startswith(str(tmp_path))
    best = result.get_best_checkpoint("score", "min")
    assert best is not None
    assert best.load()[0].values["iteration"] == 1
    with pytest.raises(InvalidInput, match="nested/score"):
        result.get_best_checkpoint("nested/scor", "max")


def test_a_functions_own_files_come_back(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        for i in range(3):
            (tmp_path / "weights.txt").write_text(f"after {i}")
            checkpoint = Checkpoint.from_directory(tmp_path) if i == 1 else None
            report({"score": float(i)}, checkpoint=checkpoint)

    (result,) = run(train, {}, TuneConfig())
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as path:
        assert (Path(path) / "weights.txt").read_text() == "after 1"
    assert not Path(path).exists()
    assert [metrics["score"] for _, metrics in result.best_checkpoints] == [1.0]
