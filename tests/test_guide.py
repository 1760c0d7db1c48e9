"""The guide and the example run as they stand."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunerl import spec

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs in this process, which is quicker; names registered are forgotten."""
    from tunerl import registry
    from tunerl.runtime.local import LocalRuntime

    monkeypatch.setattr("tunerl.tuner.create_runtime", lambda name: LocalRuntime(2))
    monkeypatch.setattr(registry, "_environments", {})
    monkeypatch.setattr(registry, "_shared", {})


def test_every_python_block_of_the_guide_runs(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "guide"}
    found = blocks("python")
    assert len(found) >= 10
    for number, block in enumerate(found):
        exec(compile(block, f"guide.md, block {number}", "exec"), namespace)
    assert namespace["results"].status == "COMPLETED"
    assert namespace["grid"].num_errors == 0
    assert len(namespace["result"].best_checkpoints) == 2
    assert namespace["mine"].status == "TERMINATED"


@pytest.mark.parametrize("name", ["agents", "algorithms", "environments", "networks"])
def test_every_python_block_of_the_other_pages_runs(
    here: None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / f"{name}.md").read_text()
    namespace: dict[str, Any] = {"__name__": name}
    found = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found
    for number, block in enumerate(found):
        exec(compile(block, f"{name}.md, block {number}", "exec"), namespace)


def test_the_files_of_the_guide_are_experiments() -> None:
    found = blocks("yaml")
    assert found
    for block in found:
        assert spec.check(yaml.safe_load(block)).metric == "env_runners/episode_return_mean"


def test_the_example_runs(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["tune_ppo.py", "--samples", "2", "--seeds", "2", "--steps", "4000"]
    monkeypatch.setattr(sys, "argv", given)
    runpy.run_path(str(ROOT / "examples" / "tune_ppo.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "best: trial" in out
    assert "mean return of 20 fresh episodes" in out
