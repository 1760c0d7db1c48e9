"""What a first user does, in the way the documents say it: on a real Ray where that matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray import tune as raytune
from torch import nn

import tunerl
import tunerl as tune
from algorithms import PPO, Algorithm, PPOConfig, register_env, register_model
from tests.support.users import BASE, SMALL, here
from tunerl import (
    ASHAScheduler,
    OptunaSearch,
    RunConfig,
    TuneConfig,
    Tuner,
    choice,
    grid_search,
    loguniform,
)
from tunerl.author.face import Trainable
from tunerl.errors import (
    InvalidConfig,
    InvalidInput,
    InvalidSpec,
)
from tunerl.runtime.ray import RayRuntime

pytestmark = pytest.mark.usefixtures("forgetful")


# -- spaces and searchers ----------------------------------------------------------------------


def test_ray_tunes_domains_in_a_config_and_in_a_dict() -> None:
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .training(
            lr=raytune.loguniform(1e-4, 1e-2), clip_param=raytune.grid_search([0.1, 0.2]), **SMALL
        )
    )
    grid = Tuner("PPO", param_space=config, run_config=here()).fit()
    assert [result.config["clip_param"] for result in grid] == [0.1, 0.2]
    assert all(1e-4 <= result.config["lr"] <= 1e-2 for result in grid)

    space = BASE | {
        "lr": raytune.choice([1e-3, 1e-4]),
        "gamma": raytune.sample_from(lambda spec: 0.9 + spec.config.lr),
        "model": {"fcnet_hiddens": raytune.choice([[16], [16, 16]])},
    }
    (result,) = Tuner(PPO, param_space=space, run_config=here()).fit()
    assert result.config["gamma"] == pytest.approx(0.9 + result.config["lr"])


def test_a_program_of_ray_tune_runs_with_another_import() -> None:
    config = (
        PPOConfig()
        # Set the config object's env.
        .environment(env="CartPole-v1")
        # Update the config object's training parameters.
        .training(lr=0.001, clip_param=0.2, train_batch_size=256)
    )
    grid = tune.Tuner(
        "PPO",
        run_config=tune.RunConfig(stop={"training_iteration": 1}, runtime="local"),
        param_space=config,
    ).fit()
    assert grid[0].metrics["env_runners"]["episode_return_mean"] > 0


def test_a_plain_dict_of_rllib_of_old() -> None:
    old = {
        "env": "CartPole-v1",
        "framework": "torch",
        "num_workers": 1,
        "num_gpus": 0,
        "lr": raytune.grid_search([1e-3]),
        "train_batch_size": 256,
        "sgd_minibatch_size": 64,
        "num_sgd_iter": 2,
        "model": {"fcnet_hiddens": [16], "use_lstm": False},
    }
    assert len(Tuner("PPO", param_space=old, run_config=here()).fit()) == 1
    with pytest.raises(InvalidSpec) as caught:
        Tuner("PPO", param_space=old | {"model": {"use_attention": True}, "gama": 1})
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"param_space.model.use_attention", "param_space.gama"}


@pytest.mark.parametrize("name", ["episode_reward_mean", "evaluation/episode_return_mean"])
def test_a_metric_that_ppo_never_reports_is_refused_before_it_trains(name: str) -> None:
    with pytest.raises(InvalidSpec, match="env_runners/episode_return_mean") as caught:
        Tuner("PPO", param_space=BASE, tune_config=TuneConfig(metric=name, mode="max")).fit()
    assert [problem.path for problem in caught.value.problems] == ["metric"]


def test_optuna_in_a_conditional_space() -> None:
    deep = {"fcnet_hiddens": [16, 16], "fcnet_activation": choice(["relu", "tanh"])}
    space = BASE | {
        "lr": loguniform(1e-4, 1e-2),
        "model": choice([{"fcnet_hiddens": [16]}, deep]),
    }
    search = OptunaSearch(points_to_evaluate=[{"lr": 0.003}])
    tuning = TuneConfig(num_samples=4, search_alg=search)
    grid = Tuner("PPO", param_space=space, tune_config=tuning, run_config=here()).fit()
    assert grid[0].config["lr"] == 0.003
    for result in grid:
        model = result.config["model"]
        assert ("fcnet_activation" in model) == (len(model["fcnet_hiddens"]) == 2)


def test_promotions_of_asha_on_ppo() -> None:
    asha = ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2, variant="promotion")
    tuning = TuneConfig(num_samples=4, num_seeds=2, scheduler=asha)
    space = BASE | {"lr": loguniform(1e-4, 1e-2)}
    grid = Tuner("PPO", param_space=space, tune_config=tuning, run_config=here(stop=None)).fit()
    trained = sorted(result.metrics["training_iteration"] for result in grid)
    assert trained == [1, 1, 2, 4]


# -- names and classes on Ray ------------------------------------------------------------------


def walk_class() -> type[gymnasium.Env[Any, Any]]:
    """An environment that, like one in a program, no other process can import."""

    class Walk(gymnasium.Env[Any, Any]):
        def __init__(self, config: Any = None, goal: int = 5, render_mode: Any = None) -> None:
            self.goal = (config or {}).get("goal", goal)
            self.observation_space = gymnasium.spaces.Box(-10, 10, (1,), np.float32)
            self.action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.x = self.time = 0
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            self.x += 2 * int(action) - 1
            self.time += 1
            obs = np.clip(np.array([self.x], np.float32), -10, 10)
            done = self.x >= self.goal
            return obs, float(done), done, self.time > 20, {}

    Walk.__module__ = "__main__"  # pickled by value, as the class of a script
    return Walk


def net_class() -> type[nn.Module]:
    class Net(nn.Module):  # its layers go by the names of the methods that a network may offer
        def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
            super().__init__()
            self.body = nn.Linear(inputs, width)
            self.policy, self.value = nn.Linear(width, outputs), nn.Linear(width, 1)

        def forward(self, obs: torch.Tensor) -> Any:
            hidden = torch.tanh(self.body(obs))
            return self.policy(hidden), self.value(hidden).squeeze(-1)

    Net.__module__ = "__main__"
    return Net


@pytest.fixture
def walk() -> Iterator[type]:
    made = walk_class()
    register_env("walk", made)
    register_model("net", net_class())
    gymnasium.register("UserWalk-v0", entry_point=made)
    yield made
    del gymnasium.registry["UserWalk-v0"]


@pytest.mark.parametrize(
    ("env", "model"),
    [
        ("walk", "net"),
        pytest.param("UserWalk-v0", None, marks=pytest.mark.slow),
        pytest.param("a class", "a class", marks=pytest.mark.slow),
    ],
)
def test_what_a_script_defines_reaches_the_workers_and_its_checkpoint(
    env: str, model: str | None, walk: type, ray_runtime: RayRuntime
) -> None:
    custom = net_class() if model == "a class" else model
    config = PPOConfig().environment(walk if env == "a class" else env).training(**SMALL)
    if custom is not None:
        settings = {"custom_model": custom, "custom_model_config": {"width": choice([4, 6])}}
        config.training(model=settings)
    run = RunConfig(verbose=0, stop={"training_iteration": 1}, runtime=ray_runtime)
    grid = Tuner("PPO", param_space=config, run_config=run).fit()
    assert not grid.errors
    with Algorithm.from_checkpoint(grid[0].checkpoint) as agent:
        agent.train()
        assert agent.compute_single_action(np.zeros(1, np.float32)) in (0, 1)


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="give a torch module's class"):
        register_model("net", 3)  # type: ignore[arg-type]
    register_model("network", net_class())
    with pytest.raises(InvalidConfig, match="did you mean 'network'"):
        PPOConfig().training(model={"custom_model": "netwrok"})


# -- interruptions -----------------------------------------------------------------------------

SCRIPT = """
import json, sys
from algorithms import PPOConfig
from tunerl import RunConfig, TuneConfig, Tuner, loguniform

run = RunConfig(name="cut", stop={"training_iteration": 12}, runtime="local", verbose=2)
if sys.argv[1] == "restore":
    grid = Tuner.restore("cut", "PPO", run_config=run).fit()
else:
    config = PPOConfig().environment("CartPole-v1").training(
        lr=loguniform(1e-4, 1e-2), train_batch_size=256, minibatch_size=64)
    grid = Tuner("PPO", param_space=config, tune_config=TuneConfig(num_samples=3),
                 run_config=run).fit()
print(json.dumps([grid.status, [[r.config["lr"], r.metrics.get("env_runners/episode_return_mean"),
                                r.metrics.get("training_iteration")] for r in grid]]))
"""


def script(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=os.environ | {"TUNERL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_and_restore_give_what_an_undisturbed_run_gives(tmp_path: Path) -> None:
    whole = script(tmp_path / "whole", "run")
    cut = script(tmp_path / "cut", "run")
    assert cut.stderr is not None
    for line in cut.stderr:
        if " steps" in line:
            break
    cut.send_signal(signal.SIGINT)
    out, err = cut.communicate(timeout=60)
    status, rows = json.loads(out)
    assert status == "PAUSED"
    assert any(row[2] != 12 for row in rows)
    assert "go on with Tuner.restore(" in err
    restored = script(tmp_path / "cut", "restore")
    assert json.loads(restored.communicate(timeout=60)[0]) == json.loads(
        whole.communicate(timeout=60)[0]
    )


def test_restoring_what_is_finished_changes_nothing(ray_runtime: RayRuntime) -> None:
    def score(config: dict[str, Any]) -> dict[str, Any]:
        return {"score": config["x"]}

    run = RunConfig(name="done", verbose=0, runtime=ray_runtime)
    tuning = TuneConfig(metric="score", mode="max")
    space = {"x": grid_search([1, 2])}
    first = Tuner(score, param_space=space, tune_config=tuning, run_config=run).fit()
    again = Tuner.restore("done", score, run_config=run).fit()
    assert again.status == first.status == "COMPLETED"
    assert [result.metrics for result in again] == [result.metrics for result in first]


def test_failed_trials_go_on_or_start_over(tmp_path: Path) -> None:
    flag = tmp_path / "mended"

    class Fragile(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.steps: list[int] = []

        def step(self) -> dict[str, Any]:
            if len(self.steps) == 2 and not flag.exists():
                raise RuntimeError("not mended")
            self.steps.append(len(self.steps))
            return {"steps": len(self.steps), "from_start": self.iteration == len(self.steps) - 1}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {"steps": self.steps}

        def load_checkpoint(self, checkpoint: Any) -> None:
            self.steps = checkpoint["steps"]

    saving = tunerl.CheckpointConfig(checkpoint_frequency=1)
    run = here(name="fragile", stop={"training_iteration": 4}, checkpoint_config=saving)
    first = Tuner(Fragile, run_config=run).fit()
    assert "not mended" in str(first.errors[0])
    assert first[0].metrics["steps"] == 2
    assert Tuner.restore("fragile", Fragile, run_config=run).fit().num_errors == 1
    flag.touch()
    mended = Tuner.restore("fragile", Fragile, resume_errored=True, run_config=run).fit()
    assert mended[0].metrics["steps"] == 4
    with pytest.raises(InvalidInput, match="exclude each other"):
        Tuner.restore("fragile", Fragile, resume_errored=True, restart_errored=True)
