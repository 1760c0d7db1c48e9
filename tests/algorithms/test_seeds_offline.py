"""Programs on offline data that people wrote for RLlib, run as they stand with the import line
changed. Where the original is broken, the test says why, and that ours says so too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tunerl as tune
from tests.support import offline
from tunerl.errors import InvalidConfig


@pytest.fixture
def ray_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory where RLlib's example data lie, in plain numbers, as `ray`'s root has them."""
    data = tmp_path / "rllib/tests/data/cartpole"
    (data / "cartpole-v1_large").mkdir(parents=True)
    from algorithms.offline import load

    found = load(offline.random_cartpole())
    names = ("obs", "actions", "rewards", "terminateds", "truncateds", "new_obs", "eps_id")
    columns = {name: getattr(found, name) for name in names}
    described = {}
    from algorithms.offline.spaces_json import to_json

    for name in ("observation_space", "action_space"):
        described[name] = to_json(getattr(found, name))
    offline.write(data / "large.json", columns, described)
    offline.write(data / "cartpole-v1_large/run-000001.parquet", columns, described)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bc_from_json(ray_root: Path) -> None:
    from algorithms.bc import BCConfig

    # Run this from the ray directory root.
    config = BCConfig().training(lr=0.00001, gamma=0.99)
    config = config.offline_data(input_="./rllib/tests/data/cartpole/large.json")

    # Build an Algorithm object from the config and run 1 training iteration.
    algo = config.build()
    result = algo.train()

    assert result["learners"]["default_policy"]["policy_loss"] == pytest.approx(np.log(2), abs=0.1)
    assert algo.compute_single_action(np.zeros(4, np.float32)) in (0, 1)
    algo.stop()


def test_a_sweep_of_bc(ray_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The original fails: BC is MARWIL with beta 0 and refuses any other; so it is without."""
    from algorithms.bc import BCConfig

    config = BCConfig()
    # Print out some default values.
    print(config.beta)
    assert capsys.readouterr().out == "0.0\n"
    # Update the config object.
    with pytest.raises(InvalidConfig, match=r"beta: 0.75 is not supported .* use MARWILConfig"):
        config.training(lr=tune.grid_search([0.001, 0.0001]), beta=0.75)
    config.training(lr=tune.grid_search([0.001, 0.0001]))
    # Set the config object's data path.
    # Run this from the ray directory root.
    config.offline_data(input_="./rllib/tests/data/cartpole/large.json")
    # Set the config object's env, used for evaluation.
    config.environment(env="CartPole-v1")
    # Use to_dict() to get the old-style python config dict
    # when running with tune.
    results = tune.Tuner(
        "BC",
        param_space=config.to_dict(),
        run_config=tune.RunConfig(stop={"training_iteration": 1}, runtime="local", verbose=0),
    ).fit()

    assert sorted(result.config["lr"] for result in results) == [0.0001, 0.001]
    best = results.get_best_result()  # by its evaluation
    assert best.metrics["evaluation/env_runners/episode_return_mean"] > 8


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting")
def test_marwil_without_an_environment(ray_root: Path) -> None:
    """The original fails in a notebook, which has no `__file__`."""
    import gymnasium as gym

    from algorithms.marwil import MARWILConfig

    # Get the base path (to ray/rllib)
    base_path = ray_root / "rllib"
    # Get the path to the data in rllib folder.
    data_path = base_path / "tests/data/cartpole/cartpole-v1_large"

    config = MARWILConfig()
    # Enable the new API stack.
    config.api_stack(
        enable_rl_module_and_learner=True,
        enable_env_runner_and_connector_v2=True,
    )
    # Define the environment for which to learn a policy
    # from offline data.
    config.environment(
        observation_space=gym.spaces.Box(
            np.array([-4.8, -np.inf, -0.41887903, -np.inf]),
            np.array([4.8, np.inf, 0.41887903, np.inf]),
            shape=(4,),
            dtype=np.float32,
        ),
        action_space=gym.spaces.Discrete(2),
    )
    # Set the training parameters.
    config.training(
        beta=1.0,
        lr=1e-5,
        gamma=0.99,
        # We must define a train batch size for each
        # learner (here 1 local learner).
        train_batch_size_per_learner=2000,
    )
    # Define the data source for offline data.
    config.offline_data(
        input_=[data_path.as_posix()],
        # Run exactly one update per training iteration.
        dataset_num_iters_per_learner=1,
    )

    # Build an `Algorithm` object from the config and run 1 training
    # iteration.
    algo = config.build_algo()
    result = algo.train()

    assert result["num_env_steps_trained_lifetime"] == 2000
    assert result["learners"]["default_policy"]["num_updates_lifetime"] == 1
    assert algo.get_policy().action_space == gym.spaces.Discrete(2)
    algo.stop()


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting")
def test_a_sweep_of_marwil(ray_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gymnasium as gym

    from algorithms.marwil import MARWILConfig

    data_path = ray_root / "rllib" / "tests/data/cartpole/cartpole-v1_large"
    config = MARWILConfig()
    # Enable the new API stack.
    config.api_stack(
        enable_rl_module_and_learner=True,
        enable_env_runner_and_connector_v2=True,
    )
    # Print out some default values
    print(f"beta: {config.beta}")
    assert capsys.readouterr().out == "beta: 1.0\n"
    # Update the config object.
    config.training(
        lr=tune.grid_search([1e-3, 1e-4]),
        beta=0.75,
        # We must define a train batch size for each
        # learner (here 1 local learner).
        train_batch_size_per_learner=2000,
    )
    # Set the config's data path.
    config.offline_data(
        input_=[data_path.as_posix()],
        # Set the number of updates to be run per learner
        # per training step.
        dataset_num_iters_per_learner=1,
    )
    # Set the config's environment for evalaution.
    config.environment(
        observation_space=gym.spaces.Box(
            np.array([-4.8, -np.inf, -0.41887903, -np.inf]),
            np.array([4.8, np.inf, 0.41887903, np.inf]),
            shape=(4,),
            dtype=np.float32,
        ),
        action_space=gym.spaces.Discrete(2),
    )
    # Set up a tuner to run the experiment.
    tuner = tune.Tuner(
        "MARWIL",
        param_space=config,
        run_config=tune.RunConfig(
            stop={"training_iteration": 1},
            runtime="local",
            verbose=0,
        ),
    )
    # Run the experiment.
    results = tuner.fit()

    losses = [result.metrics["learners/default_policy/policy_loss"] for result in results]
    assert len(losses) == 2
    assert results.num_errors == 0
    # Nothing tells which is better: there is no environment to evaluate in.
    assert not any("evaluation" in name for result in results for name in result.metrics)


def test_an_agent_trains_and_writes_what_it_sees_for_another(tmp_path: Path) -> None:
    from algorithms import PPOConfig
    from algorithms.bc import BCConfig

    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .training(train_batch_size=256, num_epochs=1, model={"fcnet_hiddens": [8]})
        .offline_data(output=str(tmp_path / "out"), output_write_method="write_json")
    )
    with config.build() as algo:
        algo.train()
    with BCConfig().offline_data(input_=str(tmp_path / "out")).build() as imitator:
        assert imitator.train()["training_iteration"] == 1


def test_what_rllib_packs_is_refused_with_the_way_out(ray_root: Path) -> None:
    """RLlib's own example data are packed with lz4 and pickle, which is never opened."""
    from algorithms.bc import BCConfig

    path = ray_root / "rllib/tests/data/cartpole/packed.json"
    path.write_text('{"type": "SampleBatch", "obs": "BCJNGGhAgAAAA==", "actions": [0, 1]}\n')
    with pytest.raises(InvalidConfig, match=r"packed.json, line 1: .*output_compress_columns=\[\]"):
        BCConfig().offline_data(input_=str(path)).build()


def test_an_agent_whose_data_are_gone_acts_and_says_why_it_cannot_learn(tmp_path: Path) -> None:
    from algorithms import Algorithm
    from algorithms.bc import BCConfig

    path = tmp_path / "data.parquet"
    path.write_bytes(Path(offline.random_cartpole()).read_bytes())
    config = BCConfig().environment("CartPole-v1").offline_data(input_=path)
    config.training(train_batch_size=8, model={"fcnet_hiddens": [8]})
    config.env_runners(observation_filter="MeanStdFilter")
    with config.build() as algo:
        action = algo.compute_single_action(np.ones(4, np.float32))
        checkpoint = algo.save(tmp_path / "checkpoint")
    path.unlink()
    with Algorithm.from_checkpoint(checkpoint) as algo:
        assert algo.compute_single_action(np.ones(4, np.float32)) == action
        assert algo.evaluate(duration=1)["env_runners"]["num_episodes"] == 1
        with pytest.raises(InvalidConfig, match=r"data.parquet: there is no such file"):
            algo.train()
    with pytest.raises(InvalidConfig, match=r"data.parquet: there is no such file"):
        config.copy().build()
