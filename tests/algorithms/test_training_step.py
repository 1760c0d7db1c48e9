"""A class that says itself what an iteration is: counted, swept, saved as itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from algorithms import PPO, Algorithm, DQNConfig, PPOConfig
from tests.algorithms.agents import TINY, same
from tunerl import CheckpointConfig, RunConfig, TuneConfig, Tuner, registry
from tunerl.errors import CheckpointError, Conflict, InvalidConfig, MetricError
from tunerl.runtime.ray import RayRuntime
from tunerl.space import grid_search


class Twofold(PPO):
    """PPO with a metric of its own; ``gamma`` 0.5 raises."""

    def training_step(self) -> Any:
        if self.config.gamma == 0.5:
            raise ZeroDivisionError("of all gammas")
        return {**super().training_step(), "double": {"lr": 2 * self.config.lr}}


class Still(PPO):
    """Does nothing, which is an iteration too."""

    def training_step(self) -> Any:
        return None


def test_an_own_step_is_counted_and_its_metrics_join_the_others() -> None:
    with PPO(TINY) as plain, Twofold(TINY) as own:
        one, other = plain.train(), own.train()
        assert other.pop("double") == {"lr": 6e-4}
        assert same(one, other)
    with Still(TINY) as still:
        results = [still.train() for _ in range(2)]
    assert [result["training_iteration"] for result in results] == [1, 2]
    assert results[1]["time_total_s"] > 0
    assert results[1]["num_env_steps_sampled_lifetime"] == 0


def test_what_an_own_step_raises_is_raised() -> None:
    class Odd(PPO):
        def training_step(self) -> Any:
            return 5

    class Greedy(PPO):
        def training_step(self) -> Any:
            super().training_step()
            return super().training_step()

    with Twofold({**TINY, "gamma": 0.5}) as agent, pytest.raises(ZeroDivisionError):
        agent.train()
    with Odd(TINY) as agent, pytest.raises(MetricError, match="reported 5"):
        agent.train()
    with Greedy(TINY) as agent, pytest.raises(Conflict, match="at most once"):
        agent.train()


def test_a_class_with_its_own_step_is_an_algorithm_of_its_own(tmp_path: Path) -> None:
    assert (Twofold.spec.name, PPO.spec.name) == ("Twofold", "PPO")
    assert PPO.spec.capacity(TINY | {"max_pack_size": 9}) == 9
    assert Twofold.spec.capacity(TINY) == 1
    with Twofold(TINY) as own:
        own.train()
        path = own.save(tmp_path)
        with Algorithm.from_checkpoint(path) as again:
            assert type(again) is Twofold
            assert same(own.train(), again.train())
    with pytest.raises(CheckpointError, match="is of 'Twofold', not of 'PPO'"):
        PPO.from_checkpoint(path)


@pytest.mark.slow
def test_a_sweep_of_a_class_with_its_own_step_runs_that_step(ray_runtime: RayRuntime) -> None:
    class Mine(PPO):
        def training_step(self) -> Any:
            return {**super().training_step(), "mine": self.config.gamma}

    Mine.__module__ = "__main__"  # as in a script: no other process can import it
    run = RunConfig(
        verbose=0,
        stop={"training_iteration": 2},
        runtime=ray_runtime,
        checkpoint_config=CheckpointConfig(checkpoint_at_end=True),
    )
    space = TINY | {"gamma": grid_search([0.8, 0.9])}
    grid = Tuner(Mine, param_space=space, tune_config=TuneConfig(), run_config=run).fit()
    assert not grid.errors
    assert sorted(result.metrics["mine"] for result in grid) == [0.8, 0.9]
    with Algorithm.from_checkpoint(grid[0].checkpoint) as agent:
        assert type(agent) is Mine
        assert agent.iteration == 2


def test_a_failing_step_fails_its_trial_alone() -> None:
    run = RunConfig(verbose=0, stop={"training_iteration": 1}, runtime="local")
    space = TINY | {"gamma": grid_search([0.5, 0.9])}
    grid = Tuner(Twofold, param_space=space, run_config=run).fit()
    assert [result.error is None for result in grid] == [False, True]
    assert "ZeroDivisionError: of all gammas" in str(grid[0].error)


def test_settings_change_while_it_trains() -> None:
    with PPO(TINY) as agent:
        assert agent.reset_config({"lr": 0.5})
        assert agent.train()["learners/default_policy/default_optimizer_learning_rate"] == 0.5
        with pytest.raises(InvalidConfig, match="fixed hyperparameter"):
            agent.reset_config({"train_batch_size": 128})
        assert (agent.config.lr, agent.config.train_batch_size) == (0.5, 64)


def test_such_a_class_takes_the_configuration_of_its_algorithm() -> None:
    with Twofold(PPOConfig.from_dict(TINY).training(lr=0.5)) as agent:
        assert (agent.name, agent.config.lr) == ("Twofold", 0.5)
    with pytest.raises(InvalidConfig, match="Twofold cannot use a configuration of DQN"):
        Twofold(DQNConfig().environment("CartPole-v1"))


def test_the_spec_of_such_a_class_is_the_trainable() -> None:
    assert registry.trainable(Twofold) is Twofold.spec
