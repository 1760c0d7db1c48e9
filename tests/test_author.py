"""Classes and functions as an author writes them, driven as a worker drives them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.packs import FileWalk, ResettableWalk, Walk
from tunerl.author.face import (
    Checkpoint,
    Trainable,
    get_checkpoint,
    get_context,
    report,
    with_parameters,
    with_resources,
)
from tunerl.errors import CheckpointError, InvalidInput, TrainableError
from tunerl.registry import trainable
from tunerl.trainable import Failure, Pack
from tunerl.trial import Metrics, ReplicaId

ID = ReplicaId(3, 1)


def joined(target: Any, config: dict[str, Any] | None = None, seed: int = 7) -> Pack:
    pack = trainable(target).open({})
    pack.join(ID, config or {}, seed)
    return pack


def step(pack: Pack) -> Metrics:
    outcome = pack.step()[ID]
    assert not isinstance(outcome, Failure), outcome.traceback
    return outcome


def failure(pack: Pack) -> Failure:
    outcome = pack.step()[ID]
    assert isinstance(outcome, Failure)
    return outcome


# Classes


def test_train_fills_in_what_ray_does() -> None:
    walk = Walk({"size": 2.0})
    metrics = walk.train()
    assert set(metrics) == {
        "env_runners/place",
        "size",
        "training_iteration",
        "time_this_iter_s",
        "time_total_s",
        "done",
    }
    assert (metrics["training_iteration"], metrics["done"]) == (1, False)
    assert walk.train()["time_total_s"] > metrics["time_total_s"]
    assert (walk.iteration, walk.training_iteration) == (2, 2)


def test_a_class_knows_its_trial_and_seed() -> None:
    class Curious(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.known = (self.trial_id, self.trial_name, self.seed, get_context().get_seed())

        def step(self) -> dict[str, Any]:
            assert Path(self.logdir).is_dir()
            return {"known": self.known, "now": get_context().get_trial_id(), "dir": self.logdir}

    pack = joined(Curious)
    metrics = step(pack)
    assert metrics["known"] == ["00003", "00003.1", 7, 7]
    assert metrics["now"] == "00003"
    pack.leave(ID)
    assert not Path(metrics["dir"]).exists()


def test_setup_may_change_its_config_without_changing_the_trial() -> None:
    class Greedy(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            config["inner"].clear()

        def step(self) -> dict[str, Any]:
            return {"kept": self.config["inner"]["a"]}

    assert step(joined(Greedy, {"inner": {"a": 1}}))["kept"] == 1


def raising(error: BaseException) -> Callable[[Any], Any]:
    def raise_it(_: Any) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize("error", [ValueError("bad luck"), SystemExit(3), MemoryError()])
def test_whatever_step_raises_is_a_failure_and_the_slot_is_free(error: BaseException) -> None:
    pack = joined(type("Broken", (Trainable,), {"step": raising(error)}))
    found = failure(pack)
    assert type(error).__name__ in found.error
    assert "in raise_it" in found.traceback
    assert pack.step() == {}


def test_ctrl_c_is_nobodys_failure() -> None:
    pack = joined(type("Interrupted", (Trainable,), {"step": raising(KeyboardInterrupt())}))
    with pytest.raises(KeyboardInterrupt):
        pack.step()


def test_a_class_without_step_says_so() -> None:
    assert "has no step()" in failure(joined(type("Empty", (Trainable,), {}))).error


def test_a_result_that_is_no_dict_is_refused() -> None:
    pack = joined(type("Number", (Trainable,), {"step": lambda self: 3}))
    assert "report a dict" in failure(pack).error


def test_a_setup_that_raises_leaves_an_empty_pack() -> None:
    class Fragile(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            if config.get("break"):
                raise RuntimeError("no luck")

        def step(self) -> dict[str, Any]:
            return {"x": 1}

    pack = trainable(Fragile).open({})
    with pytest.raises(RuntimeError, match="no luck"):
        pack.join(ID, {"break": True}, 0)
    pack.join(ID, {}, 0)
    assert step(pack)["x"] == 1


def test_cleanup_is_called_once_and_what_it_raises_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    class Messy(Trainable):
        def cleanup(self) -> None:
            calls.append(1)
            raise OSError("cannot clean")

    pack = joined(Messy)
    with caplog.at_level(logging.ERROR):
        pack.leave(ID)
        pack.close()
    assert calls == [1]
    assert "cannot clean" in caplog.text


def test_an_object_that_can_be_reset_is_kept_and_others_are_built_anew() -> None:
    for kind, same in ((ResettableWalk, True), (Walk, False)):
        built = []

        class Counted(kind):  # type: ignore[misc, valid-type]
            def __init__(self, config: dict[str, Any]) -> None:
                built.append(1)  # noqa: B023
                super().__init__(config)

        pack = joined(Counted)
        step(pack)
        pack.leave(ID)
        pack.join(ID, {}, 8)
        assert step(pack)["training_iteration"] == 1
        assert len(built) == (1 if same else 2)


def test_without_save_checkpoint_reading_says_what_is_missing() -> None:
    pack = joined(type("Forgetful", (Trainable,), {"step": lambda self: {"x": 1}}))
    with pytest.raises(CheckpointError, match=r"Forgetful has no save_checkpoint\(\)"):
        pack.read(ID)


def test_files_and_a_dict_may_both_be_saved() -> None:
    class Both(Trainable):
        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            Path(checkpoint_dir, "a.txt").write_text("from a file")
            return {"b": (1, 2.5, float("inf"), b"raw", np.float32(0.1)), "c": np.arange(3)}

        def load_checkpoint(self, checkpoint: Any) -> None:
            self.loaded = checkpoint
            found = get_checkpoint()
            assert found is not None
            self.text = Path(found.path, "a.txt").read_text()

    first, second = Both({}), Both({})
    second.set_state(first.get_state())
    assert second.text == "from a file"
    assert second.loaded["b"] == (1, 2.5, float("inf"), b"raw", np.float32(0.1))
    assert second.loaded["c"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"a": {"b": object()}}, "'a/b' is a object"),
        ({"a": {1: 2}}, "has the key 1"),
        ({"a": np.array([None])}, "is an array of object"),
        ({"__array__": 1}, "which is reserved"),
        ({"a/b": np.zeros(1), "a": {"b": np.zeros(1)}}, "the same path"),
    ],
)
def test_a_dict_that_only_pickle_could_carry_is_refused(saved: Any, message: str) -> None:
    saver = type("Saver", (Trainable,), {"save_checkpoint": lambda self, path: saved})({})
    with pytest.raises(CheckpointError, match=message):
        saver.get_state()


def test_a_returned_path_is_what_is_saved(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12")
    saver = type("Saver", (Trainable,), {"save_checkpoint": lambda self, path: str(tmp_path)})({})
    assert {name: array.tobytes() for name, array in saver.get_state().arrays.items()} == {
        "files/x": b"12"
    }


@pytest.mark.parametrize("kind", [Walk, FileWalk])
def test_save_and_restore_of_a_single_object(kind: type[Walk], tmp_path: Path) -> None:
    walk = kind({"size": 1.0})
    walk.train()
    walk.save(str(tmp_path / "saved"))
    expected = walk.train()
    other = kind({"size": 1.0})
    other.restore(str(tmp_path / "saved"))
    found = other.train()
    assert found["env_runners/place"] == expected["env_runners/place"]
    assert found["training_iteration"] == 2


# Functions


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


# Parameters, resources, checkpoints


def test_parameters_reach_functions_and_classes() -> None:
    class Given(Trainable):
        def setup(self, config: dict[str, Any], data: list[int] | None = None) -> None:
            assert data is not None
            self.data = data

        def step(self) -> dict[str, Any]:
            return {"x": self.data[1]}

    function = with_parameters(lambda config, data: {"x": data[1]}, data=[1, 2])
    for target in (function, with_parameters(Given, data=[1, 2])):
        assert step(joined(target))["x"] == 2
    assert function({}) == {"x": 2}


def test_resources_come_from_with_resources_or_the_class() -> None:
    class Large(Trainable):
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> dict[str, float]:
            return {"cpu": config["workers"], "gpu": 0.5}

    assert trainable(Walk).resources({}) == {"CPU": 1.0}
    assert trainable(Large).resources({"workers": 3}) == {"CPU": 3.0, "GPU": 0.5}
    both = with_resources(with_parameters(Large, data=1), lambda config: {"CPU": 2})
    assert trainable(both).resources({}) == {"CPU": 2.0}
    with pytest.raises(InvalidInput, match="resource 'CPU' is -1"):
        trainable(with_resources(Walk, {"CPU": -1})).resources({})


def test_a_checkpoint_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    checkpoint = Checkpoint.from_directory(tmp_path)
    with checkpoint.as_directory() as path:
        assert Path(path) == tmp_path
    copy = checkpoint.to_directory(tmp_path / "copy")
    assert Path(copy, "a", "x").read_text() == "1"


def test_a_missing_checkpoint_directory_is_the_functions_failure() -> None:
    pack = joined(lambda config: report({"x": 1}, checkpoint=Checkpoint("/nowhere/at/all")))
    assert "'/nowhere/at/all' is no directory" in failure(pack).error
