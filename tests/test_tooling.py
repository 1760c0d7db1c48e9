"""The files around the code: pins, scripts, and what the continuous integration prints last."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINS = ("constraints.txt", "benchmarks/constraints-peers.txt")
SCRIPTS = (".ci/run", "scripts/venv", "scripts/packages")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: str) -> dict[str, str]:
    lines = [line for line in (ROOT / path).read_text().splitlines() if not line.startswith("#")]
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("path", PINS)
def test_pins_are_exact_versions_without_address_or_local_build(path: str) -> None:
    for name, version in pins(path).items():
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"
    assert pins(path)["torch"] == "2.13.0"


def test_every_dependency_of_every_extra_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    names = {canonical(re.split(r"[\[<>=!~; ]", entry)[0]) for entry in wanted} - {"tunerl"}
    assert names - pins("constraints.txt").keys() == set()
    assert {"box2d", "mujoco"} <= pins("constraints.txt").keys()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run_and_parses(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", script], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("output", "status", "closing"),
    [
        ("== 3 passed, 1 skipped in 2.10s ==\nmake: done", 0, "== 3 passed, 1 skipped in 2.10s =="),
        ("= 1 failed, 2 passed in 75.31s (0:01:15) =\nmake: *** [test] Error 1", 2, "= 1 failed, 2 "
         "passed in 75.31s (0:01:15) ="),
        ("ruff found 3 errors", 2, "make test ended before pytest did"),
    ],
)  # fmt: skip
def test_ci_ends_with_pytests_closing_line_and_the_status_of_make(
    tmp_path: Path, output: str, status: int, closing: str
) -> None:
    fake = tmp_path / "make"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    fake.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == closing


def test_the_environment_script_names_the_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts/venv", old, tmp_path / "venv"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_missing_packages_are_named_where_they_cannot_be_installed(tmp_path: Path) -> None:
    for name in ("bash", "id", "env", "grep"):
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts/packages"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "chromium" in done.stderr
    assert "apt-get install" in done.stderr
