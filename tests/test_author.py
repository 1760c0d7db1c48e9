"""Classes as an author writes them, and what is given with them, as a worker drives them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.authors import ID, failure, joined, step
from tests.support.packs import FileWalk, ResettableWalk, Walk
from tunerl.author.face import (
    Checkpoint,
    Trainable,
    get_checkpoint,
    get_context,
    with_parameters,
    with_resources,
)
from tunerl.errors import CheckpointError, InvalidInput
from tunerl.registry import trainable


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
