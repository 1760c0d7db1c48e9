"""docs/surviving.md names a test for each scenario, and each test it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "surviving.md").read_text()


def missing(page: str) -> list[str]:
    """The tests that a page names and that do not exist."""
    found = []
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page):
        tree = ast.parse((ROOT / path).read_text()) if (ROOT / path).is_file() else None
        names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} if tree else {}
        if name not in names:
            found.append(f"{path}::{name}")
    return found


def test_every_scenario_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \|.*::test_\w+` \|$", PAGE, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 25)]
    assert missing(PAGE) == []


def test_a_test_that_is_not_there_is_found_missing() -> None:
    here = "tests/test_surviving_page.py"
    page = f"`{here}::test_nothing` `tests/test_nowhere.py::test_x` `{here}::missing`"
    assert missing(page) == [f"{here}::test_nothing", "tests/test_nowhere.py::test_x"]
