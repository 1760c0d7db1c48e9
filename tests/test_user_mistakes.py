"""What a first user does wrong, and what is said to that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import tunerl
from tests.support.users import BASE, here
from tunerl import (
    RunConfig,
    TuneConfig,
    Tuner,
    grid_search,
)
from tunerl.author.face import Trainable
from tunerl.errors import (
    CheckpointError,
    InvalidSpec,
    NotFound,
    TrainableError,
    TuneRLError,
)
from tunerl.runtime.ray import RayRuntime

pytestmark = pytest.mark.usefixtures("forgetful")


def space_env(observation: Any, action: Any) -> Callable[[Any], Any]:
    class Odd(gymnasium.Env[Any, Any]):
        observation_space, action_space = observation, action

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return self.observation_space.sample(), {}

    return lambda config: Odd()


BOX, TEXT = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Text(3)
UNBOUNDED = gymnasium.spaces.Box(-np.inf, np.inf, (2,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gama": 0.9}, "param_space.gama: .*did you mean 'gamma'"),
        ({"lr": -1.0}, "param_space.lr: .*out of range"),
        ({"gamma": "high"}, "param_space.gamma: .*without quotes"),
        ({"env": "CartPol-v1"}, "param_space.env: .*did you mean 'CartPole-v1'"),
        ({"env": None}, "param_space.env: missing"),
        ({"model": {"fcnet_hidens": [3]}}, "model.fcnet_hidens: .*'fcnet_hiddens'"),
        ({"lr": grid_search([])}, "at least one value"),
        ({"env": space_env(BOX, TEXT)}, "param_space.env: the action space Text cannot"),
        ({"env": space_env(TEXT, BOX)}, "param_space.env: the observation space Text cannot"),
        ({"env": space_env(BOX, UNBOUNDED)}, "param_space.env: .*finite bounds"),
    ],
)
def test_a_wrong_space_is_refused_with_its_path(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        Tuner("PPO", param_space=BASE | given)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"metric": "score"}, "mode: is missing"),
        ({"metric": "score", "mode": "maximum"}, "allowed: 'min', 'max'"),
        ({"num_samples": 0}, "num_samples: 0 given"),
        ({"scheduler": "ahsa"}, "did you mean 'asha'"),
        ({"search_alg": "optune"}, "did you mean 'optuna'"),
    ],
)
def test_a_wrong_tune_config_is_refused(tuning: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        Tuner("PPO", param_space=BASE, tune_config=TuneConfig(**tuning))


def test_where_nothing_can_be_written_nothing_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = here(storage_path=tmp_path / "file")
    tuner = Tuner("PPO", param_space=BASE, run_config=run)
    with pytest.raises(CheckpointError, match="give another storage_path"):
        tuner.fit()
    assert len(tuner.get_results()) == 0


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"training_iteratoin": 1}, "did you mean 'training_iteration'"),
        (lambda trial, result: result["nothing"] > 3, "the stop function raised KeyError"),
    ],
)
def test_stop_rules_that_cannot_work(stop: Any, message: str) -> None:
    with pytest.raises(TuneRLError, match=message):
        Tuner("PPO", param_space=BASE, run_config=here(stop=stop)).fit()


def test_resources_that_nobody_has(ray_runtime: RayRuntime) -> None:
    def score(config: dict[str, Any]) -> dict[str, Any]:
        return {"score": 1}

    greedy = tunerl.with_resources(score, {"GPU": 100})
    with pytest.raises(InvalidSpec, match="the nodes offer"):
        Tuner(greedy, run_config=RunConfig(verbose=0, runtime=ray_runtime)).fit()


def test_a_setup_that_raises_is_in_the_result() -> None:
    class Broken(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            raise ValueError("no data here")

    grid = Tuner(Broken, run_config=here()).fit()
    assert grid.status == "ERROR"
    assert isinstance(grid.errors[0], TrainableError)
    assert "ValueError: no data here" in str(grid.errors[0])
    assert "no data here" in str(grid.reason)


def test_nan_never_wins() -> None:
    def loss(config: dict[str, Any]) -> dict[str, Any]:
        return {"loss": float("nan") if config["x"] == 1 else config["x"]}

    tuning = TuneConfig(metric="loss", mode="min")
    space = {"x": grid_search([1, 3, 2])}
    grid = Tuner(loss, param_space=space, tune_config=tuning, run_config=here()).fit()
    assert grid.get_best_result().config["x"] == 2


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="did you mean 'Tuner'"):
        tunerl.Tunre  # noqa: B018
    with pytest.raises(AttributeError, match="import tunerl as tune"):
        tunerl.tune  # noqa: B018
    with pytest.raises(AttributeError, match="Tuner"):
        tunerl.run  # noqa: B018
    with pytest.raises(NotFound, match="did you mean 'PPO'"):
        Tuner("PPOO")
