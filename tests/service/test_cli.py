"""The command line against a real service: tables, JSON, exit codes, one-line errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import main
from service.client import Client
from service.worker import Worker
from tests.service import trainables
from tests.service.conftest import sweep
from tunerl import checkpoints, registry
from tunerl.trainable import State

Json = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tunerl(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command against the service: exit code, stdout, stderr."""
    monkeypatch.setenv("TUNERL_URL", url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunerl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int | None)
        return code or 0, said.out, said.err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep()))
    return path


def test_submit_and_watch_ends_with_the_result(tunerl: Run, file: Path, worker: Worker) -> None:
    code, out, _ = tunerl("submit", file, "--watch", "--name", "other")
    assert code == 0
    assert "other COMPLETED" in out
    assert "best: trial 2 with 12" in out
    assert "x=3" in out


def test_watching_what_failed_exits_with_1_and_shows_why(
    tunerl: Run, client: Client, worker: Worker
) -> None:
    space = {"x": 1.0, "fail": True}
    id = client.create(sweep(param_space=space, failure={"fail_fast": True}))["id"]
    code, out, _ = tunerl("watch", id)
    assert "RuntimeError: asked to fail" in out
    assert code == (0 if client.get(id)["status"] == "COMPLETED" else 1)


def test_the_views_of_a_completed_experiment(
    tunerl: Run, client: Client, worker: Worker, tmp_path: Path
) -> None:
    id = client.create(sweep())["id"]
    client.wait(id, poll=0.05, timeout=60)
    assert "small" in tunerl("list")[1]
    assert json.loads(tunerl("list", "--json", "--status", "completed")[1])[0]["id"] == id
    assert "3 terminated" in tunerl("show", "small")[1]
    assert json.loads(tunerl("show", id, "--json")[1])["spec"]["trainable"] == "quick"
    table = tunerl("results", id)[1].splitlines()
    assert table[0].split() == ["TRIAL", "STATUS", "SCORE", "STD", "SEEDS", "x"]
    assert len(table) == 4
    assert len(json.loads(tunerl("results", id, "--json")[1])) == 3
    tunerl("results", id, "--csv", tmp_path / "r.csv")
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 4
    assert "x: 3" in tunerl("best", id)[1]
    assert json.loads(tunerl("best", id, "--json")[1])["number"] == 2
    assert tunerl("best", id, "--download", tmp_path / "best")[0] == 0
    code, out, err = tunerl("evaluate", tmp_path / "best")
    assert (code, out) == (1, "")
    assert err == "tunerl: trainable 'quick' cannot evaluate a checkpoint\n"


def test_evaluate_asks_the_trainable_that_wrote_the_checkpoint(
    tunerl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Player(registry.AuthorSpec):
        def evaluate(self, path: str, episodes: int, seed: int) -> Json:
            done: Json = checkpoints.load(path)[0].values["done"]
            return {"env_runners": {"episodes": episodes, "seed": seed, "x": float("nan")}} | done

    registry.register_trainable("player", Player(trainables.Quick, "player"))
    state = State(values={"done": {"done": 7}})
    checkpoints.save(state, str(tmp_path / "c" / "0"), {"trainable": "player"})
    code, out, _ = tunerl("evaluate", tmp_path / "c", "--episodes", "3", "--seed", "5")
    found = {"env_runners/episodes": 3, "env_runners/seed": 5, "env_runners/x": None, "done": 7}
    assert (code, json.loads(out)) == (0, found)
    code, _, err = tunerl("evaluate", tmp_path)
    assert (code, "is no checkpoint" in err) == (1, True)


def test_cancel(tunerl: Run, client: Client) -> None:
    id = client.create(sweep())["id"]
    assert tunerl("cancel", id)[1].startswith("small: CANCELED")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "YAML"),
        ("- 1", "mapping"),
        (yaml.safe_dump(sweep(mode="best")), "mode: "),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_1(
    tunerl: Run, tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "wrong.yaml"
    if content is not None:
        path.write_text(content)
    code, out, err = tunerl("submit", path)
    assert (code, out) == (1, "")
    assert err.startswith("tunerl: ")
    assert words in err
    assert err.count("\n") == 1


def test_numbers_like_1e_4_are_numbers(tunerl: Run, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(sweep(param_space={})) + "  x: 1e-4\n")
    text = path.read_text().replace("param_space: {}\n", "").replace("  x:", "param_space:\n  x:")
    path.write_text(text)
    id = tunerl("submit", path)[1].strip()
    assert client.get(id)["spec"]["param_space"] == {"x": 1e-4}


def test_an_unknown_experiment_is_one_line(tunerl: Run) -> None:
    code, _, err = tunerl("show", "nothing")
    assert code == 1
    assert err.startswith("tunerl: no experiment 'nothing'")


def test_without_a_service_it_says_how_to_start_one(
    tunerl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.PAUSES", ())
    code, _, err = tunerl("list", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "tunerl serve" in err


def test_a_misused_command_exits_with_2(tunerl: Run) -> None:
    assert tunerl("submit")[0] == 2


def test_wrong_settings_are_named(tunerl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERL_PORT", "many")
    code, _, err = tunerl("list")
    assert code == 1
    assert "TUNERL_PORT" in err


def test_run_needs_no_service(tunerl: Run, file: Path) -> None:
    code, out, _ = tunerl("run", file, "--runtime", "local")
    assert code == 0
    assert "small COMPLETED" in out
    assert "best: trial 2" in out
