"""Experiments that go on under other settings; those that begin with the history of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb
from tunerl import CheckpointConfig, OptunaSearch, ResultGrid, RunConfig, TuneConfig, Tuner, uniform
from tunerl.errors import InvalidSpec
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus

SPACE = {"lr": uniform(0.0, 1.0)}


def run(**more: Any) -> RunConfig:
    return RunConfig(**{"runtime": LocalRuntime(1), "verbose": 0, **more})


def first(stop: Any = None, search_alg: Any = None, **more: Any) -> ResultGrid:
    best: dict[str, Any] = {"metric": "score", "mode": "max"}
    return Tuner(
        Climb,
        param_space=SPACE,
        tune_config=TuneConfig(num_samples=3, search_alg=search_alg, **best),
        run_config=run(name="first", stop=stop or {"training_iteration": 2}, **more),
    ).fit()


def iterations(grid: ResultGrid) -> list[int]:
    return [result.metrics["training_iteration"] for result in grid]


def events(grid: ResultGrid, kind: str) -> list[Any]:
    found = grid.store.events(grid.experiment_id, limit=200)
    return [event for event in found if event.kind == kind]


def test_more_trials_of_a_finished_experiment_are_those_of_a_longer_one() -> None:
    grid = first()
    longer = Tuner.extend(grid.experiment_id, Climb, num_samples=5, run_config=run()).fit()
    assert longer.experiment_id == grid.experiment_id
    assert longer.status is ExperimentStatus.COMPLETED
    assert iterations(longer) == [2] * 5
    assert [r.config for r in longer][:3] == [r.config for r in grid]
    assert len({r.config["lr"] for r in longer}) == 5
    (event,) = events(longer, "experiment.extended")
    assert event.data == {"before": {"num_samples": 3}, "after": {"num_samples": 5}}
    assert longer.spec["num_samples"] == 5


def test_a_later_stop_rule_lets_trials_go_on_from_their_checkpoints() -> None:
    grid = first()
    saved = [result.checkpoint.path for result in grid if result.checkpoint]
    later = Tuner.extend("first", Climb, stop={"training_iteration": 4}, run_config=run()).fit()
    assert iterations(later) == [4, 4, 4]
    for before, after in zip(grid, later, strict=True):
        assert after.metrics["score"] == pytest.approx(4 * before.config["lr"])
        assert [record.iteration for record in after.results] == [1, 2, 3, 4]
    assert len(saved) == 3
    assert iterations(Tuner.restore("first", Climb, run_config=run()).fit()) == [4, 4, 4]


def test_a_trial_that_the_new_rule_ends_too_stays_ended() -> None:
    grid = first()
    middle = sorted(result.metrics["score"] for result in grid)[1]
    later = Tuner.extend(
        "first", Climb, stop={"score": middle, "training_iteration": 3}, run_config=run()
    ).fit()
    expected = [2 if result.metrics["score"] >= middle else 3 for result in grid]
    assert iterations(later) == expected


def test_a_stop_function_takes_the_place_of_limits() -> None:
    first()
    stop = run(stop=lambda trial, result: False)
    later = Tuner.extend(
        "first",
        Climb,
        stop=lambda trial, result: result["training_iteration"] >= 3,
        run_config=run(),
    )
    assert later._spec.python == ("stop",)
    assert iterations(later.fit()) == [3, 3, 3]
    with pytest.raises(InvalidSpec, match="stop"):
        Tuner.restore("first", Climb, run_config=run())
    assert iterations(Tuner.restore("first", Climb, run_config=stop).fit()) == [3, 3, 3]


@pytest.mark.parametrize("search_alg", [None, OptunaSearch(seed=1)], ids=["random", "optuna"])
def test_new_trials_come_from_a_new_space(search_alg: Any) -> None:
    grid = first(search_alg=search_alg)
    elsewhere = Tuner.extend(
        "first", Climb, num_samples=6, param_space={"lr": uniform(5.0, 6.0)}, run_config=run()
    ).fit()
    rates = [result.config["lr"] for result in elsewhere]
    assert rates[:3] == [result.config["lr"] for result in grid]
    assert all(5.0 <= rate <= 6.0 for rate in rates[3:])
    assert len(rates) == 6


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"num_sample": 3}, "num_sample"),
        ({"metric": "other"}, "metric"),
        ({"num_samples": 0}, "num_samples"),
        ({"stop": [3]}, "stop"),
    ],
)
def test_what_cannot_be_changed_is_refused(changes: dict[str, Any], path: str) -> None:
    first()
    with pytest.raises(InvalidSpec) as caught:
        Tuner.extend("first", Climb, run_config=run(), **changes)
    assert caught.value.problems[0].path == path


def test_a_fork_begins_with_the_history_and_leaves_the_other_alone() -> None:
    grid = first(checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_frequency=1))
    fork = Tuner.fork(
        "first",
        Climb,
        name="second",
        num_samples=4,
        stop={"training_iteration": 4},
        run_config=run(),
    )
    result = fork.fit()
    assert result.experiment_id != grid.experiment_id
    assert (result.spec["name"], result.status) == ("second", ExperimentStatus.COMPLETED)
    assert iterations(result) == [4, 4, 4, 4]
    assert [r.config for r in result][:3] == [r.config for r in grid]
    assert events(result, "experiment.forked")[0].data == {"source": grid.experiment_id}
    grid.refresh()
    assert (len(grid), iterations(grid)) == (3, [2, 2, 2])
    for mine in grid:
        assert mine.checkpoint is not None
        assert Path(mine.checkpoint.path).is_dir()  # retention of the fork has left it
        state, _ = mine.checkpoint.load()
        assert state.values["iteration"] == 2
    pins = [record.pins for record in grid.store.checkpoints(grid.experiment_id)]
    assert set(pins) == {0}  # it has checkpoints of its own by now
