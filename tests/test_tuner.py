"""`Tuner`: Ray Tune's signatures, what is refused, restore, Ctrl-C, the terminal."""

from __future__ import annotations

import dataclasses
import datetime
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import tunerl
from tests.support.runs import Climb
from tunerl import (
    ASHAScheduler,
    CheckpointConfig,
    FailureConfig,
    OptunaSearch,
    RunConfig,
    TuneConfig,
    Tuner,
    choice,
    sample_from,
    uniform,
)
from tunerl.control.views import NoProgress, Row, View
from tunerl.errors import InvalidInput, InvalidSpec, MetricError, NotFound, TrainableError
from tunerl.pace import Pace
from tunerl.progress import Lines, farewell, head, line, progress_for, table
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus, Status

BEST = {"metric": "score", "mode": "max"}


def quiet(**more: Any) -> RunConfig:
    return RunConfig(**{"runtime": LocalRuntime(2), "verbose": 0, **more})


def test_a_function_is_tuned() -> None:
    def parabola(config: dict[str, Any]) -> Mapping[str, float]:
        return {"score": -((config["x"] - 1) ** 2)}

    grid = Tuner(
        parabola,
        param_space={"x": uniform(0, 2)},
        tune_config=TuneConfig(num_samples=10, **BEST),
        run_config=quiet(),
    ).fit()
    assert len(grid) == grid.num_terminated == 10
    best = grid.get_best_result()
    assert best.metrics["score"] == max(result.metrics["score"] for result in grid)
    assert 0 <= best.config["x"] <= 2


def test_all_of_the_configuration_reaches_the_spec(tmp_path: Path) -> None:
    tuner = Tuner(
        Climb,
        param_space={"lr": uniform(0, 1)},
        tune_config=TuneConfig(
            search_alg=OptunaSearch(seed=3),
            scheduler=ASHAScheduler(max_t=9),
            num_samples=7,
            max_concurrent_trials=2,
            time_budget_s=datetime.timedelta(minutes=2),
            num_seeds=2,
            aggregate="iqm",
            seed=5,
            **BEST,
        ),
        run_config=quiet(
            name="mine",
            storage_path=tmp_path,
            stop={"nested": {"score": 4}, "training_iteration": 3},
            checkpoint_config=CheckpointConfig(2, "nested/score", "min", 5, False),
            failure_config=FailureConfig(3, fail_fast=True),
        ),
    )
    spec = tuner._spec
    assert (spec.name, spec.storage, spec.seed, spec.num_seeds) == ("mine", str(tmp_path), 5, 2)
    assert spec.stop == {"nested/score": 4, "training_iteration": 3}
    assert (spec.searcher["type"], spec.scheduler["max_t"]) == ("optuna", 9)
    assert (spec.time_budget_s, spec.aggregate, spec.max_concurrent_trials) == (120.0, "iqm", 2)
    assert (spec.checkpoint.num_to_keep, spec.checkpoint.frequency) == (2, 5)
    assert (spec.checkpoint.score_order, spec.checkpoint.at_end) == ("min", False)
    assert (spec.failure.max_failures, spec.failure.fail_fast) == (3, True)
    assert spec.python == ()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"tune_config": TuneConfig(metric="score")}, "mode"),
        ({"tune_config": TuneConfig(search_alg="optunna")}, "searcher.type"),
        ({"tune_config": TuneConfig(scheduler=object())}, "scheduler"),  # type: ignore[arg-type]
        ({"tune_config": TuneConfig(num_samples=0)}, "num_samples"),
        ({"param_space": [1, 2]}, "param_space"),
        ({"run_config": RunConfig(stop=[1])}, "stop"),  # type: ignore[arg-type]
        ({"run_config": RunConfig(failure_config=FailureConfig(fail_fast="no"))}, "failure"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(given: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Tuner(Climb, **{"param_space": {"lr": uniform(0, 1)}, **given})
    assert any(problem.path.startswith(path) for problem in caught.value.problems)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="log_to_file"):
        RunConfig(log_to_file=True)  # type: ignore[call-arg]


def test_a_metric_that_never_appears_reaches_the_caller() -> None:
    tuner = Tuner(
        Climb,
        param_space={"lr": uniform(0, 1)},
        tune_config=TuneConfig(metric="scores", mode="max"),
        run_config=quiet(stop={"training_iteration": 2}),
    )
    with pytest.raises(MetricError, match="did you mean 'score'"):
        tuner.fit()
    assert tuner.get_results().status is ExperimentStatus.ERROR


def test_python_objects_of_the_space_reach_the_trainable_and_survive_a_restore() -> None:
    seen = []

    def train(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        seen.append(config["kind"])
        yield {"score": float(config["twice"])}
        if fail:
            raise RuntimeError("not yet")
        yield {"score": float(config["twice"]) + 1}

    space = {
        "kind": choice([dict, list]),
        "x": uniform(1, 2),
        "twice": sample_from(lambda config: 2 * config["x"]),
    }
    fail = True
    tuner = Tuner(
        train, param_space=space, tune_config=TuneConfig(num_samples=3), run_config=quiet()
    )
    grid = tuner.fit()
    assert grid.num_errors == 3
    assert set(seen) <= {dict, list}
    assert grid[0].config["kind"] in ({"python": "builtins.dict"}, {"python": "builtins.list"})
    fail = False
    with pytest.raises(InvalidSpec, match="give param_space again"):
        Tuner.restore(grid.experiment_path, train, resume_errored=True)
    restored = Tuner.restore(
        grid.experiment_path, train, resume_errored=True, param_space=space, run_config=quiet()
    )
    again = restored.fit()
    assert again.num_errors == 0
    assert [r.metrics["score"] for r in again] == [2 * r.config["x"] + 1 for r in again]
    assert seen[:3] == seen[3:]


class Stubborn(Climb):
    """Fails in its second iteration as long as `broken`."""

    broken = True

    def step(self) -> Mapping[str, Any]:
        if type(self).broken and self.iteration == 1:
            raise RuntimeError("broken")
        return super().step()


@pytest.mark.parametrize("switch", ["resume_errored", "restart_errored"])
def test_failed_trials_are_run_again_when_asked_for(switch: str) -> None:
    Stubborn.broken = True
    run_config = quiet(
        stop={"training_iteration": 3},
        checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
    )
    tuner = Tuner(
        Stubborn,
        param_space={"lr": 1.0},
        tune_config=TuneConfig(**BEST),
        run_config=run_config,
    )
    grid = tuner.fit()
    assert (grid.num_errors, grid.status) == (1, ExperimentStatus.ERROR)
    assert "broken" in str(grid.errors[0])
    Stubborn.broken = False
    untouched = Tuner.restore(grid.experiment_id, Stubborn, run_config=quiet()).fit()
    assert untouched.num_errors == 1
    again = Tuner.restore(grid.experiment_id, Stubborn, run_config=quiet(), **{switch: True}).fit()
    assert (again.num_errors, again.status) == (0, ExperimentStatus.COMPLETED)
    assert again[0].metrics["score"] == 3.0
    assert [record.iteration for record in again[0].results] == [1, 2, 3]


def test_fail_fast_raise_raises_the_trials_error() -> None:
    Stubborn.broken = True
    tuner = Tuner(
        Stubborn,
        param_space={"lr": 1.0},
        run_config=quiet(failure_config=FailureConfig(fail_fast="raise")),
    )
    with pytest.raises(TrainableError, match="broken"):
        tuner.fit()


def test_restore_finds_by_id_name_and_path_only_what_is_there(tmp_path: Path) -> None:
    config = quiet(name="known", stop={"training_iteration": 1}, storage_path=tmp_path)
    grid = Tuner(Climb, param_space={"lr": 1.0}, run_config=config).fit()
    for path in (grid.experiment_id, "known", tmp_path / "known", grid.experiment_path):
        assert Tuner.can_restore(path)
    assert not Tuner.can_restore("unknown")
    with pytest.raises(NotFound):
        Tuner.restore("unknown", Climb)
    with pytest.raises(InvalidSpec, match="the experiment is of 'Climb'"):
        Tuner.restore("known", Stubborn)
    assert len(Tuner.restore("known", Climb).get_results()) == 1


def test_results_before_fit_are_not_found() -> None:
    with pytest.raises(NotFound, match="fit"):
        Tuner(Climb, param_space={"lr": 1.0}).get_results()


def test_ctrl_c_pauses_and_restore_goes_on_from_a_checkpoint() -> None:
    def interrupt(trial: str, result: dict[str, Any]) -> bool:
        if result["training_iteration"] == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return False

    before = signal.getsignal(signal.SIGINT)
    grid = Tuner(Climb, param_space={"lr": 1.0}, run_config=quiet(stop=interrupt)).fit()
    assert signal.getsignal(signal.SIGINT) is before
    assert (grid.status, grid.reason) == (ExperimentStatus.PAUSED, "interrupted")
    assert grid[0].status is Status.PENDING
    assert grid[0].checkpoint is not None
    reached = len(grid[0].results)

    def enough(trial: str, result: dict[str, Any]) -> bool:
        return bool(result["training_iteration"] == 6)

    restored = Tuner.restore(grid.experiment_id, Climb, run_config=quiet(stop=enough)).fit()
    assert restored.status is ExperimentStatus.COMPLETED
    attempts = [record.attempt for record in restored[0].results]
    assert attempts == [1] * reached + [2] * (6 - reached)
    assert restored[0].metrics["score"] == 6.0


def test_the_names_are_there_and_importing_them_is_lazy() -> None:
    for name in tunerl.__all__:
        assert getattr(tunerl, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        tunerl.nonsense  # noqa: B018
    code = "import sys, tunerl; print(any(m in sys.modules for m in ('ray', 'sqlalchemy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


VIEW = View(
    name="sweep",
    id="abc",
    metric="env_runners/episode_return_mean",
    mode="max",
    counts={"TERMINATED": 3, "RUNNING": 2, "ERROR": 1},
    total=64,
    results=20,
    steps=81920,
    best=(475.25, 2),
    best_config={"lr": 0.001},
    running=[Row(4, 7, 12.0, {"lr": 0.5}), Row(5, 7, 30.0, {"lr": 0.25, "net": {"n": 1}})],
)


def test_the_line_says_how_far_it_is() -> None:
    assert line(VIEW, 65) == (
        "4/64 trials done, 2 running, 1 error, 81,920 steps, best 475.2 (trial 2), 1 min 5 s"
    )


def test_trials_without_a_result_are_starting_and_a_reason_to_wait_is_told() -> None:
    waiting = dataclasses.replace(VIEW, starting=2, reason="waits for nodes to join")
    text = line(waiting, 65)
    assert "4/64 trials done, 2 starting, 1 error" in text
    assert text.endswith("waits for nodes to join")


def test_the_table_shows_the_best_running_trial_first() -> None:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(VIEW))
    text = console.export_text()
    assert text.index("lr=0.25") < text.index("lr=0.5")
    assert "EPISODE_RETURN_MEAN" in text


def test_the_table_is_as_tall_with_a_thousand_trials_as_with_ten() -> None:
    from rich.console import Console

    from tunerl.progress import CLIReporter

    many = [
        Row(i, i, float(i), {"lr": 0.1 * i, "net": 3}, "TERMINATED", {"loss": i / 7}, f"my {i}")
        for i in range(1000)
    ]
    counts = {"TERMINATED": 900, "PENDING": 70, "RUNNING": 30}
    view = dataclasses.replace(VIEW, top=many, running=many, counts=counts, total=1000)
    pace = Pace()
    pace.add(0.0, 0, 0.5)
    pace.add(10.0, 50, 0.9)
    reporter = CLIReporter(
        metric_columns={"loss": "Loss"}, parameter_columns=["lr"], max_progress_rows=3
    )
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*head(view, 10, pace), table(view, reporter), sep="\n")
    text = console.export_text()
    lines = text.rstrip().splitlines()
    assert len(lines) == 2 + 1 + 3
    assert "900/1000 trials done, 30 running, 70 pending" in lines[1]
    assert "5 results/s, about 2 s to go" in text
    assert lines[2].split() == ["TRIAL", "STATUS", "ITERATION", "Loss", "LR"]
    assert lines[5].split() == ["my", "2", "TERMINATED", "2", "0.2857", "0.2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: tunerl.CLIReporter(metric_columns="loss"),
        lambda: tunerl.CLIReporter(max_progress_rows=0),
        lambda: tunerl.CLIReporter(max_report_frequency=-1),
        lambda: Tuner(Climb, run_config=RunConfig(progress_reporter=3)),  # type: ignore[arg-type]
    ],
)
def test_a_reporter_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        make()
    assert caught.value.problems[0].path.startswith("progress_reporter")


def test_a_notebook_shows_the_best_trials_escaped() -> None:
    def named(config: dict[str, Any]) -> Mapping[str, float]:
        return {"score": 1.0 if config["name"] == "<b>" else 2.0}

    grid = Tuner(
        named,
        param_space={"name": tunerl.grid_search(["<b>", "plain"])},
        tune_config=TuneConfig(**BEST),
        run_config=quiet(),
    ).fit()
    html = grid._repr_html_()
    assert "<b>" not in html
    assert html.index("plain") < html.index("&lt;b&gt;")


def test_a_paused_experiment_says_how_to_go_on() -> None:
    from dataclasses import replace

    paused = replace(VIEW, status="PAUSED", reason="interrupted")
    assert farewell(paused) == (
        "interrupted: nothing is lost; go on with Tuner.restore('abc', trainable).fit()"
    )


def test_verbose_says_how_much_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(progress_for(0), NoProgress)
    shown = progress_for(2)
    assert isinstance(shown, Lines)
    shown.start(VIEW)
    shown.update(lambda: VIEW)
    shown.update(lambda: VIEW)  # no news
    shown.end(VIEW)
    assert len(capsys.readouterr().err.splitlines()) == 3
