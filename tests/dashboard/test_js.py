"""The pure functions of the dashboard, tested by node's own runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))


def test_javascript_units() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    assert FILES
    ran = subprocess.run(
        [node, "--test", *map(str, FILES)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# fail 0" in ran.stdout or "ℹ fail 0" in ran.stdout
