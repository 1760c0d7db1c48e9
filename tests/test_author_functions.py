"""Functions as an author writes them, driven as a worker drives them."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.authors import ID, failure, joined, step
from tunerl.author.face import (
    Checkpoint,
    Trainable,
    get_checkpoint,
    get_context,
    report,
)
from tunerl.errors import TrainableError
from tunerl.registry import trainable


def test_a_function_reports_one_result_a_step_and_does_not_run_ahead() -> None:
    reached = []

    def train(config: dict[str, Any]) -> None:
        for i in range(3):
            reached.append(i)
            report({"loss": {"policy": i}})

    pack = joined(train)
    assert step(pack)["loss/policy"] == 0
    assert reached == [0]
    assert step(pack)["training_iteration"] == 2
    pack.leave(ID)
    assert reached == [0, 1]


def test_a_function_that_ends_gives_its_last_result_again_with_done() -> None:
    def train(config: dict[str, Any]) -> None:
        report({"x": 1})
        report(x=2)

    pack = joined(train)
    assert [step(pack)["done"] for _ in range(2)] == [False, False]
    last = step(pack)
    assert (last["x"], last["training_iteration"], last["done"]) == (2, 2, True)
    assert step(pack) == last


@pytest.mark.parametrize(("value", "key"), [({"x": 5}, "x"), (5, "_metric")])
def test_what_a_function_returns_is_its_final_result(value: Any, key: str) -> None:
    metrics = step(joined(lambda config: value))
    assert (metrics[key], metrics["training_iteration"], metrics["done"]) == (5, 1, True)


def test_a_generator_yields_its_results() -> None:
    def train(config: dict[str, Any]) -> Any:
        yield {"x": 1}
        yield 2

    pack = joined(train)
    assert [step(pack)["x"], step(pack)["_metric"], step(pack)["done"]] == [1, 2, True]


def test_a_function_that_reports_nothing_is_done() -> None:
    metrics = step(joined(lambda config: None))
    assert (metrics["done"], metrics["training_iteration"]) == (True, 1)


def test_a_function_that_raises_fails_with_its_own_traceback() -> None:
    def deep(config: dict[str, Any]) -> None:
        report({"x": 1})
        sys.exit("enough")

    pack = joined(deep)
    step(pack)
    found = failure(pack)
    assert found.error == "SystemExit: enough"
    assert "in deep" in found.traceback


def test_leaving_ends_the_function_at_its_report() -> None:
    ended = []

    def train(config: dict[str, Any]) -> None:
        try:
            while True:
                report({"x": 1})
        finally:
            ended.append(threading.current_thread())

    pack = joined(train)
    step(pack)
    pack.leave(ID)
    assert len(ended) == 1
    assert not ended[0].is_alive()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: report(3), "report a dict"),
        (lambda: report({"x": object()}), "metric 'x' is a object"),
        (lambda: report({"x": 1}, checkpoint="path"), "Checkpoint.from_directory"),  # type: ignore[arg-type]
        (lambda: report({"a/b": 1, "a": {"b": 2}}), "two metrics"),
        (lambda: report({"x": np.zeros(0)[:0].sum}), "metric 'x'"),
    ],
)
def test_a_wrong_report_is_the_functions_own_failure(call: Any, message: str) -> None:
    assert message in failure(joined(lambda config: call())).error


def test_report_outside_of_a_function_is_an_error() -> None:
    with pytest.raises(TrainableError, match="outside of a function"):
        report({"x": 1})
    pack = joined(type("Reports", (Trainable,), {"step": lambda self: report({"x": 1})}))
    assert "outside of a function" in failure(pack).error


def test_a_thread_of_the_functions_own_may_report() -> None:
    def train(config: dict[str, Any]) -> None:
        thread = threading.Thread(target=lambda: report({"seed": get_context().get_seed()}))
        thread.start()
        thread.join()

    pack = joined(train)
    assert step(pack)["seed"] == 7
    assert step(pack)["done"]


def test_two_functions_in_one_process_do_not_mix() -> None:
    def train(config: dict[str, Any]) -> None:
        while True:
            report({"seed": get_context().get_seed(), "name": config["name"]})

    packs = [joined(train, {"name": i}, seed=i) for i in range(3)]
    for _ in range(2):
        assert [(step(p)["seed"], step(p)["name"]) for p in packs] == [(i, i) for i in range(3)]
    for pack in packs:
        pack.close()


def test_a_functions_checkpoint_is_the_one_it_reported_last(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        found = get_checkpoint()
        start = json.loads(Path(found.path, "i").read_text()) if found else 0
        for i in range(start, 10):
            (tmp_path / "i").write_text(json.dumps(i + 1))
            kept = Checkpoint.from_directory(tmp_path) if i % 2 == 0 else None
            report({"i": i}, checkpoint=kept)
            if kept:
                latest = get_checkpoint()
                assert latest is not None
                assert Path(latest.path, "i").read_text() == str(i + 1)

    pack = joined(train)
    assert [step(pack).get("should_checkpoint", False) for _ in range(4)] == [True, False] * 2
    state = pack.read(ID)
    pack.close()
    resumed = trainable(train).open({})
    resumed.join(ID, {}, 7, state)
    metrics = step(resumed)
    assert (metrics["i"], metrics["training_iteration"]) == (3, 4)
    resumed.close()


def test_a_function_without_checkpoint_starts_again() -> None:
    def train(config: dict[str, Any]) -> None:
        assert get_checkpoint() is None
        for i in range(3):
            report({"i": i})

    pack = joined(train)
    step(pack), step(pack)
    pack.write(ID, pack.read(ID))
    assert (step(pack)["i"], step(pack)["training_iteration"]) == (0, 2)
    pack.close()


def test_a_missing_checkpoint_directory_is_the_functions_failure() -> None:
    pack = joined(lambda config: report({"x": 1}, checkpoint=Checkpoint("/nowhere/at/all")))
    assert "'/nowhere/at/all' is no directory" in failure(pack).error
