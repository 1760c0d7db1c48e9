"""Callbacks of a sweep: what they are told, what they raise, what an interruption leaves of it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, laboratory
from tunerl import (
    Callback,
    CSVLoggerCallback,
    JsonLoggerCallback,
    RunConfig,
    TBXLoggerCallback,
    TuneConfig,
    Tuner,
)
from tunerl.callbacks import TrialView
from tunerl.errors import InvalidSpec
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus, Status

BEST = {"metric": "score", "mode": "max"}
GRID = {"lr": {"grid_search": [1.0, 2.0]}}


class Diary(Callback):
    """Notes what it is told; interrupts at the result whose number is `killed_at`."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.killed_at = killed_at
        self.results = 0
        self.state: dict[str, Any] | None = None

    def note(self, hook: str, trial: TrialView, *more: Any) -> None:
        self.told.append((hook, trial.number, *more))

    def setup(self, stop: Any = None, **info: Any) -> None:
        self.told.append(("setup", stop, info["metric"]))

    def on_trial_start(self, iteration: int, trials: Any, trial: TrialView, **info: Any) -> None:
        self.note("start", trial)

    def on_trial_restore(self, iteration: int, trials: Any, trial: TrialView, **info: Any) -> None:
        self.note("restore", trial)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: TrialView, result: dict[str, Any], **info: Any
    ) -> None:
        self.results += 1
        if self.results == self.killed_at:
            raise KeyboardInterrupt
        self.note("result", trial, result["training_iteration"])

    def on_checkpoint(
        self, iteration: int, trials: Any, trial: TrialView, checkpoint: Any, **info: Any
    ) -> None:
        self.note("checkpoint", trial, Path(checkpoint.path).parent.name)

    def on_trial_complete(self, iteration: int, trials: Any, trial: TrialView, **info: Any) -> None:
        self.note("complete", trial)

    def on_trial_recover(self, iteration: int, trials: Any, trial: TrialView, **info: Any) -> None:
        self.note("recover", trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: TrialView, **info: Any) -> None:
        self.note("error", trial)

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        self.told.append(("end", len(trials)))

    def get_state(self) -> dict[str, Any]:
        return {"results": self.results}

    def set_state(self, state: dict[str, Any]) -> None:
        self.state = state

    def of(self, *hooks: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.told if entry[0] in hooks]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


def drive(experiment: Any, *callbacks: Any) -> ExperimentStatus:
    """Run an experiment with callbacks, to its end or an interrupt."""
    controller = experiment.controller(callbacks=callbacks)
    try:
        status: ExperimentStatus = controller.run()
        return status
    finally:
        experiment.store.release(controller.lease)


def test_hooks_are_told_in_order(run: Any) -> None:
    diary, experiment = Diary(), run(param_space={"lr": 1.0}, stop={"training_iteration": 2})
    assert drive(experiment, diary) is ExperimentStatus.COMPLETED
    assert diary.told == [
        ("setup", {"training_iteration": 2}, "score"),
        ("start", 0),
        ("result", 0, 1),
        ("result", 0, 2),
        ("checkpoint", 0, "checkpoint_000002"),
        ("complete", 0),
        ("end", 1),
    ]


def test_a_failed_trial_is_told_as_recovered_then_as_failed(run: Any) -> None:
    def fails(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"score": 1.0}
        raise RuntimeError("no more")

    diary, experiment = Diary(), run(fails, param_space={}, failure={"max_failures": 1})
    drive(experiment, diary)
    assert diary.of("start", "recover", "error", "complete") == [
        ("start", 0),
        ("recover", 0),
        ("start", 0),
        ("error", 0),
    ]
    assert diary.of("result") == [("result", 0, 1)]


def test_trials_are_seen_with_the_names_of_ray_tune(run: Any) -> None:
    seen: list[TrialView] = []

    class Look(Callback):
        def on_trial_complete(
            self, iteration: int, trials: Any, trial: TrialView, **info: Any
        ) -> None:
            assert trials[trial.number].trial_id == trial.trial_id
            assert [view.number for view in trials] == list(range(len(trials)))
            seen.append(trial)

    drive(run(param_space={"lr": {"grid_search": [2.0]}, "depth": {"of": 3}}), Look())
    (trial,) = seen
    assert (trial.trial_id, str(trial), trial.status) == ("00000", "Climb_00000", Status.TERMINATED)
    assert trial.config == {"lr": 2.0, "depth": {"of": 3}}
    assert trial.evaluated_params == {"lr": 2.0}
    assert trial.last_result["score"] == 6.0
    assert trial.checkpoint is not None
    with pytest.raises(AttributeError):
        trial.status = Status.ERROR  # type: ignore[misc]


def test_a_callback_that_raises_is_an_event_and_nobody_else_notices(run: Any) -> None:
    class Broken(Callback):
        def on_trial_result(self, *args: Any, **info: Any) -> None:
            raise ValueError("I am broken")

    diary, experiment = Diary(), run()
    assert drive(experiment, Broken(), diary) is ExperimentStatus.COMPLETED
    assert len(diary.of("result")) == 9
    events = [e for e in experiment.store.events(experiment.id) if e.kind == "callback.error"]
    assert len(events) == 4  # the first three, and how many there were
    assert events[0].message == "Broken.on_trial_result raised ValueError: I am broken"
    assert "Traceback" in events[0].data["traceback"]
    assert "9 times" in events[-1].message
    assert [trial.objective for trial in experiment.trials] == [3.0, 6.0, 9.0]


def test_after_a_crash_nothing_is_left_out(run: Any) -> None:
    experiment = run(param_space=GRID, checkpoint={"frequency": 1})
    first, second = Diary(killed_at=4), Diary()
    with pytest.raises(KeyboardInterrupt):
        drive(experiment, first)
    recorded = len(experiment.store.results(experiment.id))
    assert recorded >= 4
    assert drive(experiment, second) is ExperimentStatus.COMPLETED
    told = {*first.of("result"), *second.of("result")}
    assert told == {("result", trial, at) for trial in (0, 1) for at in (1, 2, 3)}
    assert second.of("restore", "complete")
    assert len(second.of("complete")) == 2


def test_a_callback_goes_on_from_its_state(run: Any) -> None:
    experiment = run(param_space=GRID)
    first, second = Diary(), Diary()
    controller = experiment.controller(callbacks=[first])
    controller.interrupt("enough")
    controller.run()
    experiment.store.release(controller.lease)
    drive(experiment, second)
    third = Diary()
    drive(experiment, third)
    assert third.state == {"results": 6}
    assert third.of("result", "complete") == []


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def growing(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"score": 1.0, "list": [1, 2]}
    yield {"score": math.nan, "late, and odd": "a\nb"}
    yield {"score": 3.0}


def test_files_hold_every_result_once_even_after_a_crash(run: Any) -> None:
    loggers = (CSVLoggerCallback, JsonLoggerCallback)
    experiment = run(growing, param_space={}, stop={}, failure={"max_failures": 0})
    with pytest.raises(KeyboardInterrupt):
        drive(experiment, *(logger() for logger in loggers), Diary(killed_at=2))
    home = Path(experiment.home, experiment.id, "00000")
    with (home / "result.json").open("a") as file:
        file.write('{"training_iter')  # the crash was in the middle of a line
    Path(experiment.home, experiment.id, "callbacks.json").unlink(missing_ok=True)
    assert drive(experiment, *(logger() for logger in loggers)) is ExperimentStatus.COMPLETED
    table = rows(home / "progress.csv")
    assert [row["training_iteration"] for row in table] == ["1", "2", "3"]
    assert [row["score"] for row in table] == ["1.0", "nan", "3.0"]
    assert [row["late, and odd"] for row in table] == ["", "a\nb", ""]
    assert table[0]["list"] == "[1, 2]"
    lines = [json.loads(line) for line in (home / "result.json").read_text().splitlines()]
    assert [line["training_iteration"] for line in lines] == [1, 2, 3]
    assert lines[1]["score"] is None
    assert json.loads((home / "params.json").read_text()) == {}


def test_tensorboard_shows_every_step_once_after_a_crash(run: Any) -> None:
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped, unused-ignore]
    from tensorboardX.record_writer import (  # type: ignore[import-untyped, unused-ignore]
        RecordWriter,
    )

    assert RecordWriter
    experiment = run(param_space={"lr": {"grid_search": [1.0]}}, checkpoint={"frequency": 1})
    with pytest.raises(KeyboardInterrupt):
        drive(experiment, TBXLoggerCallback(), Diary(killed_at=2))
    drive(experiment, TBXLoggerCallback())
    shown: list[int] = []
    files = sorted(Path(experiment.home, experiment.id, "00000").glob("events.*"))
    assert len(files) == 2
    for file in sorted(files, key=lambda path: path.stat().st_mtime_ns):
        for event in events_of(file, Event):
            if event.HasField("session_log"):
                shown = [step for step in shown if step < event.step]
            shown += [event.step for v in event.summary.value if v.tag == "ray/tune/score"]
    assert shown == [1, 2, 3]


def events_of(path: Path, kind: Any) -> Iterator[Any]:
    """The records of a TensorBoard file: length, checksum, bytes, checksum."""
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield kind.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_trials_and_their_directories_go_by_given_names(tmp_path: Path) -> None:
    named: list[str] = []

    class Look(Callback):
        def on_trial_complete(
            self, iteration: int, trials: Any, trial: TrialView, **info: Any
        ) -> None:
            named.append(str(trial))

    grid = Tuner(
        Climb,
        param_space=GRID,
        tune_config=TuneConfig(
            trial_name_creator=lambda trial: f"rate {trial.config['lr']:g}",
            trial_dirname_creator=lambda trial: "same" if trial.number else "a/b",
            **BEST,
        ),
        run_config=RunConfig(
            runtime=LocalRuntime(1),
            verbose=0,
            storage_path=tmp_path,
            stop={"training_iteration": 1},
            callbacks=[Look(), CSVLoggerCallback()],
        ),
    ).fit()
    assert named == ["rate 1", "rate 2"]
    home = Path(grid.experiment_path)
    assert len(rows(home / "same" / "progress.csv")) == 1
    assert len(rows(home / "00000" / "progress.csv")) == 1  # "a/b" is no name
    events = [event.message for event in grid.store.events(grid.experiment_id)]
    assert any("trial_dirname_creator" in message for message in events)


@pytest.mark.parametrize("given", [Diary(), [Diary], [3]])
def test_what_is_no_callback_is_refused(given: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Tuner(Climb, param_space={"lr": 1.0}, run_config=RunConfig(callbacks=given))
    assert caught.value.problems[0].path.startswith("callbacks")
