"""Trainables from elsewhere: Ray Tune's classes and functions here, ours there, resources."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tunerl
from tests.support.runs import Climb
from tunerl import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner, registry
from tunerl.errors import InvalidInput, NotFound, TrainableError
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ReplicaId

BEST = {"metric": "score", "mode": "max"}
GRID = {"lr": {"grid_search": [1.0, 2.0]}}
ME = ReplicaId(0, 0)


class Base:
    """What a class of Ray Tune's looks like from outside."""

    def __init__(self, config: dict[str, Any] | None = None, storage: Any = None) -> None:
        self.config, self._iteration = config or {}, 0
        self._setup_logdir()
        self.setup(dict(self.config))

    def _setup_logdir(self) -> None:
        raise AssertionError("a directory in somebody's home")

    def setup(self, config: dict[str, Any]) -> None: ...
    def train(self) -> Any: ...
    def stop(self) -> None:
        self.cleanup()

    def cleanup(self) -> None: ...
    def step(self) -> Any: ...
    def save_checkpoint(self, checkpoint_dir: str) -> Any: ...
    def load_checkpoint(self, checkpoint: Any) -> None: ...
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return False


class Duck(Base):
    def setup(self, config: dict[str, Any], bonus: float = 0.0) -> None:
        self.total = bonus

    def step(self) -> Any:
        self.total += self.config["lr"]
        if self.total == 4.0 and self.config.get("fail") and not Path(self.config["fail"]).exists():
            Path(self.config["fail"]).touch()
            raise RuntimeError("once")
        return {"score": self.total, "at": self._iteration, "timesteps_this_iter": 10}

    def save_checkpoint(self, checkpoint_dir: str) -> Mapping[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = checkpoint["total"]


def tuned(target: Any, space: Any = None, stop: int = 3, **more: Any) -> Any:
    return Tuner(
        target,
        param_space=space or GRID,
        tune_config=TuneConfig(**BEST),  # type: ignore[arg-type]
        run_config=RunConfig(
            runtime=LocalRuntime(1), verbose=0, stop={"training_iteration": stop}, **more
        ),
    ).fit()


def test_a_class_of_ray_tunes_verbs_is_tuned_and_retried_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    space = {"lr": {"grid_search": [1.0, 2.0]}, "fail": str(tmp_path / "failed")}
    grid = tuned(
        Duck,
        space,
        stop=5,
        checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
        failure_config=FailureConfig(max_failures=1),
    )
    assert [result.metrics["score"] for result in grid] == [5.0, 10.0]
    assert [result.metrics["at"] for result in grid] == [4, 4]
    assert [result.metrics["timesteps_total"] for result in grid] == [50, 50]
    assert (tmp_path / "failed").exists()


def test_with_parameters_reaches_the_setup_of_such_a_class() -> None:
    grid = tuned(tunerl.with_parameters(Duck, bonus=100.0))
    assert grid.get_best_result().metrics["score"] == 106.0


def test_a_class_without_the_verbs_is_refused() -> None:
    class Half:
        def step(self) -> None: ...

    with pytest.raises(InvalidInput, match="no trainable"):
        registry.trainable(Half)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"GPU": 1.5}, "whole"),
        ({"GPU": 0.00001}, "0.0001"),
        ({"CPU": -1}, "0 or more"),
        ({"CPU": float("nan")}, "0 or more"),
        ({"CPU": "two"}, "0 or more"),
        ([{"CPU": 1}], "dict"),
    ],
)
def test_resources_that_cannot_be_had_are_refused(asked: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        registry.trainable(tunerl.with_resources(Climb, asked)).resources({})


class Bundles:
    """A PlacementGroupFactory from outside."""

    def __init__(self, *bundles: dict[str, float]) -> None:
        self.bundles = list(bundles)

    def __call__(self, *args: Any) -> None:
        raise AssertionError("Ray's factories warn when they are called")


def test_one_bundle_is_honoured_and_several_are_refused() -> None:
    one = tunerl.with_resources(Climb, Bundles({"CPU": 2, "GPU": 0.5}))
    assert registry.trainable(one).resources({}) == {"CPU": 2.0, "GPU": 0.5}
    many = tunerl.with_resources(Climb, Bundles({"CPU": 1}, {"CPU": 1}))
    with pytest.raises(InvalidInput, match="2 bundles"):
        registry.trainable(many).resources({})


def test_ray_tunes_own_class_and_report_run_here(tmp_path: Path) -> None:
    from ray import tune

    from tunerl.runtime import ray_tune

    others = ray_tune._running  # functions of tests whose controller died

    class Theirs(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.total = 0.0

        def step(self) -> dict[str, float]:
            self.total += self.config["lr"] * (1 + self.iteration)
            return {"score": self.total}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "total").write_text(str(self.total))

        def load_checkpoint(self, checkpoint: str) -> None:
            self.total = float(Path(checkpoint, "total").read_text())

    grid = tuned(Theirs, checkpoint_config=CheckpointConfig(checkpoint_frequency=1))
    assert [result.metrics["score"] for result in grid] == [6.0, 12.0]
    with grid[0].checkpoint.as_directory() as path:
        assert Path(path, "total").read_text() == "6.0"

    def function(config: dict[str, Any]) -> None:
        start, saved = 0, tune.get_checkpoint()
        if saved is not None:
            with saved.as_directory() as path:
                start = json.loads(Path(path, "at").read_text())
        for at in range(start, 3):
            if at == 2 and not Path(tmp_path, "failed").exists():
                Path(tmp_path, "failed").touch()
                raise RuntimeError("once")
            with tempfile.TemporaryDirectory() as path:
                Path(path, "at").write_text(json.dumps(at + 1))
                saved = tune.Checkpoint.from_directory(path)
                tune.report({"score": config["lr"] * at, "from": start}, checkpoint=saved)

    retry = FailureConfig(max_failures=1)
    grid = tuned(function, {"lr": {"grid_search": [1.0, 2.0]}}, stop=9, failure_config=retry)
    assert [result.metrics["score"] for result in grid] == [2.0, 4.0]
    assert grid[0].metrics["from"] == 2  # from its checkpoint
    assert ray_tune._running == others
    if not others:
        from ray.train._internal.session import get_session

        assert get_session() is None  # as it was


def test_ours_is_a_class_for_ray_tune(tmp_path: Path) -> None:
    from ray import tune

    from tunerl.runtime.ray_tune import to_ray_trainable

    adapter = to_ray_trainable(Climb)
    assert issubclass(adapter, tune.Trainable)
    assert adapter.default_resource_request({"lr": 1.0}).required_resources == {"CPU": 1.0}
    seed_in_config, default = adapter({"lr": 2.0, "seed": 7}), adapter({"lr": 2.0})
    first = seed_in_config.train()
    assert (first["score"], first["seed"], first["training_iteration"]) == (2.0, 7, 1)
    assert default.train()["seed"] == 0
    folder = tmp_path / "saved"
    folder.mkdir()
    seed_in_config.save_checkpoint(str(folder))
    assert [path.name for path in folder.iterdir()] == ["agent"]
    default.load_checkpoint(str(folder))
    assert default.train()["score"] == 4.0
    assert default.reset({"lr": 1.0})
    assert default.train()["score"] == 1.0
    for each in (seed_in_config, default):
        each.stop()


def test_an_algorithm_of_rllibs_is_named_or_its_lack_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    from tunerl.runtime.ray_tune import rllib_class

    monkeypatch.setitem(sys.modules, "ray.rllib.algorithms.registry", None)
    with pytest.raises(TrainableError, match=r"pip install 'ray\[rllib\]', or use .* 'PPO'"):
        rllib_class("rllib/PPO")
    with pytest.raises(TrainableError, match="ray\\[rllib\\]"):
        Tuner("rllib/PPO", param_space={})


@pytest.mark.slow
def test_an_algorithm_of_rllibs_is_tuned() -> None:
    rllib = pytest.importorskip("ray.rllib.algorithms.registry")
    assert rllib
    with pytest.raises(NotFound, match="PPO"):
        Tuner("rllib/PP", param_space={})
    grid = Tuner(
        "rllib/PPO",
        param_space={
            "env": "CartPole-v1",
            "num_env_runners": 0,
            "train_batch_size_per_learner": 128,
            "lr": tunerl.choice([1e-3]),
        },
        tune_config=TuneConfig(metric="env_runners/num_env_steps_sampled_lifetime", mode="max"),
        run_config=RunConfig(verbose=0, stop={"training_iteration": 1}, runtime=LocalRuntime(1)),
    ).fit()
    assert grid[0].metrics["training_iteration"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
def test_ours_is_tuned_by_ray_tune(ray_cluster: None, tmp_path: Path) -> None:
    from ray import tune

    from tunerl.runtime.ray_tune import to_ray_trainable

    grid = tune.Tuner(
        to_ray_trainable("PPO"),
        param_space={
            "env": "CartPole-v1",
            "train_batch_size": 128,
            "lr": tune.grid_search([1e-3, 1e-4]),
        },
        tune_config=tune.TuneConfig(metric="num_env_steps_sampled_lifetime", mode="max"),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path),
            stop={"training_iteration": 2},
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()
    assert not grid.errors
    assert [result.metrics["num_env_steps_sampled_lifetime"] for result in grid] == [256, 256]
    assert Path(grid[0].checkpoint.path, "agent", "state.safetensors").exists()
