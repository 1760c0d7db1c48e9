"""What a notebook shows of a running experiment and of its results, without a notebook."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import tunerl
from tests.support.runs import Experiment
from tunerl.control.views import Row, View
from tunerl.errors import InvalidSpec
from tunerl.notebook import Board, JupyterNotebookReporter, Notebook
from tunerl.progress import CLIReporter, Lines, progress_for
from tunerl.results import ResultGrid


def view(results: int = 3, status: str = "RUNNING", reason: str | None = None) -> View:
    rows = [Row(n, 2, n / 10, {"lr": 0.01 * n}, metrics={"loss": n}, name="") for n in range(30)]
    return View(
        "<sweep>", "id", "score", "max", {"RUNNING": 20, "TERMINATED": 10}, 40, results, 500,
        (2.9, 29), {}, rows, rows[::-1], status, reason,
    )  # fmt: skip


class Handle:
    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, board: Any) -> None:
        self.shown.append(board)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """Makes this process look like the kernel of a notebook; the outputs that it has made."""
    outputs: list[Handle] = []

    def display(board: Any, display_id: bool = False) -> Handle:
        assert display_id
        outputs.append(Handle())
        outputs[-1].update(board)
        return outputs[-1]

    top, inner = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    top.__dict__["get_ipython"] = lambda: types.SimpleNamespace(kernel=object())
    inner.__dict__["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", top)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return outputs


def test_outside_of_a_notebook_the_reporter_writes_lines(capfd: pytest.CaptureFixture[str]) -> None:
    progress = progress_for(1, tunerl.JupyterNotebookReporter())
    assert isinstance(progress, Lines)
    progress.end(view())
    assert "10/40 trials done" in capfd.readouterr().err


def test_a_notebook_is_noticed_and_one_output_redrawn(kernel: list[Handle]) -> None:
    progress = progress_for(1, CLIReporter(max_report_frequency=0))
    assert isinstance(progress, Notebook)
    progress.start(view(0))
    progress.update(lambda: view(1))
    progress.update(lambda: view(1))  # no news
    progress.end(view(2, "PAUSED"))
    (output,) = kernel
    assert len(output.shown) == 3
    assert "Tuner.restore('id'" in output.shown[-1]._repr_html_().replace("&#x27;", "'")
    assert isinstance(progress_for(2, CLIReporter()), Lines)
    assert isinstance(progress_for(2, JupyterNotebookReporter()), Notebook)


def test_without_overwrite_each_report_has_its_own_output(kernel: list[Handle]) -> None:
    progress = progress_for(1, JupyterNotebookReporter(overwrite=False, max_report_frequency=0))
    progress.start(view(0))
    progress.update(lambda: view(1))
    assert [len(output.shown) for output in kernel] == [1, 1]


def test_it_looks_only_as_often_as_was_asked(kernel: list[Handle]) -> None:
    progress = progress_for(1, JupyterNotebookReporter(max_report_frequency=3600))
    progress.start(view(0))
    progress.update(lambda: pytest.fail("nobody wanted to see it yet"))


def test_a_board_is_escaped_short_and_has_the_columns_that_were_asked_for() -> None:
    reporter = JupyterNotebookReporter(
        metric_columns={"loss": "L"}, parameter_columns=["lr"], max_progress_rows=4
    )
    html = Board(view(), 61.0, None, reporter)._repr_html_()
    assert "&lt;sweep&gt;" in html
    assert "<sweep>" not in html
    assert html.count("<tr>") == 1 + 4
    assert ">L</th>" in html
    assert ">lr</th>" in html
    assert "width:25.0%" in html
    assert repr(Board(view(), 61.0, None)).startswith("<sweep>: RUNNING, 10/40 trials done")


def test_a_reporter_that_makes_no_sense_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidSpec, match=r"progress_reporter\.overwrite: 'no' given"):
        JupyterNotebookReporter(overwrite="no")  # type: ignore[arg-type]
    with pytest.raises(InvalidSpec, match="max_progress_rows"):
        JupyterNotebookReporter(max_progress_rows=0)


def test_a_grid_shows_what_differs_and_folds_what_does_not(tmp_path: Path) -> None:
    experiment = Experiment(
        tmp_path,
        param_space={"lr": {"grid_search": [1.0, 3.0]}, "model": {"act": "<tanh>"}},
        metric=["score", "nested/score"],
        mode=["max", "max"],
        num_seeds=2,
    )
    experiment.run()
    grid = ResultGrid(experiment.store, experiment.id)
    html = grid._repr_html_()
    assert "2 terminated" in html
    assert html.count("◆") == 2  # nobody is beaten in both
    assert html.index(">9<") < html.index(">-3<")  # the best first
    table, _, same = html.partition("the same for all")
    assert "model/act" in same
    assert "model/act" not in table
    assert "&lt;tanh&gt;" in same
    one = grid[0]._repr_html_()
    assert "over 2 seeds" in one
    assert "last metrics" in one
    assert "&lt;tanh&gt;" in one


def test_an_empty_grid_and_a_failed_trial_are_shown_too(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path, param_space={"lr": "x"}, metric="score")
    assert "no trials" in ResultGrid(experiment.store, experiment.id)._repr_html_()
    experiment.run()
    grid = ResultGrid(experiment.store, experiment.id)
    assert "1 error" in grid._repr_html_()
    assert "TypeError" in grid[0]._repr_html_()
