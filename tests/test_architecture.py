"""The house rules that a machine can check: who imports whom, sizes, docstrings, a quick import.

The checks read the syntax tree of every tracked module; the tests at the end prove on small trees
that each check finds what it is there to find.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("tunerl", "algorithms", "service")
MAX_FILE_LINES = 340
MAX_FUNCTION_LINES = 60
HEAVY = ("ray", "torch", "sqlalchemy", "pandas", "optuna")


@dataclass(frozen=True)
class Rule:
    """Modules under `where` import nothing of `roots`, but for the paths `except_in` and the
    modules `allowed`."""

    where: tuple[str, ...]
    roots: tuple[str, ...]
    why: str
    except_in: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def broken_by(self, path: str, module: str) -> bool:
        return (
            path.startswith(self.where)
            and not path.startswith(self.except_in or ("\0",))
            and any(within(module, root) for root in self.roots)
            and not any(within(module, name) for name in self.allowed)
        )


HOUSES = ("tunerl/", "algorithms/", "service/")
RULES = (
    Rule(("tunerl/",), ("algorithms", "service"), "the tuner knows no algorithm and no service"),
    Rule(("service/",), ("algorithms",), "the service finds algorithms by entry point"),
    Rule(("algorithms/",), ("service",), "algorithms know no service"),
    Rule(
        ("algorithms/",),
        ("tunerl",),
        "algorithms know only the contract of trainables",
        allowed=(
            "tunerl.trainable",
            "tunerl.checkpoints",
            "tunerl.registry",
            "tunerl.errors",
            "tunerl.hyperparameters",
            "tunerl.metrics",
            "tunerl.space",
            "tunerl.trial",
        ),
    ),
    Rule(
        HOUSES,
        ("ray",),
        "Ray only in the Ray runtime, and where environment runners are actors",
        except_in=("tunerl/runtime/ray", "algorithms/sampling/remote.py"),
    ),
    Rule(HOUSES, ("sqlalchemy", "alembic"), "SQL only in the store", except_in=("tunerl/store/",)),
    Rule(
        HOUSES,
        ("fastapi", "starlette", "uvicorn"),
        "the web only in the service",
        except_in=("service/",),
    ),
    Rule(
        HOUSES,
        ("torch", "gymnasium", "envpool"),
        "learning only in algorithms",
        except_in=("algorithms/",),
    ),
    Rule(
        HOUSES,
        ("optuna",),
        "Optuna only in its searcher and in the scheduler of its pruners",
        except_in=("tunerl/searchers/optuna", "tunerl/schedulers/optuna"),
    ),
    Rule(
        HOUSES,
        ("pickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"),
        "nothing is ever unpickled",
    ),
)


def within(module: str, root: str) -> bool:
    return module == root or module.startswith(root + ".")


def tracked(root: Path, *patterns: str) -> list[str]:
    """Paths of the tracked files, relative to `root`; of all files where `root` is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=root, capture_output=True, text=True
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
    return sorted(
        name
        for name in names
        if (root / name).is_file() and any(Path(name).match(pattern) for pattern in patterns or "*")
    )


def modules(root: Path, *houses: str) -> list[str]:
    return [name for name in tracked(root, "*.py") if name.split("/")[0] in houses]


def imported(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports, at any depth, by name or by literal."""
    package = list(Path(path).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def wrong_imports(root: Path) -> list[str]:
    found = []
    for path in modules(root, *PACKAGES):
        tree = ast.parse((root / path).read_text(), path)
        for line, module in imported(tree, path):
            found += [
                f"{path}:{line}: imports {module}: {rule.why}"
                for rule in RULES
                if rule.broken_by(path, module)
            ]
    return found


def too_long(root: Path, *houses: str) -> list[str]:
    found = []
    for path in modules(root, *houses):
        text = (root / path).read_text()
        lines = len(text.splitlines())
        if lines > MAX_FILE_LINES:
            found.append(f"{path}: {lines} lines, at most {MAX_FILE_LINES}")
        for node in ast.walk(ast.parse(text, path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    found.append(
                        f"{path}:{node.lineno}: {node.name} has {length} lines, "
                        f"at most {MAX_FUNCTION_LINES}"
                    )
    return found


def without_docstring(root: Path, *houses: str) -> list[str]:
    """Modules that say nothing of their job; an empty ``__init__.py`` has none."""
    texts = {path: (root / path).read_text() for path in modules(root, *houses)}
    return [
        path
        for path, text in texts.items()
        if text.strip() and not ast.get_docstring(ast.parse(text, path))
    ]


def machine_paths(root: Path, own: str = "") -> list[str]:
    """Files that name somebody's home directory, or the checkout `own`."""
    home = r"(?<![\w.~$}])(?:/(?:home|Users)/\w|/roo[t](?:/|\b))|[A-Z]:[\\]Users[\\]"
    pattern = re.compile("|".join([home, *([re.escape(own) + r"\b"] if own else [])]))
    found = []
    for path in tracked(root):
        try:
            text = (root / path).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def heavy_modules_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after `code`."""
    script = f"import sys\n{code}\nprint(*({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split()) & set(HEAVY)


def test_every_import_stays_in_its_house() -> None:
    assert wrong_imports(ROOT) == []


def test_no_file_and_no_function_is_too_long() -> None:
    assert too_long(ROOT, *PACKAGES, "benchmarks", "examples") == []


def test_every_module_says_what_it_is_for() -> None:
    assert without_docstring(ROOT, *PACKAGES, "benchmarks", "examples", "tests") == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    own = str(ROOT) if len(ROOT.parts) > 2 else ""
    assert machine_paths(ROOT, own) == []


def test_import_tunerl_loads_nothing_heavy_and_is_instant() -> None:
    assert heavy_modules_after("import tunerl") == set()
    script = (
        "import time; begin = time.process_time(); import tunerl; "
        "print(time.process_time() - begin)"
    )
    command = [sys.executable, "-c", script]
    seconds = [
        float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.3


def test_pure_modules_load_nothing_heavy() -> None:
    doing = {"controller", "tuner", "results", "checkpoints"}
    names = [
        path.removesuffix(".py").replace("/", ".")
        for path in modules(ROOT, "tunerl")
        if path.count("/") == 1 or (path.startswith("tunerl/schedulers/") and "/optuna" not in path)
    ]
    pure = [n for n in names if n.split(".")[1] not in doing and not n.endswith("__init__")]
    assert {"tunerl.trial", "tunerl.spec", "tunerl.schedulers.base"} <= set(pure)
    assert heavy_modules_after("\n".join(f"import {name}" for name in pure)) == set()


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tunerl/space.py", "import algorithms.ppo"),
        ("tunerl/tuner.py", "def f():\n    from service import app"),
        ("tunerl/trial.py", "import torch"),
        ("tunerl/author/face.py", "from gymnasium import spaces"),
        ("tunerl/spec.py", "import fastapi"),
        ("algorithms/ppo.py", "from tunerl.control.controller import run"),
        ("algorithms/ppo.py", "from tunerl import uniform"),
        ("algorithms/ppo.py", "import tunerl"),
        ("algorithms/core/nets/heads.py", "from service import app"),
        ("service/app.py", "import importlib\nimportlib.import_module('algorithms')"),
        ("service/worker.py", "from sqlalchemy import select"),
        ("service/cli/run.py", "import ray"),
        ("algorithms/sampling/group.py", "import ray"),
        ("tunerl/runtime/local.py", "from ray import tune"),
        ("tunerl/control/controller.py", "import optuna.samplers"),
        ("tunerl/checkpoints.py", "import pickle"),
        ("tunerl/runtime/ray.py", "import cloudpickle"),
        ("algorithms/core/packs/pack.py", "from ....service import app"),
    ],
)
def test_the_checker_finds_a_wrong_import(tmp_path: Path, path: str, line: str) -> None:
    (found,) = wrong_imports(plant(tmp_path, {path: line}))
    assert found.startswith(path)


def test_the_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    good = {
        "tunerl/runtime/ray.py": "import ray\nfrom tunerl.trial import Trial",
        "algorithms/sampling/remote.py": "import ray",
        "tunerl/store/tables.py": "import sqlalchemy as sa\nimport alembic",
        "tunerl/searchers/optuna.py": "import optuna",
        "tunerl/searchers/random.py": "from . import base\nfrom ..space import Space",
        "algorithms/ppo.py": "import torch\nfrom tunerl.trainable import vector\nimport rayon",
        "algorithms/core/packs/pack.py": "from tunerl import errors\nfrom .. import ppo",
        "service/app.py": "import fastapi\nimport tunerl\nx = 'import pickle'",
    }
    assert wrong_imports(plant(tmp_path, good)) == []


def test_the_checker_finds_long_files_long_functions_and_silent_modules(tmp_path: Path) -> None:
    body = "    pass\n"
    files = {
        "tunerl/long.py": '"""Long."""\n' + "x = 1\n" * MAX_FILE_LINES,
        "tunerl/function.py": '"""F."""\ndef f():\n' + body * MAX_FUNCTION_LINES,
        "tunerl/right.py": '"""R."""\ndef f():\n' + body * (MAX_FUNCTION_LINES - 1),
        "tunerl/silent.py": "x = 1\n",
        "tunerl/__init__.py": "",
    }
    plant(tmp_path, files)
    assert [line.split(":")[0] for line in too_long(tmp_path, "tunerl")] == [
        "tunerl/function.py",
        "tunerl/long.py",
    ]
    assert without_docstring(tmp_path, "tunerl") == ["tunerl/silent.py"]


def test_the_checker_finds_a_home_directory(tmp_path: Path) -> None:
    home = "/" + "home/somebody/data"
    files = {
        "a.md": f"see {home}",
        "b.py": "x = '~/data'\n# docs/root.md, $HOME/x, /roots",
        "c": "/w/r/x",
    }
    plant(tmp_path, files)
    assert machine_paths(tmp_path) == [f"a.md:1: see {home}"]
    assert [line.split(":")[0] for line in machine_paths(tmp_path, "/w/r")] == ["a.md", "c"]
